//! `printf`: format strings with verbs, flags, widths, precisions and argument indexes.

use crate::bounds::OUTPUT_MAX;
use crate::go::verb::{self, Flags};
use crate::value::Value;

/// The largest width and precision; beyond it they count as malformed.
const NUMBER_MAX: i64 = 1_000_000;

/// The largest precision and width together that is written out; a format with more is cut.
///
/// Differs: upstream writes up to a million characters per verb.
pub const WIDTH_MAX: usize = 65_536;

/// Writes values by a format.
///
/// Mistakes show in the text: `%!d(string=x)`, `%!s(MISSING)`, `%!(EXTRA int=1)`, `%!(NOVERB)`,
/// `%!(BADINDEX)`, `%!(BADWIDTH)`, `%!(BADPREC)`.
pub fn printf(out: &mut String, format: &str, values: &[Value<'_>]) {
    Printer {
        format: format.as_bytes(),
        text: format,
        at: 0,
        values,
        next: 0,
        reordered: false,
        good: true,
    }
    .run(out);
}

/// Writes a value as `%v` does, for the kinds that [`super::print::value`] does not write itself.
pub(crate) fn print_value(out: &mut String, value: &Value<'_>) {
    verb::write(out, value, 'v', &mut Flags::default(), 0);
}

struct Printer<'f, 'v> {
    format: &'f [u8],
    text: &'f str,
    at: usize,
    values: &'f [Value<'v>],
    /// The next value to take.
    next: usize,
    /// Whether an index was used, anywhere in the format.
    reordered: bool,
    /// Whether the index of this verb was good.
    good: bool,
}

impl<'v> Printer<'_, 'v> {
    fn run(mut self, out: &mut String) {
        let limit = out.len() + OUTPUT_MAX;
        // The caller refuses what is longer.
        while self.at < self.format.len() && out.len() <= limit {
            let start = self.at;
            let end = self.text[start..].find('%').map_or(self.format.len(), |found| start + found);
            out.push_str(&self.text[start..end]);
            self.at = end;
            if end < self.format.len() {
                self.at += 1;
                self.verb(out);
            }
        }
        if !self.reordered && self.next < self.values.len() {
            self.extra(out);
        }
    }

    fn verb(&mut self, out: &mut String) {
        self.good = true;
        let mut flags = self.flags();
        let mut after_index = self.index();
        if self.peek() == Some(b'*') {
            self.at += 1;
            match self.star() {
                Some(width) => {
                    flags.minus |= width < 0;
                    flags.zero &= width >= 0;
                    flags.width = Some(width.unsigned_abs() as usize);
                }
                None => out.push_str("%!(BADWIDTH)"),
            }
            after_index = false;
        } else {
            flags.width = self.number();
            if after_index && flags.width.is_some() {
                self.good = false;
            }
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if after_index {
                self.good = false;
            }
            after_index = self.index();
            if self.peek() == Some(b'*') {
                self.at += 1;
                match self.star() {
                    Some(precision) if precision >= 0 => flags.precision = Some(precision as usize),
                    Some(_) => out.push_str("%!(BADPREC)"),
                    None => out.push_str("%!(BADPREC)"),
                }
                after_index = false;
            } else {
                flags.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !after_index {
            self.index();
        }
        flags.width = flags.width.map(|width| width.min(WIDTH_MAX));
        flags.precision = flags.precision.map(|precision| precision.min(WIDTH_MAX));
        self.apply(out, flags);
    }

    fn apply(&mut self, out: &mut String, mut flags: Flags) {
        let Some(verb) = self.text[self.at..].chars().next() else {
            return out.push_str("%!(NOVERB)");
        };
        self.at += verb.len_utf8();
        if verb == '%' {
            return out.push('%');
        }
        if !self.good {
            return push_mistake(out, verb, "(BADINDEX)");
        }
        let Some(value) = self.values.get(self.next) else {
            return push_mistake(out, verb, "(MISSING)");
        };
        self.next += 1;
        if verb == 'v' {
            flags.sharp_v = std::mem::take(&mut flags.sharp);
            flags.plus_v = std::mem::take(&mut flags.plus);
        }
        verb::write(out, value, verb, &mut flags, 0);
    }

    fn flags(&mut self) -> Flags {
        let mut flags = Flags::default();
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => break,
            }
            self.at += 1;
        }
        flags
    }

    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    /// Reads `[n]`; says whether there was one.
    fn index(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let rest = &self.format[self.at..];
        let Some(close) = rest.iter().position(|byte| *byte == b']') else {
            self.good = false;
            self.at += 1;
            return false;
        };
        let inner = &self.text[self.at + 1..self.at + close];
        self.at += close + 1;
        let number = Some(inner)
            .filter(|inner| !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|inner| inner.parse::<usize>().ok());
        match number {
            Some(number) if (1..=self.values.len()).contains(&number) => {
                self.next = number - 1;
                true
            }
            _ => {
                self.good = false;
                number.is_some()
            }
        }
    }

    fn number(&mut self) -> Option<usize> {
        let start = self.at;
        let mut number: i64 = 0;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            number = number * 10 + i64::from(digit - b'0');
            self.at += 1;
            if number > NUMBER_MAX {
                return None;
            }
        }
        (self.at > start).then_some(number as usize)
    }

    /// Takes a value as width or precision.
    fn star(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let number = match value.as_uint() {
            Some(number) => i64::try_from(number).ok(),
            None => value.as_int(),
        };
        number.filter(|number| (-NUMBER_MAX..=NUMBER_MAX).contains(number))
    }

    fn extra(&self, out: &mut String) {
        out.push_str("%!(EXTRA ");
        for (index, value) in self.values[self.next..].iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            out.push_str(value.type_name());
            if !matches!(value, Value::Nil) {
                out.push('=');
                verb::write(out, value, 'v', &mut Flags::default(), 0);
            }
        }
        out.push(')');
    }
}

fn push_mistake(out: &mut String, verb: char, what: &str) {
    out.push_str("%!");
    out.push(verb);
    out.push_str(what);
}
