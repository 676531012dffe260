//! Position delete files: which rows of which data files are deleted.
//!
//! Trino's DELETE and UPDATE, and those of other engines, write Parquet files of two columns: the location of a data file, and
//! the place of a row in it. A file is read as a stream; in memory are some thousand of its rows, and what the caller keeps.
//! Called by [`crate::compact`], which leaves these rows out, and by [`crate::verify`], which counts them.

use futures::TryStreamExt;
use iceberg::arrow::ArrowFileReader;
use iceberg::io::{FileIO, FileMetadata};
use iceberg::metadata_columns::{RESERVED_FIELD_ID_DELETE_FILE_PATH, RESERVED_FIELD_ID_DELETE_FILE_POS};
use iceberg::{Error, ErrorKind, Result};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::schema::types::SchemaDescriptor;
use roaring::RoaringTreemap;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;

/// Places of rows in a data file, counted from 0: about two bytes each, less if they lie side by side.
pub(crate) type Places = RoaringTreemap;

/// Rows of a delete file that are read at a time.
const BATCH_ROWS: usize = 8_192;

/// Reads a position delete file of so many bytes: `each` is told every row that it deletes, by the location of the data file and
/// the row's place in it, in the order of the delete file. One row may be told twice.
///
/// # Errors
/// The file is not there, is no Parquet, has not these two columns, or holds a NULL or a place below 0.
pub(crate) async fn read(
    file_io: &FileIO,
    location: &str,
    bytes: u64,
    mut each: impl FnMut(&str, u64) + Send,
) -> Result<()> {
    let invalid = |why: &str| Error::new(ErrorKind::DataInvalid, format!("delete file {location}: {why}"));
    let unreadable = |error| invalid("it cannot be read").with_source(error);
    let reader = ArrowFileReader::new(FileMetadata { size: bytes }, file_io.new_input(location)?.reader().await?);
    // Plain types, whatever Arrow types the writer had.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchStreamBuilder::new_with_options(reader, options).await.map_err(unreadable)?;
    let schema = builder.parquet_schema();
    let path = column(schema, RESERVED_FIELD_ID_DELETE_FILE_PATH, "file_path");
    let place = column(schema, RESERVED_FIELD_ID_DELETE_FILE_POS, "pos");
    let (Some(path), Some(place)) = (path, place) else {
        return Err(invalid("it has no columns file_path and pos"));
    };
    let columns = if path < place { (0, 1) } else { (1, 0) };
    let mask = ProjectionMask::roots(schema, [path, place]);
    let mut rows = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(unreadable)?;
    while let Some(batch) = rows.try_next().await.map_err(unreadable)? {
        tell(&batch, columns, &mut each).map_err(invalid)?;
    }
    Ok(())
}

/// The place of a column among those of the file: by field id, or by name where no column has it.
fn column(schema: &SchemaDescriptor, id: i32, name: &str) -> Option<usize> {
    let fields = schema.root_schema().get_fields();
    let has_id = |info: &parquet::schema::types::BasicTypeInfo| info.has_id() && info.id() == id;
    let by_id = fields.iter().position(|field| has_id(field.get_basic_info()));
    by_id.or_else(|| fields.iter().position(|field| field.name() == name))
}

fn tell(
    batch: &RecordBatch,
    (path, place): (usize, usize),
    each: &mut impl FnMut(&str, u64),
) -> std::result::Result<(), &'static str> {
    let paths = batch.columns().get(path).and_then(|column| column.as_string_opt::<i32>());
    let places = batch.columns().get(place).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let (Some(paths), Some(places)) = (paths, places) else {
        return Err("file_path is no text, or pos is no integer of 64 bits");
    };
    for (path, place) in paths.iter().zip(places) {
        let place = place.and_then(|place| u64::try_from(place).ok());
        let (Some(path), Some(place)) = (path, place) else {
            return Err("it holds a NULL, or a place below 0");
        };
        each(path, place);
    }
    Ok(())
}
