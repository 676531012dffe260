//! `--where`: a condition on partitions, in the words of SQL.
//!
//! It may speak of the two partition values only, the day and the event type, so that it holds for all rows of a file or for
//! none. What it cannot decide exactly is refused with a sentence. Parsed by the parser that DataFusion brings. Pure. Called by
//! [`super::live`], and by the command line, which parses.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use schemas::partition::{PartitionKey, day_of};
use schemas::time::parse_iso8601;

/// What the columns are called.
const DAY_NAME: &str = "event_timestamp_day";
const TYPE_NAME: &str = "event_type";

/// A condition on partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(Condition);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Day(Comparison, i32),
    EventType(Comparison, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

#[derive(Debug, Clone, Copy)]
enum Column {
    Day,
    EventType,
}

impl Filter {
    /// Parses a condition such as `event_timestamp_day >= '2026-11-01' AND event_type IN ('click', 'scroll')`.
    ///
    /// # Errors
    /// A sentence: it is no condition, names another column, or compares a column with what it cannot be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let dialect = GenericDialect {};
        let wrong = |error: &dyn std::fmt::Display| format!("it is no condition: {error}");
        let mut parser = Parser::new(&dialect).try_with_sql(text).map_err(|error| wrong(&error))?;
        let parsed = parser.parse_expr().map_err(|error| wrong(&error))?;
        let rest = parser.peek_token().token;
        if rest != Token::EOF {
            return Err(wrong(&format!("nothing was expected after it, found {rest}")));
        }
        condition(&parsed).map(Self)
    }

    /// Whether it holds for a partition.
    #[must_use]
    pub fn holds(&self, key: &PartitionKey) -> bool {
        self.0.holds(key)
    }
}

impl Condition {
    fn holds(&self, key: &PartitionKey) -> bool {
        match self {
            Self::And(left, right) => left.holds(key) && right.holds(key),
            Self::Or(left, right) => left.holds(key) || right.holds(key),
            Self::Not(inner) => !inner.holds(key),
            Self::Day(comparison, day) => comparison.holds(&key.day, day),
            Self::EventType(comparison, text) => comparison.holds(&key.event_type, text),
        }
    }
}

impl Comparison {
    fn holds<T: Ord>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Eq => left == right,
            Self::NotEq => left != right,
            Self::Lt => left < right,
            Self::LtEq => left <= right,
            Self::Gt => left > right,
            Self::GtEq => left >= right,
        }
    }

    fn of(operator: &BinaryOperator) -> Option<Self> {
        match operator {
            BinaryOperator::Eq => Some(Self::Eq),
            BinaryOperator::NotEq => Some(Self::NotEq),
            BinaryOperator::Lt => Some(Self::Lt),
            BinaryOperator::LtEq => Some(Self::LtEq),
            BinaryOperator::Gt => Some(Self::Gt),
            BinaryOperator::GtEq => Some(Self::GtEq),
            _ => None,
        }
    }

    /// The same comparison with its sides exchanged.
    fn turned(self) -> Self {
        match self {
            Self::Eq | Self::NotEq => self,
            Self::Lt => Self::Gt,
            Self::LtEq => Self::GtEq,
            Self::Gt => Self::Lt,
            Self::GtEq => Self::LtEq,
        }
    }
}

fn condition(expr: &Expr) -> Result<Condition, String> {
    let negate = |negated: bool, inner| if negated { Condition::Not(Box::new(inner)) } else { inner };
    match expr {
        Expr::Nested(inner) => condition(inner),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => Ok(negate(true, condition(expr)?)),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => and(condition(left)?, condition(right)?),
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
            Ok(Condition::Or(Box::new(condition(left)?), Box::new(condition(right)?)))
        }
        Expr::BinaryOp { left, op, right } => {
            let comparison = Comparison::of(op).ok_or_else(|| format!("{op} is no comparison that is understood"))?;
            match is_value(left) {
                true => compare(right, comparison.turned(), left),
                false => compare(left, comparison, right),
            }
        }
        Expr::Between { expr, negated, low, high } => {
            let both = and(compare(expr, Comparison::GtEq, low)?, compare(expr, Comparison::LtEq, high)?)?;
            Ok(negate(*negated, both))
        }
        Expr::InList { expr, list, negated } => {
            let any = list.iter().map(|value| compare(expr, Comparison::Eq, value));
            let any = any.reduce(|left, right| Ok(Condition::Or(Box::new(left?), Box::new(right?))));
            Ok(negate(*negated, any.ok_or("IN needs a value at least")??))
        }
        other => Err(format!(
            "{other} is not understood: there are =, !=, <, <=, >, >=, IN, BETWEEN, AND, OR, NOT and parentheses"
        )),
    }
}

fn and(left: Condition, right: Condition) -> Result<Condition, String> {
    Ok(Condition::And(Box::new(left), Box::new(right)))
}

fn is_value(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(_) | Expr::TypedString(_))
}

fn compare(left: &Expr, comparison: Comparison, right: &Expr) -> Result<Condition, String> {
    match column(left)? {
        Column::Day => {
            let day = text_of(right).and_then(day);
            let day = day.ok_or_else(|| format!("{left} is a day, and {right} is none: write it as '2026-11-01'"))?;
            Ok(Condition::Day(comparison, day))
        }
        Column::EventType => match right {
            Expr::Value(_) => text_of(right).map(|text| Condition::EventType(comparison, text.to_owned())),
            _ => None,
        }
        .ok_or_else(|| format!("{left} is a text, and {right} is none: write it as 'page_view'")),
    }
}

fn column(expr: &Expr) -> Result<Column, String> {
    let Expr::Identifier(name) = expr else {
        return Err(format!("{expr} stands where the name of a column should: {}", columns()));
    };
    match name.value.to_ascii_lowercase() {
        name if name == DAY_NAME => Ok(Column::Day),
        name if name == TYPE_NAME => Ok(Column::EventType),
        _ => Err(format!("{name} is no column of the partition: {}", columns())),
    }
}

fn columns() -> String {
    format!("only {DAY_NAME} and {TYPE_NAME} may be named, since files are chosen by whole partitions")
}

fn text_of(expr: &Expr) -> Option<&str> {
    let value = match expr {
        Expr::Value(value) => &value.value,
        Expr::TypedString(typed) => &typed.value.value,
        _ => return None,
    };
    match value {
        Value::SingleQuotedString(text) => Some(text),
        _ => None,
    }
}

/// `2026-11-01` as days since 1970.
fn day(text: &str) -> Option<i32> {
    let is_date = text.len() == "2026-11-01".len();
    is_date.then(|| parse_iso8601(text)).flatten().map(day_of)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// 2026-11-01 as a day.
    const FIRST: i32 = 20_758;

    /// Which of the days and types it holds for, of the first three days of the month and two types.
    fn held(text: &str) -> Vec<(i32, &'static str)> {
        let filter = Filter::parse(text).unwrap();
        let all = (0..3).flat_map(|day| ["click", "scroll"].map(|event_type| (day, event_type)));
        let holds = |&(day, event_type): &(i32, &str)| {
            filter.holds(&PartitionKey { day: FIRST + day, event_type: event_type.to_owned() })
        };
        all.filter(holds).collect()
    }

    #[test]
    fn days_and_types_are_compared_and_combined() {
        assert_eq!(held("event_timestamp_day = '2026-11-02' AND event_type = 'click'"), [(1, "click")]);
        assert_eq!(held("event_timestamp_day >= DATE '2026-11-03'").len(), 2);
        assert_eq!(held("'2026-11-03' <= event_timestamp_day"), held("event_timestamp_day >= '2026-11-03'"));
        assert_eq!(
            held("event_timestamp_day BETWEEN '2026-11-01' AND '2026-11-02' AND event_type <> 'click'").len(),
            2
        );
        assert_eq!(held("event_type IN ('click', 'other') AND NOT event_timestamp_day < '2026-11-02'").len(), 2);
        assert_eq!(
            held("event_type not in ('click') and (event_timestamp_day > '2026-11-02' or event_type = 'x')").len(),
            1
        );
    }

    #[test]
    fn or_binds_less_than_and() {
        let one = held("event_type = 'click' OR event_type = 'scroll' AND event_timestamp_day = '2026-11-01'");
        assert_eq!(one, [(0, "click"), (0, "scroll"), (1, "click"), (2, "click")]);
        assert_eq!(
            held("EVENT_TYPE = 'click' AND NOT (event_timestamp_day NOT BETWEEN '2026-11-02' AND '2026-11-03')").len(),
            2
        );
    }

    #[test]
    fn what_cannot_be_decided_by_partitions_is_refused_with_the_reason() {
        let refused = [
            ("user_id = 'u'", "user_id is no column of the partition"),
            ("event_timestamp > '2026-11-01'", "only event_timestamp_day and event_type"),
            ("event_type = 5", "is a text, and 5 is none"),
            ("event_timestamp_day = '2026-13-01'", "is a day, and '2026-13-01' is none"),
            ("event_timestamp_day = '2026-11-01T00:00:00Z'", "is none"),
            ("event_timestamp_day = 20758", "is none"),
            ("event_type = 'a' event_type", "nothing was expected after it"),
            ("event_type LIKE 'a%'", "is not understood"),
            ("event_type = event_type", "is a text, and event_type is none"),
            ("event_type", "is not understood"),
            ("lower(event_type) = 'a'", "stands where the name of a column should"),
            ("event_type + 'a'", "is no comparison"),
            ("", "it is no condition"),
            ("event_type = 'a", "it is no condition"),
        ];
        for (text, why) in refused {
            let error = Filter::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
