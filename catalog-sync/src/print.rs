//! Results of queries as tables for a person.
//!
//! Numbers stand on the right, headings are bold on a terminal and plain anywhere else, NULL is a dash. One wide row is turned
//! into a list of names and values. Used by the demo and by `catalog-sync`'s own commands.

use std::io::IsTerminal;

use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, DataType};
use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table, TableComponent};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

/// A single row with more columns than this is printed as a list.
const COLUMNS_IN_A_ROW_MAX: usize = 8;

/// The result as text, without a final line break. `styled` is for a terminal: bold headings, width fitted to the window.
///
/// # Errors
/// When a value cannot be shown as text.
pub fn render(batches: &[RecordBatch], styled: bool) -> Result<String, ArrowError> {
    let Some(first) = batches.first() else {
        return Ok("(no rows)".to_owned());
    };
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_style(TableComponent::HeaderLines, '─').set_style(TableComponent::MiddleHeaderIntersections, '─');
    if styled {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.force_no_tty();
    }
    let heading = |text: &str| {
        let cell = Cell::new(text);
        if styled { cell.add_attribute(Attribute::Bold) } else { cell }
    };
    let schema = first.schema();
    if rows == 1 && schema.fields().len() > COLUMNS_IN_A_ROW_MAX {
        for batch in batches.iter().filter(|batch| batch.num_rows() == 1) {
            for (field, values) in schema.fields().iter().zip(cells(batch)?) {
                table.add_row(std::iter::once(heading(field.name())).chain(values));
            }
        }
        return Ok(table.trim_fmt());
    }
    table.set_header(schema.fields().iter().map(|field| heading(field.name()).set_alignment(side(field.data_type()))));
    for batch in batches {
        let mut columns: Vec<_> = cells(batch)?.into_iter().map(Vec::into_iter).collect();
        for _ in 0..batch.num_rows() {
            table.add_row(columns.iter_mut().filter_map(Iterator::next));
        }
    }
    Ok(table.trim_fmt())
}

/// Prints a heading and the result to standard output, with styles if that is a terminal.
///
/// # Errors
/// When a value cannot be shown as text, or standard output is closed.
pub fn print(title: &str, batches: &[RecordBatch]) -> Result<(), ArrowError> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let text = render(batches, out.is_terminal())?;
    writeln!(out, "\n{title}\n{text}").map_err(|error| ArrowError::IoError(error.to_string(), error))
}

/// The cells of a batch, column by column.
fn cells(batch: &RecordBatch) -> Result<Vec<Vec<Cell>>, ArrowError> {
    let options = FormatOptions::default().with_null("-");
    batch
        .columns()
        .iter()
        .map(|column| {
            let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
            let alignment = side(column.data_type());
            (0..column.len())
                .map(|row| Ok(Cell::new(formatter.value(row).try_to_string()?).set_alignment(alignment)))
                .collect()
        })
        .collect()
}

fn side(kind: &DataType) -> CellAlignment {
    if kind.is_numeric() { CellAlignment::Right } else { CellAlignment::Left }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch(columns: Vec<(String, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
    }

    #[test]
    fn numbers_stand_on_the_right_and_null_is_a_dash() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("/cart"), None]));
        let number: ArrayRef = Arc::new(Int64Array::from(vec![7, 1234]));
        let printed = render(&[batch(vec![("page".into(), text), ("views".into(), number)])], false).unwrap();
        let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
        assert!(lines.contains(&" /cart       7"), "{printed}");
        assert!(lines.contains(&" -        1234"), "{printed}");
        assert!(!printed.contains('\u{1b}'), "no colours off a terminal");
    }

    #[test]
    fn one_wide_row_becomes_a_list_and_no_batch_becomes_a_note() {
        let columns = (0..9).map(|n| (format!("c{n}"), Arc::new(Int64Array::from(vec![n])) as ArrayRef)).collect();
        let printed = render(&[batch(columns)], false).unwrap();
        assert!(printed.lines().any(|line| line.trim() == "c8   8"), "{printed}");
        assert_eq!(render(&[], false).unwrap(), "(no rows)");
    }
}
