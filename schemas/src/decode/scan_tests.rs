//! The grammar, form by form, and the search in words against the search byte by byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

/// The value of a text that holds nothing else.
fn whole(text: &str) -> Result<Value<'_>, Fault> {
    let mut scan = Scanner::new(text);
    let value = scan.value()?;
    if scan.next_byte().is_some() { scan.fault("more") } else { Ok(value) }
}

#[test]
fn each_kind_of_value_is_told_with_what_it_holds() {
    for (text, value) in [
        ("null", Value::Null),
        (" true\n", Value::Boolean),
        ("\t\r\n false", Value::Boolean),
        (r#""""#, Value::Plain("")),
        (r#""a é€😀 b""#, Value::Plain("a é€😀 b")),
        (r#""a\"b""#, Value::Escaped(r#"a\"b"#)),
        (r#""\ud83d""#, Value::Escaped(r"\ud83d")),
        ("[]", Value::Array(1)),
        ("[ ]", Value::Array(1)),
        ("{}", Value::Object(1)),
        (r#"{"a":[1,{"b":"]"},[]],"c":null}"#, Value::Object(3)),
        (r#"[ { } , "\u12aF" , -1 ]"#, Value::Array(2)),
    ] {
        assert_eq!(whole(text), Ok(value), "{text}");
    }
}

#[test]
fn numbers_follow_the_grammar_and_keep_their_digits() {
    for number in ["0", "-0", "7", "-12", "0.5", "10.00", "1e5", "1E+05", "-0.1e-7", "1e999", &"9".repeat(400)] {
        assert_eq!(whole(number), Ok(Value::Number(number)));
    }
    for text in ["-", "+1", "01", "-01", "00", "1.", ".5", "1.e5", "1e", "1e+", "0x10", "1_000", "1,2", "NaN", "--1"] {
        assert!(whole(text).is_err(), "{text}");
    }
}

#[test]
fn what_json_does_not_allow_is_a_fault() {
    for text in [
        "",
        " ",
        "nul",
        "nullx",
        "True",
        "'a'",
        "\"",
        "\"a",
        "\"\\",
        "\"\\u",
        "\"\\u12\"",
        "\"\\x41\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"\u{1f}\"",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "{\"a\":1]",
        "{\"a\":1 \"b\":2}",
        "[]]",
        "{}{}",
        "\u{c}1",
        "\u{a0}1",
    ] {
        assert!(whole(text).is_err(), "{text:?}");
    }
    assert_eq!(whole("\"\u{7f}\u{80}\""), Ok(Value::Plain("\u{7f}\u{80}")), "DEL is no control character to JSON");
}

#[test]
fn brackets_match_at_any_depth() {
    // Around the width of the words that remember them, each with a mistake at each place.
    for depth in [1, 2, 63, 64, 65, 127, 128, 129, 200] {
        let kinds: Vec<bool> = (0..depth).map(|level| level * level % 7 < 3).collect();
        let opening: String = kinds.iter().map(|object| if *object { r#"{"k":"# } else { "[" }).collect();
        let closing: String = kinds.iter().rev().map(|object| if *object { '}' } else { ']' }).collect();
        let text = format!("{opening}0{closing}");
        let right = if kinds[0] { Value::Object(depth) } else { Value::Array(depth) };
        assert_eq!(whole(&text), Ok(right));
        for at in 0..depth {
            let other = if &closing[at..=at] == "}" { "]" } else { "}" };
            let wrong = format!("{opening}0{}{other}{}", &closing[..at], &closing[at + 1..]);
            assert!(whole(&wrong).is_err(), "{wrong}");
        }
        assert!(whole(&format!("{opening}0{}", &closing[1..])).is_err());
    }
    let deep = "[".repeat(1 << 20);
    assert!(whole(&deep).is_err());
    assert_eq!(whole(&format!("{deep}{}", "]".repeat(1 << 20))), Ok(Value::Array(1 << 20)));
}

#[test]
fn the_search_in_words_finds_what_the_search_byte_by_byte_finds() {
    let stop = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    let near = [0, 1, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x5b, 0x5c, 0x5d, 0x7f, 0x80, 0x9f, 0xa0, 0xa2, 0xdc, 0xff];
    for fill in [b'a', 0x21, 0x23, 0x80, 0xa2, 0xff] {
        for length in 0..20 {
            let mut bytes = vec![fill; length];
            assert_eq!(end_of_plain(&bytes, 0), length);
            for at in 0..length {
                for other in 0..length {
                    for byte in near {
                        bytes.fill(fill);
                        bytes[at] = byte;
                        bytes[other] = b'"';
                        for start in [0, at] {
                            let found = bytes[start..].iter().position(stop).map_or(length, |found| start + found);
                            assert_eq!(end_of_plain(&bytes, start), found, "{bytes:?} from {start}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_fault_is_told_by_line_and_column() {
    let told = |text: &str| whole(text).unwrap_err().reject(RejectCode::NotJson, text).detail;
    assert_eq!(told("[1 2]"), "a comma or the closing bracket is expected at line 1 column 4");
    assert_eq!(told("[\n\"é\",\n  x]"), "a value is expected at line 3 column 3");
    assert_eq!(told("\"é"), "the record ends within a string at line 1 column 4");
    assert_eq!(told(""), "the record ends where a value is expected at line 1 column 1");
}
