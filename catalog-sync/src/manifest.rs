//! Reading what a snapshot refers to: its manifest list, its manifests, their live files.
//!
//! Called by the committer (existing manifests are carried into the next list), by `verify`, and by what rewrites manifests or
//! files.

use futures::{Stream, StreamExt, stream};
use iceberg::io::FileIO;
use iceberg::spec::{ManifestEntryRef, ManifestFile, ManifestList, Snapshot, TableMetadata};

/// Manifests that are read at once.
const AT_ONCE: usize = 8;

/// The manifests of a snapshot.
///
/// # Errors
/// The `iceberg` crate's: the list is not there or cannot be read.
pub async fn list(
    metadata: &TableMetadata,
    snapshot: &Snapshot,
    file_io: &FileIO,
) -> iceberg::Result<Vec<ManifestFile>> {
    let bytes = file_io.new_input(snapshot.manifest_list())?.read().await?;
    let list = ManifestList::parse_with_version(&bytes, metadata.format_version())?;
    Ok(list.consume_entries().into_iter().collect())
}

/// The live entries of a manifest: added or carried over, not deleted.
///
/// # Errors
/// The `iceberg` crate's: the manifest is not there or cannot be read.
pub async fn live_entries(manifest: &ManifestFile, file_io: &FileIO) -> iceberg::Result<Vec<ManifestEntryRef>> {
    let (entries, _) = manifest.load_manifest(file_io).await?.into_parts();
    Ok(entries.into_iter().filter(|entry| entry.is_alive()).collect())
}

/// The live entries of each of these manifests, in their order; some are read ahead.
///
/// # Errors
/// Those of [`live_entries`].
pub(crate) fn live_entries_of<'a>(
    manifests: &[&'a ManifestFile],
    file_io: &'a FileIO,
) -> impl Stream<Item = iceberg::Result<(&'a ManifestFile, Vec<ManifestEntryRef>)>> {
    let read = |&manifest: &&'a ManifestFile| async move { Ok((manifest, live_entries(manifest, file_io).await?)) };
    let reads: Vec<_> = manifests.iter().map(read).collect();
    stream::iter(reads).buffered(AT_ONCE)
}
