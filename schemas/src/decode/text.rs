//! The text that a JSON string with escapes stands for.
//!
//! The scanner has checked the form of each escape, so that one fault is left: half of a surrogate pair, which no UTF-8 can
//! hold. Called for keys by `record` and for values by `value`.

/// Appends what stands between the quotes to `text`, its escapes resolved.
///
/// # Errors
/// The offset, in bytes, of half of a surrogate pair.
pub(super) fn unescape(raw: &str, text: &mut String) -> Result<(), usize> {
    text.reserve(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let offset = raw.len() - escape.len() - 1;
        let (meant, width) = one(escape.as_bytes()).ok_or(offset)?;
        text.push(meant);
        rest = escape.get(width..).ok_or(offset)?;
    }
    text.push_str(rest);
    Ok(())
}

/// The character of an escape, and how many bytes after the backslash it takes.
fn one(escape: &[u8]) -> Option<(char, usize)> {
    let short = match escape.first()? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return pair_or_one(escape),
        itself => char::from(*itself),
    };
    Some((short, 1))
}

/// `uXXXX`, or two of them that are one character together.
fn pair_or_one(escape: &[u8]) -> Option<(char, usize)> {
    let first = hex(escape.get(1..5)?)?;
    if !(0xD800..0xDC00).contains(&first) {
        // A low surrogate that stands alone is no character.
        return char::from_u32(first).map(|meant| (meant, 5));
    }
    let second = hex(escape.get(5..11)?.strip_prefix(b"\\u")?)?;
    if !(0xDC00..0xE000).contains(&second) {
        return None;
    }
    char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)).map(|meant| (meant, 11))
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(raw: &str) -> Result<String, usize> {
        let mut text = String::from("before");
        unescape(raw, &mut text).map(|()| text.split_off("before".len()))
    }

    #[test]
    fn escapes_become_what_they_stand_for() {
        assert_eq!(meant(""), Ok(String::new()));
        assert_eq!(meant("no escape, é€😀"), Ok("no escape, é€😀".to_owned()));
        assert_eq!(meant(r#"\"\\\/\b\f\n\r\t"#), Ok("\"\\/\u{8}\u{c}\n\r\t".to_owned()));
        assert_eq!(meant(r"\u0000\u0041\u00e9\u20AC\uFFFF"), Ok("\0A\u{e9}\u{20ac}\u{ffff}".to_owned()));
        assert_eq!(meant(r"a\ud83d\ude00b\uDBFF\uDFFF"), Ok("a\u{1f600}b\u{10ffff}".to_owned()));
        assert_eq!(meant(r"\\u0041\\"), Ok(r"\u0041\".to_owned()));
    }

    #[test]
    fn half_of_a_pair_is_found_where_it_stands() {
        for (raw, offset) in [
            (r"\ud83d", 0),
            (r"x\ude00", 1),
            (r"é\ud83dx", 2),
            (r"\ud83d\n", 0),
            (r"\ud83d\u0041", 0),
            (r"\ude00\ud83d", 0),
            (r"\ud83d\ud83d\ude00", 0),
            (r"\ud83d\ude00\ud83d", 12),
        ] {
            assert_eq!(meant(raw), Err(offset), "{raw}");
        }
    }
}
