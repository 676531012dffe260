//! Locations as tables write them, and the part of them that an object store understands.
//!
//! A location is raw text: `s3://bucket/a%2Fb` names the key `a%2Fb`, not `a/b`. Every engine agrees on that for object
//! stores, and for local files this project does the same, as the `iceberg` crate does. Pure.

use object_store::path::Path;

use super::StorageError;

/// The root that all locations of one store begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Root {
    /// The local disk. `prefix` is what stands before the absolute path: `file://`, `file:` or nothing.
    Local {
        /// Text before the absolute path.
        prefix: String,
    },
    /// A bucket. `s3`, `s3a` and `s3n` name the same one.
    S3 {
        /// The scheme that listed locations are given.
        scheme: String,
        /// The bucket.
        bucket: String,
    },
}

impl Root {
    /// Splits an absolute location into its root and its path inside it.
    pub(super) fn split(location: &str) -> Result<(Self, Path), StorageError> {
        let unusable = |reason: String| StorageError::Location { location: location.to_owned(), reason };
        let parse = |path: &str| Path::parse(path).map_err(|error| unusable(error.to_string()));

        if location.starts_with('/') {
            return Ok((Self::Local { prefix: String::new() }, parse(location)?));
        }
        if let Some(rest) = location.strip_prefix("file:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if !path.starts_with('/') {
                return Err(unusable("a file location needs an absolute path, as in file:///data/warehouse".into()));
            }
            let prefix = location[..location.len() - path.len()].to_owned();
            return Ok((Self::Local { prefix }, parse(path)?));
        }
        let Some((scheme, rest)) = location.split_once("://") else {
            return Err(unusable("it has no scheme and is no absolute path".into()));
        };
        if !matches!(scheme, "s3" | "s3a" | "s3n") {
            return Err(unusable(format!("scheme {scheme:?} is not one of s3, s3a, s3n, file")));
        }
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(unusable("it names no bucket".into()));
        }
        if key.starts_with('/') {
            return Err(unusable("its key begins with a slash".into()));
        }
        Ok((Self::S3 { scheme: scheme.to_owned(), bucket: bucket.to_owned() }, parse(key)?))
    }

    /// Whether both are the same place, however it is spelled.
    pub(super) fn same_store(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Local { .. }, Self::Local { .. }) => true,
            (Self::S3 { bucket: left, .. }, Self::S3 { bucket: right, .. }) => left == right,
            _ => false,
        }
    }

    /// The location of a path, spelled as this root is.
    pub(super) fn location(&self, path: &Path) -> String {
        format!("{self}{path}")
    }
}

impl std::fmt::Display for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local { prefix } => write!(f, "{prefix}/"),
            Self::S3 { scheme, bucket } => write!(f, "{scheme}://{bucket}/"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Root;

    #[test]
    fn a_location_survives_being_split_and_joined() {
        for location in
            ["s3://b/a/c%2Fd e.parquet", "s3a://b/a", "file:///tmp/x y", "file:/tmp/x", "/tmp/x=1/é", "s3://bucket/"]
        {
            let (root, path) = Root::split(location).unwrap();
            assert_eq!(root.location(&path), location);
        }
    }

    #[test]
    fn s3_and_s3a_name_the_same_bucket_and_another_bucket_is_another_store() {
        let root = |location: &str| Root::split(location).unwrap().0;
        assert!(root("s3://b/x").same_store(&root("s3a://b/y")));
        assert!(!root("s3://b/x").same_store(&root("s3://c/x")));
        assert!(!root("s3://b/x").same_store(&root("/b/x")));
    }

    #[test]
    fn unusable_locations_are_refused() {
        for location in [
            "",
            "relative/path",
            "file:relative",
            "file://host/x/..",
            "gs://b/x",
            "s3:///x",
            "s3://b/../x",
            "s3://b//x",
        ] {
            assert!(Root::split(location).is_err(), "{location} was accepted");
        }
    }
}
