//! The Prometheus text exposition format, version 0.0.4: escaping, numbers, sample lines.

use std::fmt::Write as _;

/// The content type of [`Registry::render`](super::Registry::render).
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A number as a sample shows it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    /// Shown with every digit.
    Unsigned(u64),
    /// Shown with every digit.
    Signed(i64),
    /// Shown as Go's `strconv.FormatFloat(value, 'g', -1, 64)` shows it.
    Float(f64),
}

/// Writes the sample lines of one series.
#[derive(Debug)]
pub struct SeriesWriter<'a> {
    pub(super) out: &'a mut String,
    pub(super) name: &'a str,
    pub(super) labels: &'a [&'static str],
    pub(super) values: &'a [Box<str>],
}

// === impl SeriesWriter ===

impl SeriesWriter<'_> {
    /// Writes `name suffix {labels, extra} number`.
    pub(super) fn sample(&mut self, suffix: &str, extra: Option<(&str, f64)>, number: Number) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        let mut open = false;
        for (label, value) in self.labels.iter().zip(self.values) {
            self.out.push(if open { ',' } else { '{' });
            open = true;
            self.out.push_str(label);
            self.out.push_str("=\"");
            write_label_value(self.out, value);
            self.out.push('"');
        }
        if let Some((label, value)) = extra {
            self.out.push(if open { ',' } else { '{' });
            open = true;
            self.out.push_str(label);
            self.out.push_str("=\"");
            write_float(self.out, value);
            self.out.push('"');
        }
        if open {
            self.out.push('}');
        }
        self.out.push(' ');
        write_number(self.out, number);
        self.out.push('\n');
    }
}

/// Writes the `# HELP` and `# TYPE` lines of a family.
pub(super) fn write_header(out: &mut String, name: &str, help: &str, kind: &str) {
    out.push_str("# HELP ");
    out.push_str(name);
    out.push(' ');
    for character in help.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out.push_str("\n# TYPE ");
    out.push_str(name);
    out.push(' ');
    out.push_str(kind);
    out.push('\n');
}

fn write_label_value(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

fn write_number(out: &mut String, number: Number) {
    match number {
        Number::Unsigned(value) => write_display(out, value),
        Number::Signed(value) => write_display(out, value),
        Number::Float(value) => write_float(out, value),
    }
}

/// The smallest power of ten that is written in exponent form: `100000`, but `1e+06`.
///
/// Source: Go `strconv.FormatFloat`, format `g` with the shortest precision.
const SCIENTIFIC_FROM: i32 = 6;

/// Writes a float as Go does: the shortest digits that read back as the same number, in exponent form below 1e-04 and from 1e+06.
pub(super) fn write_float(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
        return;
    }
    if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        return;
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        out.push_str(&scientific);
        return;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..SCIENTIFIC_FROM).contains(&exponent) {
        write_display(out, value);
        return;
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    out.push_str(digits);
    out.push('e');
    out.push(sign);
    let size = exponent.unsigned_abs();
    if size < 10 {
        out.push('0');
    }
    write_display(out, size);
}

fn write_display(out: &mut String, value: impl std::fmt::Display) {
    // Writing into a `String` cannot fail.
    if write!(out, "{value}").is_err() {
        out.push_str("NaN");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn float(value: f64) -> String {
        let mut out = String::new();
        write_float(&mut out, value);
        out
    }

    #[test]
    fn floats_look_like_those_of_go() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.5, "0.5"),
            (100_000.0, "100000"),
            (123_456.0, "123456"),
            (999_999.5, "999999.5"),
            (1_000_000.0, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (-1_234_567.25, "-1.23456725e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.000_012_5, "1.25e-05"),
            (1e21, "1e+21"),
            (1e100, "1e+100"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(float(value), expected);
        }
    }

    #[test]
    fn help_keeps_quotes_and_label_values_escape_them() {
        let mut out = String::new();
        write_header(&mut out, "x", "a \"b\" \\ c\nd", "gauge");
        assert_eq!(out, "# HELP x a \"b\" \\\\ c\\nd\n# TYPE x gauge\n");
        let mut out = String::new();
        write_label_value(&mut out, "a \"b\" \\ c\nd");
        assert_eq!(out, "a \\\"b\\\" \\\\ c\\nd");
    }

    proptest! {
        #[test]
        fn a_written_float_reads_back(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO) {
            prop_assert_eq!(float(value).parse::<f64>().map(f64::to_bits), Ok(value.to_bits()));
        }
    }
}
