//! One verb of a format applied to one value.

use std::borrow::Cow;

use crate::go::time::{MONTHS, WEEKDAYS};
use crate::go::{duration, float, quote};
use crate::value::Value;

/// How deep lists, maps and structs are printed; deeper ones show as `...`.
const DEPTH_MAX: usize = 64;

/// What stands between `%` and the verb.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) plus: bool,
    pub(crate) minus: bool,
    pub(crate) sharp: bool,
    pub(crate) space: bool,
    pub(crate) zero: bool,
    /// `%+v`: structs with the names of their fields.
    pub(crate) plus_v: bool,
    /// `%#v`: Go source.
    pub(crate) sharp_v: bool,
    pub(crate) width: Option<usize>,
    pub(crate) precision: Option<usize>,
    /// Inside the text of a mistake, where values do not print themselves.
    mistaken: bool,
}

/// Writes a value with a verb; `depth` counts the containers around it.
pub(crate) fn write(
    out: &mut String,
    value: &Value<'_>,
    verb: char,
    flags: &mut Flags,
    depth: usize,
) {
    if verb == 'T' && depth == 0 {
        return text(out, value.type_name(), 's', flags);
    }
    if matches!(verb, 'w' | 'p') {
        // Only errors and pointers have them, and there are none among values.
        return mistake(out, value, verb, flags);
    }
    if depth > DEPTH_MAX {
        return out.push_str("...");
    }
    if let Some(own) = own_text(value, verb, flags) {
        return text(out, &own, if verb == 'v' { 's' } else { verb }, flags);
    }
    match value {
        Value::Nil => match verb {
            'v' if flags.sharp_v && depth > 0 => out.push_str("interface {}(nil)"),
            _ if depth > 0 => out.push_str("<nil>"),
            'v' => pad(out, "<nil>", flags),
            _ => mistake(out, value, verb, flags),
        },
        Value::Bool(truth) => match verb {
            't' | 'v' => pad(out, if *truth { "true" } else { "false" }, flags),
            _ => mistake(out, value, verb, flags),
        },
        Value::Float(number) => write_float(out, value, *number, verb, flags),
        Value::Str(content) => match verb {
            'v' if flags.sharp_v => quoted(out, content, flags),
            'v' => text(out, content, 's', flags),
            's' | 'x' | 'X' | 'q' => text(out, content, verb, flags),
            _ => mistake(out, value, verb, flags),
        },
        Value::Time(time) if flags.sharp_v && verb == 'v' => time.go_source(out),
        Value::Time(_) | Value::Location(_) => mistake(out, value, verb, flags),
        Value::List(_) | Value::Map(_) | Value::Struct(_) => {
            container(out, value, verb, flags, depth);
        }
        number => match (number.as_int(), number.as_uint()) {
            (Some(signed), _) => {
                integer(out, value, signed.unsigned_abs(), Some(signed < 0), verb, flags);
            }
            (None, unsigned) => {
                integer(out, value, unsigned.unwrap_or_default(), None, verb, flags);
            }
        },
    }
}

/// Gives the text of the values that print themselves.
fn own_text<'v>(value: &Value<'v>, verb: char, flags: &Flags) -> Option<Cow<'v, str>> {
    if flags.sharp_v || (flags.mistaken && !matches!(value, Value::Time(_) | Value::Location(_))) {
        return None;
    }
    if !matches!(verb, 'v' | 's' | 'x' | 'X' | 'q') {
        return None;
    }
    Some(match value {
        Value::Duration(nanos) => Cow::Owned(duration::text(*nanos)),
        Value::Time(time) => {
            let mut out = String::new();
            time.print(&mut out);
            Cow::Owned(out)
        }
        Value::Month(month) => {
            Cow::Borrowed(MONTHS.get(usize::from(*month).wrapping_sub(1)).copied().unwrap_or("?"))
        }
        Value::Weekday(day) => {
            Cow::Borrowed(WEEKDAYS.get(usize::from(*day)).copied().unwrap_or("?"))
        }
        Value::Location(zone) => Cow::Borrowed(zone.name()),
        _ => return None,
    })
}

/// Writes the text of a verb that the value does not have.
fn mistake(out: &mut String, value: &Value<'_>, verb: char, flags: &mut Flags) {
    out.push_str("%!");
    out.push(verb);
    out.push('(');
    if let Value::Nil = value {
        out.push_str("<nil>");
    } else {
        out.push_str(value.type_name());
        out.push('=');
        let before = std::mem::replace(&mut flags.mistaken, true);
        write(out, value, 'v', flags, 0);
        flags.mistaken = before;
    }
    out.push(')');
}

// Padding

/// Writes a finished text in the width.
fn pad(out: &mut String, content: &str, flags: &Flags) {
    let Some(width) = flags.width else {
        return out.push_str(content);
    };
    let missing = width.saturating_sub(content.chars().count());
    if flags.minus {
        out.push_str(content);
        out.extend(std::iter::repeat_n(' ', missing));
    } else {
        out.extend(std::iter::repeat_n(if flags.zero { '0' } else { ' ' }, missing));
        out.push_str(content);
    }
}

fn pad_with_spaces(out: &mut String, content: &str, flags: &mut Flags) {
    let zero = std::mem::replace(&mut flags.zero, false);
    pad(out, content, flags);
    flags.zero = zero;
}

// Texts

fn cut<'t>(content: &'t str, flags: &Flags) -> &'t str {
    match flags.precision {
        Some(precision) => match content.char_indices().nth(precision) {
            Some((at, _)) => &content[..at],
            None => content,
        },
        None => content,
    }
}

fn text(out: &mut String, content: &str, verb: char, flags: &mut Flags) {
    match verb {
        'x' | 'X' => hex(out, content.as_bytes(), verb, flags),
        'q' => quoted(out, content, flags),
        _ => pad(out, cut(content, flags), flags),
    }
}

fn quoted(out: &mut String, content: &str, flags: &Flags) {
    let content = cut(content, flags);
    if flags.sharp && quote::can_backquote(content) {
        return pad(out, &format!("`{content}`"), flags);
    }
    let mut result = String::with_capacity(content.len() + 2);
    quote::quote(&mut result, content, flags.plus);
    pad(out, &result, flags);
}

fn hex(out: &mut String, bytes: &[u8], verb: char, flags: &Flags) {
    let bytes =
        &bytes[..flags.precision.map_or(bytes.len(), |precision| precision.min(bytes.len()))];
    let mut result = String::with_capacity(bytes.len() * 2);
    for (index, byte) in bytes.iter().enumerate() {
        if flags.space && index > 0 {
            result.push(' ');
        }
        if flags.sharp && (flags.space || index == 0) {
            result.push('0');
            result.push(verb);
        }
        for digit in [byte >> 4, byte & 15] {
            result.push(hex_digit(u32::from(digit), verb == 'X'));
        }
    }
    pad(out, &result, flags);
}

fn hex_digit(digit: u32, upper: bool) -> char {
    let c = char::from_digit(digit, 16).unwrap_or('0');
    if upper { c.to_ascii_uppercase() } else { c }
}

// Integers

/// Writes an integer; `negative` is nothing for the unsigned kinds.
fn integer(
    out: &mut String,
    value: &Value<'_>,
    size: u64,
    negative: Option<bool>,
    verb: char,
    flags: &mut Flags,
) {
    let is_negative = negative.unwrap_or(false);
    match verb {
        'v' if flags.sharp_v && negative.is_none() => {
            flags.sharp = true;
            digits(out, size, false, 16, 'v', flags);
            flags.sharp = false;
        }
        'd' | 'v' => digits(out, size, is_negative, 10, verb, flags),
        'b' => digits(out, size, is_negative, 2, verb, flags),
        'o' | 'O' => digits(out, size, is_negative, 8, verb, flags),
        'x' | 'X' => digits(out, size, is_negative, 16, verb, flags),
        'c' => pad(out, rune(size, is_negative).encode_utf8(&mut [0; 4]), flags),
        'q' => {
            let mut result = String::new();
            quote::quote_rune(&mut result, rune(size, is_negative), flags.plus);
            pad(out, &result, flags);
        }
        'U' => unicode(out, if is_negative { size.wrapping_neg() } else { size }, flags),
        _ => mistake(out, value, verb, flags),
    }
}

fn rune(size: u64, negative: bool) -> char {
    let code = if negative { None } else { u32::try_from(size).ok() };
    code.and_then(char::from_u32).unwrap_or('\u{fffd}')
}

fn digits(out: &mut String, size: u64, negative: bool, base: u64, verb: char, flags: &mut Flags) {
    if flags.precision == Some(0) && size == 0 {
        return pad_with_spaces(out, "", flags);
    }
    let mut wanted = flags.precision.unwrap_or(0);
    if flags.precision.is_none() && flags.zero && !flags.minus {
        let sign = usize::from(negative || flags.plus || flags.space);
        wanted = flags.width.unwrap_or(0).saturating_sub(sign);
    }
    let mut reversed = String::new();
    let mut rest = size;
    loop {
        reversed.push(hex_digit((rest % base) as u32, verb == 'X'));
        rest /= base;
        if rest == 0 {
            break;
        }
    }
    reversed.extend(std::iter::repeat_n('0', wanted.saturating_sub(reversed.len())));
    if flags.sharp {
        match base {
            2 => reversed.push_str("b0"),
            8 if !reversed.ends_with('0') => reversed.push('0'),
            16 => reversed.push_str(if verb == 'X' { "X0" } else { "x0" }),
            _ => {}
        }
    }
    if verb == 'O' {
        reversed.push_str("o0");
    }
    if negative {
        reversed.push('-');
    } else if flags.plus {
        reversed.push('+');
    } else if flags.space {
        reversed.push(' ');
    }
    let result: String = reversed.chars().rev().collect();
    pad_with_spaces(out, &result, flags);
}

fn unicode(out: &mut String, code: u64, flags: &mut Flags) {
    let width = flags.precision.unwrap_or(4).max(4);
    let mut result = format!("U+{code:0width$X}");
    if flags.sharp
        && let Some(c) = u32::try_from(code).ok().and_then(char::from_u32)
        && quote::is_print(c)
    {
        result.push_str(&format!(" '{c}'"));
    }
    pad_with_spaces(out, &result, flags);
}

// Floats

fn write_float(out: &mut String, value: &Value<'_>, number: f64, verb: char, flags: &mut Flags) {
    let precision = match verb {
        'v' | 'b' | 'g' | 'G' | 'x' | 'X' => flags.precision,
        'e' | 'E' | 'f' | 'F' => Some(flags.precision.unwrap_or(6)),
        _ => return mistake(out, value, verb, flags),
    };
    let shape = if verb == 'v' { 'g' } else { verb };
    let mut content = String::new();
    float::format(&mut content, number, shape, precision);
    if !content.starts_with(['-', '+']) {
        content.insert(0, '+');
    }
    if flags.space && content.starts_with('+') && !flags.plus {
        content.replace_range(..1, " ");
    }
    if !number.is_finite() {
        // An infinity keeps its sign.
        if number.is_nan() && content.starts_with('+') && !flags.plus {
            content.remove(0);
        }
        return pad_with_spaces(out, &content, flags);
    }
    if flags.sharp && verb != 'b' {
        keep_zeros(&mut content, shape, precision);
    }
    if flags.plus || !content.starts_with('+') {
        let width = flags.width.unwrap_or(0);
        if flags.zero && !flags.minus && width > content.len() {
            out.push_str(&content[..1]);
            out.extend(std::iter::repeat_n('0', width - content.len()));
            return out.push_str(&content[1..]);
        }
        return pad(out, &content, flags);
    }
    pad(out, &content[1..], flags);
}

/// Puts back the point and the zeros that `g` drops.
fn keep_zeros(content: &mut String, shape: char, precision: Option<usize>) {
    let ends = if shape == 'x' { ['p', 'P'] } else { ['e', 'E'] };
    let tail = content.find(ends).unwrap_or(content.len());
    let exponent = content.split_off(tail);
    if !content.contains('.') {
        content.push('.');
    }
    if matches!(shape, 'g' | 'G' | 'x') {
        let wanted = precision.unwrap_or(6).max(1);
        let digits = content.chars().filter(|c| c.is_ascii_hexdigit() || *c == 'x');
        // The `x` of `0x` counts as a digit upstream.
        let shown = digits.skip_while(|c| *c == '0').count().max(1);
        content.extend(std::iter::repeat_n('0', wanted.saturating_sub(shown)));
    }
    content.push_str(&exponent);
}

// Containers

fn container(out: &mut String, value: &Value<'_>, verb: char, flags: &mut Flags, depth: usize) {
    let source = flags.sharp_v && verb == 'v';
    let separator = if source { ", " } else { " " };
    if source {
        out.push_str(value.type_name());
    }
    let (open, close) = match value {
        _ if source => ('{', '}'),
        Value::Map(_) => {
            out.push_str("map");
            ('[', ']')
        }
        Value::List(_) => ('[', ']'),
        _ => ('{', '}'),
    };
    out.push(open);
    match value {
        Value::List(list) => {
            for (index, item) in list.iter().enumerate() {
                out.push_str(if index > 0 { separator } else { "" });
                write(out, &item, verb, flags, depth + 1);
            }
        }
        Value::Map(map) => {
            for index in 0..map.len() {
                let (key, item) = map.entry(index);
                out.push_str(if index > 0 { separator } else { "" });
                write(out, &Value::from(key), verb, flags, depth + 1);
                out.push(':');
                write(out, &item, verb, flags, depth + 1);
            }
        }
        Value::Struct(data) => {
            for (index, field) in data.fields().iter().enumerate() {
                out.push_str(if index > 0 { separator } else { "" });
                if source || flags.plus_v {
                    out.push_str(field);
                    out.push(':');
                }
                write(out, &data.field(field).unwrap_or_default(), verb, flags, depth + 1);
            }
        }
        _ => {}
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use crate::go::printf::printf;
    use crate::value::Value;

    #[test]
    fn infinities_keep_their_sign() {
        let (up, down, none) = (f64::INFINITY, f64::NEG_INFINITY, f64::NAN);
        for (format, value, wanted) in [
            ("%v", up, "+Inf"),
            ("%f", up, "+Inf"),
            ("%06.1f", up, "  +Inf"),
            ("%-6g|", up, "+Inf  |"),
            ("% e", up, " Inf"),
            ("%+e", up, "+Inf"),
            ("%d", up, "%!d(float64=+Inf)"),
            ("%.2f", down, "-Inf"),
            ("%v", none, "NaN"),
            ("% v", none, " NaN"),
            ("%+.1f", none, "+NaN"),
        ] {
            let mut out = String::new();
            printf(&mut out, format, &[Value::Float(value)]);
            assert_eq!(out, wanted, "{format}");
        }
    }
}
