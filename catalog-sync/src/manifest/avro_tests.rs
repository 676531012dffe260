//! Bytes by hand, from the examples of Avro's specification and against its rules.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn shape(schema: &Value) -> Shape {
    Shape::of(schema).unwrap()
}

#[test]
fn numbers_are_those_of_the_specification() {
    for (bytes, long) in [
        (&[0x00][..], 0),
        (&[0x01], -1),
        (&[0x02], 1),
        (&[0x7f], -64),
        (&[0x80, 0x01], 64),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], i64::MIN),
        (&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], i64::MAX),
    ] {
        assert_eq!(Shape::Long.scalar(&mut Cursor(bytes)), Some(Scalar::Long(long)), "{bytes:x?}");
    }
    for broken in [&[][..], &[0x80], &[0xff; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]] {
        assert_eq!(Shape::Long.scalar(&mut Cursor(broken)), None, "{broken:x?}");
    }
}

#[test]
fn what_is_passed_over_ends_where_the_next_value_begins() {
    let pair = json!({"type": "record", "name": "k1_v2", "fields": [
        {"name": "key", "type": "int"}, {"name": "value", "type": "bytes"}]});
    let cases = [
        (json!("null"), vec![]),
        (json!("boolean"), vec![1]),
        (json!("float"), vec![0; 4]),
        (json!("double"), vec![0; 8]),
        (json!({"type": "fixed", "name": "f", "size": 3}), vec![0; 3]),
        (json!("string"), vec![4, b'a', b'b']),
        (json!(["null", {"type": "long", "logicalType": "timestamp-micros"}]), vec![2, 0x80, 0x01]),
        (json!(["null", "long"]), vec![0]),
        // Two pairs in a block, then one in a block that tells its size.
        (json!({"type": "array", "items": pair}), vec![4, 2, 2, 9, 4, 0, 1, 6, 6, 2, 9, 0]),
        (json!({"type": "map", "values": "boolean"}), vec![2, 2, b'k', 1, 0]),
    ];
    for (schema, mut bytes) in cases {
        bytes.push(42);
        let mut cursor = Cursor(&bytes);
        assert_eq!(shape(&schema).skip(&mut cursor), Some(()), "{schema}");
        assert_eq!(cursor.0, [42], "{schema}");
    }
}

#[test]
fn arrays_of_numbers_are_read_and_what_is_none_is_not() {
    let longs = shape(&json!(["null", {"type": "array", "items": "long"}]));
    assert_eq!(longs.longs(&mut Cursor(&[2, 4, 2, 4, 0])), Some(Some(vec![1, 2])));
    assert_eq!(longs.longs(&mut Cursor(&[0])), Some(None));
    assert_eq!(longs.longs(&mut Cursor(&[4])), None);
    assert_eq!(shape(&json!({"type": "array", "items": "string"})).longs(&mut Cursor(&[0])), None);
}

#[test]
fn what_is_unusual_has_no_shape() {
    for schema in [json!("k1_v2"), json!({"type": "enum", "name": "e", "symbols": ["A"]}), json!(7), json!({})] {
        assert_eq!(Shape::of(&schema), None, "{schema}");
    }
}

#[test]
fn items_without_a_size_are_not_counted_for_ever() {
    let nulls = shape(&json!({"type": "array", "items": "null"}));
    let mut bytes = vec![0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    bytes.push(0);
    assert_eq!(nulls.skip(&mut Cursor(&bytes)), None);
}

/// A container of one block.
fn container(codec: &str, count: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = b"Obj\x01\x02\x14avro.codec".to_vec();
    bytes.push(codec.len() as u8 * 2);
    bytes.extend(codec.as_bytes());
    bytes.push(0);
    bytes.extend([7; 16]);
    bytes.extend([count * 2, block.len() as u8 * 2]);
    bytes.extend(block);
    bytes.extend([7; 16]);
    bytes
}

fn longs_of(bytes: &[u8]) -> Option<Vec<i64>> {
    let mut longs = Vec::new();
    Container::open(bytes)?.records(|cursor| cursor.long().map(|long| longs.push(long)))?;
    Some(longs)
}

#[test]
fn records_are_read_plain_and_deflated() {
    assert_eq!(longs_of(&container("null", 3, &[2, 4, 6])), Some(vec![1, 2, 3]));
    let deflated = miniz_oxide::deflate::compress_to_vec(&[2, 4, 6], 6);
    assert_eq!(longs_of(&container("deflate", 3, &deflated)), Some(vec![1, 2, 3]));
}

#[test]
fn a_container_that_is_cut_off_or_does_not_count_right_is_not_read() {
    let whole = container("null", 3, &[2, 4, 6]);
    let header = whole.len() - 21;
    for end in (0..whole.len()).filter(|&end| end != header) {
        assert_eq!(longs_of(&whole[..end]), None, "{end} of {} bytes", whole.len());
    }
    assert_eq!(longs_of(&container("null", 2, &[2, 4, 6])), None);
    assert_eq!(longs_of(&container("null", 4, &[2, 4, 6])), None);
    assert_eq!(longs_of(&container("zstandard", 3, &[2, 4, 6])), None);
    assert_eq!(longs_of(&container("deflate", 3, &[2, 4, 6])), None);
    let mut other = whole;
    *other.last_mut().unwrap() = 8;
    assert_eq!(longs_of(&other), None);
}
