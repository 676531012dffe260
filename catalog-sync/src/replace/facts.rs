//! What is known of manifests from the manifest list alone, and what one may hold. Pure. Called by [`super::stage`], which
//! makes the facts, and by [`crate::rewrite`] and [`crate::compact`], which choose by them.

use std::cmp::Ordering;
use std::collections::HashMap;

use iceberg::spec::{PartitionSpec, PrimitiveLiteral, Transform};

use crate::snapshot::MANIFEST_FILES;

/// Table property with the size that a manifest should have.
pub(crate) const TARGET_SIZE_KEY: &str = "commit.manifest.target-size-bytes";

/// What the specification's own writers take when the property is not set.
const TARGET_SIZE_DEFAULT: u64 = 8 * 1024 * 1024;

/// What one manifest may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Files.
    pub(crate) files: u64,
    /// Bytes, about.
    pub(crate) bytes: u64,
}

impl Limits {
    /// As the table's properties say.
    ///
    /// # Errors
    /// The property's text, if it is no size.
    pub(crate) fn of(properties: &HashMap<String, String>) -> Result<Self, String> {
        let bytes = match properties.get(TARGET_SIZE_KEY) {
            None => TARGET_SIZE_DEFAULT,
            Some(text) => match text.trim().parse() {
                Ok(0) | Err(_) => return Err(text.clone()),
                Ok(bytes) => bytes,
            },
        };
        Ok(Self { files: MANIFEST_FILES as u64, bytes })
    }

    /// Files of a manifest whose head and entries have these sizes; one at least.
    pub(crate) fn files_of(&self, head_bytes: u64, entry_bytes: u64) -> usize {
        let fit = self.bytes.saturating_sub(head_bytes) / entry_bytes.max(1);
        usize::try_from(fit.clamp(1, self.files)).unwrap_or(1)
    }

    /// Three quarters of what it may hold.
    pub(crate) fn is_full(&self, fact: &ManifestFact) -> bool {
        let enough = |is: u64, may: u64| is >= may.saturating_sub(may / 4);
        enough(fact.live, self.files) || enough(fact.bytes, self.bytes)
    }

    /// Manifests that so many files of so many bytes need, at least about.
    pub(crate) fn least(&self, files: u64, bytes: u64) -> u64 {
        if files == 0 { 0 } else { files.div_ceil(self.files).max(bytes.div_ceil(self.bytes)) }
    }
}

/// Partition values in the order that entries are sorted by: days before all else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) Vec<Option<PrimitiveLiteral>>);

impl Key {
    /// Which comes first; values of one field are of one type, and so comparable.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal)
    }
}

/// Places of a spec's fields in the order of a [`Key`]: fields of time first, since time is what most queries ask for.
pub(crate) fn field_order(spec: &PartitionSpec) -> Vec<usize> {
    let is_time = |of: Transform| matches!(of, Transform::Year | Transform::Month | Transform::Day | Transform::Hour);
    let mut places: Vec<usize> = (0..spec.fields().len()).collect();
    places.sort_by_key(|&place| spec.fields().get(place).is_none_or(|field| !is_time(field.transform)));
    places
}

/// A manifest of data files, as the manifest list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestFact {
    /// Its place in the list.
    pub(crate) place: usize,
    /// Its partition spec.
    pub(crate) spec_id: i32,
    /// Its size.
    pub(crate) bytes: u64,
    /// Entries that are added or carried over.
    pub(crate) live: u64,
    /// Entries that are deleted.
    pub(crate) deleted: u64,
    /// The lowest value of each partition field.
    pub(crate) lowest: Key,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_in_bytes_is_the_tables_property() {
        let of = |text: &str| Limits::of(&HashMap::from([(TARGET_SIZE_KEY.to_owned(), text.to_owned())]));
        assert_eq!(Limits::of(&HashMap::new()).unwrap(), Limits { files: 1_000, bytes: 8_388_608 });
        assert_eq!(of(" 65536 ").unwrap().bytes, 65_536);
        for text in ["", "0", "-1", "8 MB"] {
            assert_eq!(of(text), Err(text.to_owned()));
        }
        let limits = Limits { files: 1_000, bytes: 65_536 };
        assert_eq!(limits.files_of(5_536, 1_000), 60);
        assert_eq!((limits.files_of(0, 1), limits.files_of(70_000, 1_000)), (1_000, 1));
    }
}
