//! Avro's container and binary form, as far as a manifest needs them: what nobody asks for is passed over, not decoded.
//!
//! `None` means that something is unusual or broken, and is never a guess: such a file is read again by the `iceberg` crate,
//! which knows all of Avro and says what is wrong. Pure. Called by [`super::form`].

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

/// Bytes that a compressed block may become.
const INFLATED_MAX: usize = 64 * 1024 * 1024;

/// A place in encoded values; reading moves it on.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// An `int` or `long`: seven bits a byte, the lowest first, the sign in the lowest of all.
    fn long(&mut self) -> Option<i64> {
        let mut bits = 0_u64;
        for (at, byte) in self.0.iter().copied().enumerate().take(10) {
            if at == 9 && byte > 1 {
                return None;
            }
            bits |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.0 = self.0.get(at + 1..)?;
                return Some((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.long()?).ok()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The items of an array or a map, which come in blocks, the last of them empty.
    fn items(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        loop {
            let count = match self.long()? {
                0 => return Some(()),
                // The size of the block follows.
                count if count < 0 => self.long().map(|_| count.unsigned_abs())?,
                count => count.unsigned_abs(),
            };
            self.has_room(count)?;
            for _ in 0..count {
                item(self)?;
            }
        }
    }

    /// Items of no size at all would be as many as somebody likes to say.
    fn has_room(&self, items: u64) -> Option<()> {
        (items <= self.0.len() as u64).then_some(())
    }
}

/// How a value is encoded, by the schema that it was written with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Null,
    Boolean,
    /// `int` and `long` are encoded alike.
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Array(Box<Self>),
    Map(Box<Self>),
    Record(Vec<(String, Self)>),
    Union(Vec<Self>),
}

/// A single value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    Null,
    Boolean(bool),
    Long(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
}

impl Shape {
    /// Of a schema. There is none for an enumeration, and for a type that is named only, having been defined before.
    pub(super) fn of(schema: &Value) -> Option<Self> {
        let of = |inner: Option<&Value>| Self::of(inner?);
        match schema {
            Value::String(name) => Self::primitive(name),
            Value::Array(variants) => variants.iter().map(Self::of).collect::<Option<_>>().map(Self::Union),
            Value::Object(object) => match object.get("type")? {
                Value::String(name) => match name.as_str() {
                    "record" => {
                        let field =
                            |field: &Value| Some((field.get("name")?.as_str()?.to_owned(), of(field.get("type"))?));
                        object.get("fields")?.as_array()?.iter().map(field).collect::<Option<_>>().map(Self::Record)
                    }
                    "array" => of(object.get("items")).map(|items| Self::Array(Box::new(items))),
                    "map" => of(object.get("values")).map(|values| Self::Map(Box::new(values))),
                    "fixed" => usize::try_from(object.get("size")?.as_u64()?).ok().map(Self::Fixed),
                    name => Self::primitive(name),
                },
                nested => Self::of(nested),
            },
            _ => None,
        }
    }

    fn primitive(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "int" | "long" => Self::Long,
            "float" => Self::Float,
            "double" => Self::Double,
            "bytes" => Self::Bytes,
            "string" => Self::Text,
            _ => return None,
        })
    }

    /// The one of a union's shapes that comes next; any other shape is itself.
    fn chosen(&self, cursor: &mut Cursor<'_>) -> Option<&Self> {
        match self {
            Self::Union(variants) => variants.get(usize::try_from(cursor.long()?).ok()?),
            one => Some(one),
        }
    }

    /// Passes over a value.
    pub(super) fn skip(&self, cursor: &mut Cursor<'_>) -> Option<()> {
        match self.chosen(cursor)? {
            Self::Null => Some(()),
            Self::Boolean => cursor.take(1).map(drop),
            Self::Long => cursor.long().map(drop),
            Self::Float => cursor.take(4).map(drop),
            Self::Double => cursor.take(8).map(drop),
            Self::Bytes | Self::Text => cursor.bytes().map(drop),
            Self::Fixed(size) => cursor.take(*size).map(drop),
            Self::Array(items) => cursor.items(|cursor| items.skip(cursor)),
            Self::Map(values) => cursor.items(|cursor| cursor.bytes().and_then(|_| values.skip(cursor))),
            Self::Record(fields) => fields.iter().try_for_each(|(_, shape)| shape.skip(cursor)),
            // A union in a union is against Avro's rules.
            Self::Union(_) => None,
        }
    }

    /// Reads a single value.
    pub(super) fn scalar<'a>(&self, cursor: &mut Cursor<'a>) -> Option<Scalar<'a>> {
        match self.chosen(cursor)? {
            Self::Null => Some(Scalar::Null),
            Self::Boolean => match cursor.take(1)? {
                [0] => Some(Scalar::Boolean(false)),
                [1] => Some(Scalar::Boolean(true)),
                _ => None,
            },
            Self::Long => cursor.long().map(Scalar::Long),
            Self::Bytes => cursor.bytes().map(Scalar::Bytes),
            Self::Text => cursor.text().map(Scalar::Text),
            _ => None,
        }
    }

    /// Reads an array of numbers, or null.
    pub(super) fn longs(&self, cursor: &mut Cursor<'_>) -> Option<Option<Vec<i64>>> {
        match self.chosen(cursor)? {
            Self::Null => Some(None),
            Self::Array(items) if **items == Self::Long => {
                let mut longs = Vec::new();
                cursor.items(|cursor| cursor.long().map(|long| longs.push(long)))?;
                Some(Some(longs))
            }
            _ => None,
        }
    }
}

/// A file of records, with a header that says how they are encoded.
#[derive(Debug)]
pub(super) struct Container<'a> {
    header: HashMap<&'a str, &'a [u8]>,
    sync: &'a [u8],
    blocks: Cursor<'a>,
}

impl<'a> Container<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes.strip_prefix(b"Obj\x01")?);
        let mut header = HashMap::new();
        cursor.items(|cursor| {
            header.insert(cursor.text()?, cursor.bytes()?);
            Some(())
        })?;
        Some(Self { header, sync: cursor.take(16)?, blocks: cursor })
    }

    /// An entry of the header.
    pub(super) fn header(&self, key: &str) -> Option<&'a [u8]> {
        self.header.get(key).copied()
    }

    /// Reads every record.
    pub(super) fn records(&self, mut record: impl FnMut(&mut Cursor<'_>) -> Option<()>) -> Option<()> {
        let is_deflated = match self.header("avro.codec") {
            None | Some(b"null") => false,
            Some(b"deflate") => true,
            Some(_) => return None,
        };
        let mut blocks = self.blocks.clone();
        while !blocks.0.is_empty() {
            let count = u64::try_from(blocks.long()?).ok()?;
            let data = blocks.bytes()?;
            let data = match is_deflated {
                false => Cow::Borrowed(data),
                true => miniz_oxide::inflate::decompress_to_vec_with_limit(data, INFLATED_MAX).ok()?.into(),
            };
            let mut cursor = Cursor(&data);
            cursor.has_room(count)?;
            for _ in 0..count {
                record(&mut cursor)?;
            }
            if !cursor.0.is_empty() || blocks.take(16)? != self.sync {
                return None;
            }
        }
        Some(())
    }
}

#[cfg(test)]
#[path = "avro_tests.rs"]
mod tests;
