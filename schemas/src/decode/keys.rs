//! From the key of a record to the column that it fills.
//!
//! Producers nearly always send keys in one order, that of the table or a part of it: `record` first asks whether the key after
//! the last one is next, which three comparisons of words answer without a look at where the key ends. If not, a perfect hash
//! made at compile time knows the column: one multiplication and one comparison, whatever the key.

use crate::table::{COLUMNS, EVENT_FIELDS};

/// Slots of the table, a power of two well above the number of keys, so that a multiplier without collisions is soon found.
const SLOTS: usize = 128;
const SHIFT: u32 = 64 - SLOTS.trailing_zeros();
/// What no slot holds as a column.
const FREE: u8 = u8::MAX;

/// A multiplier, and the column in each slot.
const TABLE: (u64, [u8; SLOTS]) = {
    let mut multiplier: u64 = 0x9E37_79B9_7F4A_7C15;
    loop {
        let slots = fill(multiplier);
        if let Some(slots) = slots {
            break (multiplier, slots);
        }
        multiplier = multiplier.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(2);
    }
};

/// The columns in their slots, if no two share one.
const fn fill(multiplier: u64) -> Option<[u8; SLOTS]> {
    let mut slots = [FREE; SLOTS];
    let mut column = 0;
    while column < EVENT_FIELDS {
        let slot = slot(multiplier, COLUMNS[column].name.as_bytes());
        if slots[slot] != FREE {
            return None;
        }
        slots[slot] = column as u8;
        column += 1;
    }
    Some(slots)
}

/// Of a key that is not empty: its length and three of its bytes tell all names apart, which the compiler proves by ending.
const fn slot(multiplier: u64, key: &[u8]) -> usize {
    let (first, third, last) = (key[0], key[key.len() / 3], key[key.len() - 1]);
    let sample = u32::from_le_bytes([first, third, last, key.len() as u8]) as u64;
    (sample.wrapping_mul(multiplier) >> SHIFT) as usize
}

/// The column of a key, its escapes resolved; `None` if it is no field of an event.
pub(super) fn column(key: &str) -> Option<usize> {
    if key.is_empty() {
        return None;
    }
    let (multiplier, slots) = &TABLE;
    let column = usize::from(slots[slot(*multiplier, key.as_bytes())]);
    COLUMNS.get(column).filter(|found| found.name == key).map(|_| column)
}

/// Bytes that are compared at once: no name of a column is longer, with its quotes.
const WIDTH: usize = 24;
const WORDS: usize = WIDTH / 8;

/// `"name"` as words, and which bits of them count.
struct Expected {
    words: [u64; WORDS],
    masks: [u64; WORDS],
    width: usize,
}

/// What is next in the order of the table; after the last field, what nothing is equal to.
static EXPECTED: [Expected; EVENT_FIELDS + 1] = {
    let mut all = [const { Expected { words: [1; WORDS], masks: [0; WORDS], width: 0 } }; EVENT_FIELDS + 1];
    let mut column = 0;
    while column < EVENT_FIELDS {
        all[column] = expected(COLUMNS[column].name.as_bytes());
        column += 1;
    }
    all
};

const fn expected(name: &[u8]) -> Expected {
    assert!(name.len() + 2 <= WIDTH);
    let mut found = Expected { words: [0; WORDS], masks: [0; WORDS], width: name.len() + 2 };
    let mut at = 0;
    while at < found.width {
        let byte = if at == 0 || at > name.len() { b'"' } else { name[at - 1] };
        found.words[at / 8] |= (byte as u64) << (at % 8 * 8);
        found.masks[at / 8] |= 0xFF << (at % 8 * 8);
        at += 1;
    }
    found
}

/// Whether the key of this column comes next; if so, how many bytes it has with its quotes. No answer counts as no: it
/// costs the way by the hash, and at the end of a record there may be too few bytes for one.
#[inline]
pub(super) fn width_if_next(rest: &[u8], column: usize) -> Option<usize> {
    let (bytes, expected) = (rest.first_chunk::<WIDTH>()?, EXPECTED.get(column)?);
    let (words, _) = bytes.as_chunks::<8>();
    let differ = (0..WORDS)
        .fold(0, |differ, at| differ | (u64::from_le_bytes(words[at]) & expected.masks[at]) ^ expected.words[at]);
    (differ == 0).then_some(expected.width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_column_and_nothing_else_has_one() {
        for (position, field) in COLUMNS[..EVENT_FIELDS].iter().enumerate() {
            assert_eq!(column(field.name), Some(position));
            assert_eq!(column(&field.name[1..]), None);
            assert_eq!(column(&field.name.to_uppercase()), None);
            assert_eq!(column(&format!("{}_", field.name)), None);
        }
        assert_eq!(column(COLUMNS[EVENT_FIELDS].name), None, "the ingestion time is no field of an event");
        for other in ["", "x", "os ", "évent_id", &"event_id".repeat(64)] {
            assert_eq!(column(other), None);
        }
    }

    #[test]
    fn the_key_expected_is_known_by_all_of_its_bytes() {
        for (position, field) in COLUMNS[..EVENT_FIELDS].iter().enumerate() {
            let text = format!("\"{}\"{}", field.name, " ".repeat(WIDTH));
            let width = field.name.len() + 2;
            assert_eq!(width_if_next(text.as_bytes(), position), Some(width));
            for at in 0..width {
                let mut other = text.clone().into_bytes();
                other[at] ^= 1;
                assert_eq!(width_if_next(&other, position), None);
            }
            for other in (0..EVENT_FIELDS + 2).filter(|other| *other != position) {
                assert_eq!(width_if_next(text.as_bytes(), other), None);
            }
        }
        assert_eq!(width_if_next(b"\"os\"", 12), None, "too few bytes for an answer");
    }
}
