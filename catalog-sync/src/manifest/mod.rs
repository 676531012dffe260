//! Reading what a snapshot refers to: its manifest list, its manifests, their live files.
//!
//! ```text
//!   mod    manifest list, whole entries; several manifests ahead, on all processors
//!   form   entries without the statistics of columns, for those who only plan
//!   avro   the encoding of those
//! ```
//!
//! Called by the committer (existing manifests are carried into the next list), by `verify`, and by what rewrites manifests or
//! files.

mod avro;
mod form;

use std::future::Future;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use iceberg::io::FileIO;
use iceberg::spec::{ManifestEntryRef, ManifestFile, ManifestList, Snapshot, TableMetadata};
use iceberg::{Error, ErrorKind};

use self::form::Forms;

/// Manifests that are read at once when their entries are wanted whole: decoded, they are several times as large.
const AT_ONCE: usize = 8;
/// Manifests that are read at once when their entries are wanted without statistics: as many as have so many bytes, within
/// these bounds. An object store takes as long for a small one as for a large one.
const BARE_BYTES: i64 = 64 * 1024 * 1024;
const BARE_AT_ONCE: (i64, i64) = (2, 64);

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
    file_io: &FileIO,
) -> impl Stream<Item = iceberg::Result<(&'a ManifestFile, Vec<ManifestEntryRef>)>> + use<'a> {
    let file_io = file_io.clone();
    ahead(manifests, AT_ONCE, move |manifest| {
        let file_io = file_io.clone();
        async move { live_entries(&manifest, &file_io).await }
    })
}

/// As [`live_entries_of`], but the entries may lack the statistics of columns (sizes, counts, bounds): a tenth of the work,
/// and of the memory.
///
/// # Errors
/// Those of [`live_entries`].
pub(crate) fn bare_entries_of<'a>(
    manifests: &[&'a ManifestFile],
    file_io: &FileIO,
) -> impl Stream<Item = iceberg::Result<(&'a ManifestFile, Vec<ManifestEntryRef>)>> + use<'a> {
    let largest = manifests.iter().map(|manifest| manifest.manifest_length).max().unwrap_or(0);
    let at_once = (BARE_BYTES / largest.max(1)).clamp(BARE_AT_ONCE.0, BARE_AT_ONCE.1);
    let (file_io, forms) = (file_io.clone(), Arc::new(Forms::default()));
    ahead(manifests, usize::try_from(at_once).unwrap_or(1), move |manifest| {
        let (file_io, forms) = (file_io.clone(), Arc::clone(&forms));
        async move { bare_entries(&manifest, &file_io, &forms).await }
    })
}

async fn bare_entries(
    manifest: &ManifestFile,
    file_io: &FileIO,
    forms: &Forms,
) -> iceberg::Result<Vec<ManifestEntryRef>> {
    if manifest.key_metadata.is_none() {
        let bytes = file_io.new_input(&manifest.manifest_path)?.read().await?;
        if let Some(entries) = forms.live_entries(&bytes, manifest) {
            return Ok(entries);
        }
        tracing::debug!(manifest = manifest.manifest_path, "read whole, for it has an unusual form");
    }
    live_entries(manifest, file_io).await
}

/// Reads manifests ahead, each in a task of its own, so that all processors decode. Dropped in the middle, tasks that have begun
/// end with the manifest that they read.
fn ahead<'a, F, R>(
    manifests: &[&'a ManifestFile],
    at_once: usize,
    read: F,
) -> impl Stream<Item = iceberg::Result<(&'a ManifestFile, Vec<ManifestEntryRef>)>> + use<'a, F, R>
where
    F: Fn(ManifestFile) -> R,
    R: Future<Output = iceberg::Result<Vec<ManifestEntryRef>>> + Send + 'static,
{
    let manifests: Vec<&'a ManifestFile> = manifests.to_vec();
    let begin = move |manifest: &'a ManifestFile| {
        let task = tokio::spawn(read(manifest.clone()));
        async move {
            let broken_off =
                |error| Error::new(ErrorKind::Unexpected, format!("reading a manifest was broken off: {error}"));
            Ok((manifest, task.await.map_err(broken_off)??))
        }
    };
    stream::iter(manifests).map(begin).buffered(at_once)
}
