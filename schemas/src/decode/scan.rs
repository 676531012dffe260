//! A cursor over the text of a record that knows the grammar of JSON and nothing of clicks.
//!
//! Each step checks the grammar of what it passes and says what it learned: a string comes without its quotes and with the
//! word whether it holds escapes, a number as its own digits, an object or array as the depth of what is in it. Nothing is
//! converted, copied or looked at twice. There is no recursion, so that no nesting can exhaust the stack. `record` drives it.

use crate::reject::{Reject, RejectCode};

/// A value as it stands in the record, its grammar checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'de> {
    Null,
    Boolean,
    /// As written: any number of digits, be it within the range of a double or not.
    Number(&'de str),
    /// What stands between the quotes, without escapes.
    Plain(&'de str),
    /// What stands between the quotes, with escapes of the right form; halves of surrogate pairs are for `text` to find.
    Escaped(&'de str),
    /// An array, and how deep it goes: 1 for `[]`.
    Array(usize),
    /// An object, and how deep it goes: 1 for `{}`.
    Object(usize),
}

/// Where the grammar is broken, and what should be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    what: &'static str,
    at: usize,
}

impl Fault {
    /// The reject, with the place in lines and bytes as editors count them.
    pub(super) fn reject(self, code: RejectCode, text: &str) -> Reject {
        let before = &text.as_bytes()[..self.at.min(text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        Reject::new(code, format!("{} at line {line} column {column}", self.what))
    }
}

#[derive(Debug)]
pub(super) struct Scanner<'de> {
    text: &'de str,
    /// The next byte; never beyond the end, and only ever after ASCII, which is a boundary of characters.
    at: usize,
}

impl<'de> Scanner<'de> {
    pub(super) fn new(text: &'de str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault { what, at: self.at })
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes white space and shows the byte after it.
    #[inline]
    pub(super) fn next_byte(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                // One comparison for nearly all.
                Some(byte) if byte > b' ' => return Some(byte),
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Passes white space and then this byte, if it is there.
    #[inline]
    pub(super) fn eat(&mut self, wanted: u8) -> bool {
        let found = self.next_byte() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// What is still to be read.
    #[inline]
    pub(super) fn rest(&self) -> &'de [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// Passes bytes that [`Self::rest`] has shown, the last of which is ASCII.
    #[inline]
    pub(super) fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Passes these bytes, if they are next.
    fn eat_all(&mut self, wanted: &str) -> bool {
        let found = self.rest().starts_with(wanted.as_bytes());
        if found {
            self.at += wanted.len();
        }
        found
    }

    /// A string, from its opening quote on.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Value<'de>, Fault> {
        self.at += 1;
        let (bytes, start) = (self.text.as_bytes(), self.at);
        let mut escaped = false;
        loop {
            self.at = end_of_plain(bytes, self.at);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.fault("a control character stands unescaped in a string"),
                None => return self.fault("the record ends within a string"),
            }
        }
        let inside = self.slice(start);
        self.at += 1;
        Ok(if escaped { Value::Escaped(inside) } else { Value::Plain(inside) })
    }

    #[inline(never)]
    fn escape(&mut self) -> Result<(), Fault> {
        let bytes = self.text.as_bytes();
        match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match bytes.get(self.at + 2..self.at + 6) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => self.at += 6,
                Some(_) => return self.fault("an escape has no four hexadecimal digits"),
                None => return self.fault("the record ends within an escape"),
            },
            Some(_) => return self.fault("there is no such escape"),
            None => return self.fault("the record ends within an escape"),
        }
        Ok(())
    }

    /// Passes white space and a whole value.
    #[inline]
    pub(super) fn value(&mut self) -> Result<Value<'de>, Fault> {
        match self.next_byte() {
            Some(b'{') => self.nested().map(Value::Object),
            Some(b'[') => self.nested().map(Value::Array),
            next => self.scalar(next),
        }
    }

    #[inline]
    fn scalar(&mut self, next: Option<u8>) -> Result<Value<'de>, Fault> {
        match next {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') if self.eat_all("null") => Ok(Value::Null),
            Some(b't') if self.eat_all("true") => Ok(Value::Boolean),
            Some(b'f') if self.eat_all("false") => Ok(Value::Boolean),
            Some(_) => self.fault("a value is expected"),
            None => self.fault("the record ends where a value is expected"),
        }
    }

    #[inline]
    fn number(&mut self) -> Result<Value<'de>, Fault> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let zero = self.peek() == Some(b'0');
        let whole = self.digits()?;
        if zero && whole > 1 {
            return self.fault("a number begins with a zero too many");
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Value::Number(self.slice(start)))
    }

    /// Passes one digit or more, and says how many.
    #[inline]
    fn digits(&mut self) -> Result<usize, Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { self.fault("a number lacks a digit") } else { Ok(self.at - start) }
    }

    /// Passes an object or array, from its bracket on, and says how deep it goes.
    #[inline(never)]
    fn nested(&mut self) -> Result<usize, Fault> {
        let mut open = Open::default();
        loop {
            match self.next_byte() {
                Some(b'{') => {
                    self.at += 1;
                    open.push(true);
                    if self.next_byte() != Some(b'}') {
                        self.nested_key()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    open.push(false);
                    if self.next_byte() != Some(b']') {
                        continue;
                    }
                }
                next => drop(self.scalar(next)?),
            }
            // A value is complete, or its closing bracket is next.
            loop {
                let Some(object) = open.is_object() else { return Ok(open.deepest) };
                match self.next_byte() {
                    Some(b'}') if object => open.pop(),
                    Some(b']') if !object => open.pop(),
                    Some(b',') => {
                        self.at += 1;
                        if object {
                            self.nested_key()?;
                        }
                        break;
                    }
                    Some(_) => return self.fault("a comma or the closing bracket is expected"),
                    None => return self.fault("the record ends within an object or array"),
                }
                self.at += 1;
            }
        }
    }

    fn nested_key(&mut self) -> Result<(), Fault> {
        if self.next_byte() != Some(b'"') {
            return self.fault("a key in double quotes is expected");
        }
        self.string()?;
        self.colon()
    }

    #[inline]
    pub(super) fn colon(&mut self) -> Result<(), Fault> {
        if self.eat(b':') { Ok(()) } else { self.fault("a colon is expected") }
    }

    /// From `start` to here; both stand beside ASCII, so that no character is cut.
    #[inline]
    fn slice(&self, start: usize) -> &'de str {
        self.text.get(start..self.at).unwrap_or_default()
    }
}

/// The brackets that are open: a bit for each, since a record may hold a million of them.
#[derive(Debug, Default)]
struct Open {
    /// The innermost ones, up to 64 of them, in the lowest bits; 1 is an object.
    last: u64,
    /// Those around them, 64 to a word.
    full: Vec<u64>,
    depth: usize,
    deepest: usize,
}

impl Open {
    fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.full.push(self.last);
        }
        self.last = self.last << 1 | u64::from(object);
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.last >>= 1;
        if self.depth.is_multiple_of(64) {
            self.last = self.full.pop().unwrap_or_default();
        }
    }

    /// What the innermost bracket belongs to; `None` when all are closed.
    fn is_object(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.last & 1 == 1)
    }
}

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);

/// The first quote, backslash or control byte from `at` on, or the end.
///
/// Eight bytes at a time: the subtractions set the high bit of each byte that is below a space, or zero after the XOR. A
/// borrow can reach bytes after such a one only, so that the lowest bit set is right.
#[inline]
fn end_of_plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*eight);
        let (quote, backslash) = (word ^ (ONES * u64::from(b'"')), word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let quote = quote.wrapping_sub(ONES) & !quote;
        let backslash = backslash.wrapping_sub(ONES) & !backslash;
        let stops = (control | quote | backslash) & HIGHS;
        if stops != 0 {
            return at + stops.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let stop = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    bytes[at..].iter().position(stop).map_or(bytes.len(), |found| at + found)
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
