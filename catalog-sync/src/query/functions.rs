//! The Trino function that DataFusion does not have and the analyses need.

use std::sync::Arc;

use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, Int64Array, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};
use datafusion::common::cast::{as_string_array, as_timestamp_microsecond_array};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

/// `date_diff(unit, from, to)`: whole units from one `timestamptz` to another, negative when `to` is earlier, for the units
/// `millisecond` to `day`. Times are cut to the millisecond first, as Trino does.
pub(super) fn date_diff() -> ScalarUDF {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let arguments = vec![DataType::Utf8, time.clone(), time];
    create_udf("date_diff", arguments, DataType::Int64, Volatility::Immutable, Arc::new(evaluate))
}

fn evaluate(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let [unit, from, to] = arrays.as_slice() else {
        return exec_err!("date_diff takes a unit and two times");
    };
    let units = as_string_array(unit)?;
    let (from, to) = (as_timestamp_microsecond_array(from)?, as_timestamp_microsecond_array(to)?);
    let millis = |times: &PrimitiveArray<TimestampMicrosecondType>, row| times.value(row).div_euclid(1000);
    let rows = (0..units.len()).map(|row| {
        if units.is_null(row) || from.is_null(row) || to.is_null(row) {
            return Ok(None);
        }
        let unit_millis = unit_millis(units.value(row))?;
        Ok(Some((millis(to, row) - millis(from, row)) / unit_millis))
    });
    Ok(ColumnarValue::Array(Arc::new(rows.collect::<Result<Int64Array>>()?)))
}

fn unit_millis(unit: &str) -> Result<i64> {
    match unit {
        "millisecond" => Ok(1),
        "second" => Ok(1_000),
        "minute" => Ok(60_000),
        "hour" => Ok(3_600_000),
        "day" => Ok(86_400_000),
        other => exec_err!("date_diff knows no unit `{other}`; use millisecond, second, minute, hour or day"),
    }
}
