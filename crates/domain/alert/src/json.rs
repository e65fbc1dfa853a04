//! JSON as Go's encoder writes it, for payloads that are compared byte for byte.
//!
//! - Source: Go `encoding/json` with HTML escaping on (reference §7.2, §7.5).
//! - Differs: NaN and infinities are `null`; upstream fails and loses the event.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::fmt::temporal::DateTimePrinter;
use levada_codec::json_text::append_f64;
use levada_model::text::encode_byte;
use levada_model::{FieldValue, Timestamp};

/// Writes times as RFC 3339.
const PRINTER: DateTimePrinter = DateTimePrinter::new();

/// Appends a text with quotes.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut at = 0;
    while let Some(eight) = bytes[at..].first_chunk::<8>() {
        // What comes after the first special byte is taken back.
        let plain = specials(u64::from_le_bytes(*eight)).trailing_zeros() as usize / 8;
        out.extend_from_slice(eight);
        at += plain;
        if plain < eight.len() {
            out.truncate(out.len() - (eight.len() - plain));
            at += write_some(bytes, at, out);
        }
    }
    match bytes[at..].iter().all(|byte| is_plain(*byte)) {
        true => out.extend_from_slice(&bytes[at..]),
        false => {
            while at < bytes.len() {
                at += write_some(bytes, at, out);
            }
        }
    }
    out.push(b'"');
}

/// Appends what stands at a place, with an escape where it needs one; gives how many bytes that were.
#[inline(always)]
fn write_some(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let byte = bytes[at];
    match byte {
        // U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
        0xe2 if bytes[at + 1] == 0x80 && bytes[at + 2] | 1 == 0xa9 => {
            out.extend_from_slice(if bytes[at + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
            return 3;
        }
        _ if is_plain(byte) => out.push(byte),
        _ if byte.is_ascii() => encode_byte(byte, out),
        _ => {
            // Up to what may begin a line separator.
            let rest = &bytes[at + 1..];
            let end = rest.iter().position(|byte| byte.is_ascii() || *byte == 0xe2);
            let end = at + 1 + end.unwrap_or(rest.len());
            out.extend_from_slice(&bytes[at..end]);
            return end - at;
        }
    }
    1
}

#[inline(always)]
fn is_plain(byte: u8) -> bool {
    byte.is_ascii() && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0..0x20)
}

/// Marks the bytes of eight that may need an escape by their highest bit; behind the first that is marked others may be, too.
#[inline(always)]
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    // One bit is what `"` and `&` differ in, and `<` and `>`.
    let quote_or_and = has_zero((word & !(ONES * 0x04)) ^ (ONES * u64::from(b'"')));
    let less_or_greater = has_zero((word | (ONES * 0x02)) ^ (ONES * u64::from(b'>')));
    let backslash = has_zero(word ^ (ONES * u64::from(b'\\')));
    // Bytes that are not ASCII may begin a line separator.
    (control | quote_or_and | less_or_greater | backslash | word) & HIGH
}

/// Appends `"key":`.
pub fn write_key(key: &str, out: &mut Vec<u8>) {
    write_text(key, out);
    out.push(b':');
}

/// Appends an integer.
pub fn write_int(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a float: the shortest digits that are read back, an exponent only when it is very small or large.
pub fn write_float(number: f64, out: &mut Vec<u8>) {
    if append_f64(out, number).is_err() {
        out.extend_from_slice(b"null");
    }
}

/// Appends a time as RFC 3339 with the digits it needs.
pub fn write_time(time: Timestamp, out: &mut Vec<u8>) {
    out.push(b'"');
    PRINTER.print_timestamp(&time.to_jiff(), &mut *out).expect("a vector takes every byte");
    out.push(b'"');
}

/// Appends a value of a field; bytes that are no text as base64, durations in nanoseconds.
pub fn write_field(value: &FieldValue, out: &mut Vec<u8>) {
    match value {
        FieldValue::Float(number) => write_float(*number, out),
        FieldValue::Int(number) | FieldValue::Duration(number) => write_int(*number, out),
        FieldValue::UInt(number) => {
            out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
        }
        FieldValue::Bool(true) => out.extend_from_slice(b"true"),
        FieldValue::Bool(false) => out.extend_from_slice(b"false"),
        FieldValue::Str(text) => write_text(text, out),
        FieldValue::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => write_text(text, out),
            Err(_) => write_text(&STANDARD.encode(bytes), out),
        },
        FieldValue::Null => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn text(text: &str) -> String {
        let mut out = Vec::new();
        write_text(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn float(number: f64) -> String {
        let mut out = Vec::new();
        write_float(number, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_are_safe_inside_html() {
        assert_eq!(text("a<b>&c"), r#""a\u003cb\u003e\u0026c""#);
        assert_eq!(
            text("\u{2028}x\u{2029}\u{2027}\u{202a}é€😀"),
            "\"\\u2028x\\u2029\u{2027}\u{202a}é€😀\""
        );
        for before in (0..9).map(|count| "x".repeat(count)) {
            let mixed = format!("{before}é\u{2028}€\u{2029}\u{2027}\u{2028}😀<é");
            let written = format!("\"{before}é\\u2028€\\u2029\u{2027}\\u2028😀\\u003cé\"");
            assert_eq!(text(&mixed), written);
        }
        assert_eq!(
            text("\"\\\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}/'"),
            "\"\\\"\\\\\\n\\r\\t\\b\\f\\u0001\\u001f\u{7f}/'\""
        );
    }

    #[test]
    fn texts_are_read_back_wherever_something_special_stands() {
        let others = ['\u{7f}', '\u{80}', 'é', '\u{2027}', '\u{2028}', '\u{2029}', '€', '😀'];
        for special in (0..0x7f_u8).map(char::from).chain(others) {
            for at in 0..20 {
                let around: String =
                    (0..20).map(|place| if place % 9 == at % 9 { special } else { 'x' }).collect();
                let alone = format!("{}{special}{}", "x".repeat(at), "y".repeat(20 - at));
                for original in [around, alone] {
                    let written = text(&original);
                    assert_eq!(serde_json::from_str::<String>(&written).unwrap(), original);
                    let unsafe_ones = ['<', '>', '&', '\u{2028}', '\u{2029}'];
                    assert!(!written.contains(unsafe_ones), "{written}");
                }
            }
        }
    }

    #[test]
    fn floats_are_written_as_go_does() {
        let cases = [
            (61.0, "61"),
            (0.0, "0"),
            (-0.0, "-0"),
            (97.1, "97.1"),
            (1e6, "1000000"),
            (123456789.5, "123456789.5"),
            (1e20, "100000000000000000000"),
            (999999999999999999999.0, "1e+21"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (-1.25e-10, "-1.25e-10"),
            (5e-324, "5e-324"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
            (f64::NEG_INFINITY, "null"),
        ];
        for (number, expected) in cases {
            assert_eq!(float(number), expected);
        }
    }

    #[test]
    fn other_values() {
        let cases = [
            (FieldValue::Int(i64::MIN), "-9223372036854775808"),
            (FieldValue::UInt(u64::MAX), "18446744073709551615"),
            (FieldValue::Bool(true), "true"),
            (FieldValue::Bool(false), "false"),
            (FieldValue::Str("x".into()), "\"x\""),
            (FieldValue::Bytes(b"x".as_slice().into()), "\"x\""),
            (FieldValue::Bytes(b"\xff\x00".as_slice().into()), "\"/wA=\""),
            (FieldValue::Duration(1_000), "1000"),
            (FieldValue::Null, "null"),
        ];
        for (value, expected) in cases {
            let mut out = Vec::new();
            write_field(&value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn texts_are_read_back(value in ".*") {
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&text(&value)).unwrap(), value);
        }

        #[test]
        fn floats_are_read_back(bits: u64) {
            let number = f64::from_bits(bits);
            proptest::prop_assume!(number.is_finite());
            proptest::prop_assert_eq!(float(number).parse::<f64>().unwrap().to_bits(), bits);
        }
    }
}
