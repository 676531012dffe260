//! DataFusion filters as Iceberg predicates, to leave out whole files.
//!
//! Only what is certainly the same in both: a column compared with a text, an integer or a time, `AND`, `OR`, `IS [NOT]
//! NULL`. Everything else is no predicate, which costs reading and never rows: the filters are applied again to each row.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use iceberg::expr::{Predicate, Reference};
use iceberg::spec::Datum;

/// The predicate that holds wherever `filter` holds; none when there is none, or when a column is not `known`.
pub(super) fn to_predicate(filter: &Expr, known: &dyn Fn(&str) -> bool) -> Option<Predicate> {
    let reference = |expr: &Expr| match expr {
        Expr::Column(column) if known(&column.name) => Some(Reference::new(column.name.clone())),
        _ => None,
    };
    match filter {
        Expr::IsNull(inner) => Some(reference(inner)?.is_null()),
        Expr::IsNotNull(inner) => Some(reference(inner)?.is_not_null()),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            match (to_predicate(left, known), to_predicate(right, known)) {
                (Some(left), Some(right)) => Some(left.and(right)),
                (one, None) | (None, one) => one,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(to_predicate(left, known)?.or(to_predicate(right, known)?))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (reference(left), reference(right)) {
            (Some(column), None) => compare(column, *op, datum(right)?),
            (None, Some(column)) => compare(column, op.swap()?, datum(left)?),
            _ => None,
        },
        _ => None,
    }
}

fn compare(column: Reference, op: Operator, value: Datum) -> Option<Predicate> {
    match op {
        Operator::Eq => Some(column.equal_to(value)),
        Operator::Lt => Some(column.less_than(value)),
        Operator::LtEq => Some(column.less_than_or_equal_to(value)),
        Operator::Gt => Some(column.greater_than(value)),
        Operator::GtEq => Some(column.greater_than_or_equal_to(value)),
        _ => None,
    }
}

fn datum(expr: &Expr) -> Option<Datum> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => {
            Some(Datum::string(text))
        }
        Expr::Literal(ScalarValue::Int32(Some(number)), _) => Some(Datum::int(*number)),
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(micros), Some(_)), _) => {
            Some(Datum::timestamptz_micros(*micros))
        }
        _ => None,
    }
}
