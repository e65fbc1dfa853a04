//! Writes records as compact JSON into the caller's buffer.

use levada_model::float;

use super::error::CollectError;

/// Most bytes that one sample adds. Ours: 4,096 cores take about 1 MiB, so only broken files come
/// here.
pub(super) const SAMPLE_BYTES_MAX: usize = 16 << 20;

/// Takes the records of one sample.
pub(crate) struct Output<'a> {
    out: &'a mut Vec<u8>,
    ends: &'a mut Vec<u32>,
    common: &'a [u8],
    tags: &'a [u8],
    /// Length that `out` may reach.
    limit: usize,
}

/// A record being written; counts only once it is finished.
#[must_use = "a record that is not finished corrupts the output"]
pub(super) struct Record<'r, 'a> {
    output: &'r mut Output<'a>,
    start: usize,
}

// === impl Output ===

impl<'a> Output<'a> {
    /// Gives a writer that appends to `out` and `ends`; `common` follows the metric name in every
    /// record, `tags` are the configured tags as JSON members.
    pub(super) fn new(
        out: &'a mut Vec<u8>,
        ends: &'a mut Vec<u32>,
        common: &'a [u8],
        tags: &'a [u8],
    ) -> Self {
        let limit = out.len().saturating_add(SAMPLE_BYTES_MAX).min(u32::MAX as usize);
        Self { out, ends, common, tags, limit }
    }

    /// Begins a record with the collector's own tags.
    pub(super) fn record<'r>(
        &'r mut self,
        metric: &'static str,
        own: &[(&'static str, &[u8])],
    ) -> Record<'r, 'a> {
        let start = self.out.len();
        self.out.extend_from_slice(b"{\"metric\":");
        write_string(self.out, metric.as_bytes());
        self.out.push(b',');
        self.out.extend_from_slice(self.common);
        for (index, (name, value)) in own.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write_string(self.out, name.as_bytes());
            self.out.push(b':');
            write_string(self.out, value);
        }
        if !own.is_empty() && !self.tags.is_empty() {
            self.out.push(b',');
        }
        self.out.extend_from_slice(self.tags);
        self.out.push(b'}');
        Record { output: self, start }
    }
}

// === impl Record ===

impl Record<'_, '_> {
    /// Adds a whole number.
    pub(super) fn integer(mut self, name: &'static str, value: u64) -> Self {
        let out = self.field(name);
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self
    }

    /// Adds a number with at most three decimals; one that is not finite becomes `null`.
    pub(super) fn decimal(mut self, name: &'static str, value: f64) -> Self {
        // Beyond 2^53 / 1000 there are no thousandths to round to.
        let value = if value.abs() < 9e12 { (value * 1000.0).round() / 1000.0 } else { value };
        let out = self.field(name);
        if value.is_finite() {
            float::encode(value, out);
        } else {
            out.extend_from_slice(b"null");
        }
        self
    }

    /// Adds a text.
    pub(super) fn text(mut self, name: &'static str, value: &[u8]) -> Self {
        write_string(self.field(name), value);
        self
    }

    /// Ends the record.
    ///
    /// - Errors: [`CollectError::TooMany`] when the sample has no room for it; the record is taken
    ///   back.
    pub(super) fn finish(self) -> Result<(), CollectError> {
        let Output { out, ends, limit, .. } = self.output;
        out.push(b'}');
        match u32::try_from(out.len()) {
            Ok(end) if out.len() <= *limit => {
                ends.push(end);
                Ok(())
            }
            _ => {
                out.truncate(self.start);
                let what = "bytes in one sample";
                Err(CollectError::TooMany { what, limit: SAMPLE_BYTES_MAX })
            }
        }
    }

    /// Begins a field and gives the buffer for its value.
    fn field(&mut self, name: &'static str) -> &mut Vec<u8> {
        let out = &mut *self.output.out;
        out.push(b',');
        write_string(out, name.as_bytes());
        out.push(b':');
        out
    }
}

/// Appends `"name":"value"`, with a comma before it unless `out` is empty.
pub(super) fn write_member(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if !out.is_empty() {
        out.push(b',');
    }
    write_string(out, name);
    out.push(b':');
    write_string(out, value);
}

/// Appends `text` as a JSON string; bytes that are not UTF-8 become U+FFFD.
pub(super) fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                0..=0x1f => {
                    let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                    out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                }
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

/// Appends `unix_nanos` as RFC 3339 in UTC with milliseconds, rounded down.
pub(super) fn write_time(out: &mut Vec<u8>, unix_nanos: i64) {
    const DAY_MILLIS: i64 = 86_400_000;
    let millis = unix_nanos.div_euclid(1_000_000);
    let (year, month, day) = civil_date(millis.div_euclid(DAY_MILLIS));
    let of_day = millis.rem_euclid(DAY_MILLIS);
    let parts = [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (of_day / 3_600_000, 2, b':'),
        (of_day / 60_000 % 60, 2, b':'),
        (of_day / 1000 % 60, 2, b'.'),
        (of_day % 1000, 3, b'Z'),
    ];
    for (number, width, after) in parts {
        for place in (0..width).rev() {
            let digit = number / 10i64.pow(place) % 10;
            out.push(b'0' + digit as u8);
        }
        out.push(after);
    }
}

/// Gives year, month and day of a day counted from 1970-01-01 in the proleptic Gregorian calendar.
///
/// Years begin in March here, so that the leap day is the last day of its year and the months
/// before it have a fixed pattern of lengths: 153 days for every five.
fn civil_date(unix_day: i64) -> (i64, i64, i64) {
    const DAYS_TO_MARCH_OF_YEAR_0: i64 = 719_468;
    const DAYS_IN_400_YEARS: i64 = 146_097;
    let day = unix_day + DAYS_TO_MARCH_OF_YEAR_0;
    let (cycle, of_cycle) = (day.div_euclid(DAYS_IN_400_YEARS), day.rem_euclid(DAYS_IN_400_YEARS));
    // Day 1,460 of a 4-year, 36,524 of a century and 146,096 of the cycle are leap days that end
    // their year.
    let leaps = of_cycle / 1460 - of_cycle / 36_524 + of_cycle / 146_096;
    let year_of_cycle = (of_cycle - leaps) / 365;
    let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = 400 * cycle + year_of_cycle + i64::from(month <= 2);
    (year, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(unix_nanos: i64) -> String {
        let mut out = Vec::new();
        write_time(&mut out, unix_nanos);
        String::from_utf8(out).unwrap_or_default()
    }

    #[test]
    fn times_are_utc_with_milliseconds_rounded_down() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(time(951_782_400_123_999_999), "2000-02-29T00:00:00.123Z");
        assert_eq!(time(1_767_323_045_678_000_000), "2026-01-02T03:04:05.678Z");
        assert_eq!(time(i64::MAX), "2262-04-11T23:47:16.854Z");
        assert_eq!(time(i64::MIN), "1677-09-21T00:12:43.145Z");
    }

    #[test]
    fn dates_follow_each_other_without_gap() {
        let mut previous = civil_date(-110_000);
        for day in -109_999..110_000 {
            let (year, month, of_month) = civil_date(day);
            let next_day = (year, month) == (previous.0, previous.1) && of_month == previous.2 + 1;
            let next_month = of_month == 1
                && (year * 12 + month) == (previous.0 * 12 + previous.1) + 1
                && previous.2 == month_days(previous.0, previous.1);
            assert!(next_day || next_month, "{previous:?} then {year}-{month}-{of_month}");
            previous = (year, month, of_month);
        }
    }

    fn month_days(year: i64, month: i64) -> i64 {
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    #[test]
    fn strings_escape_what_json_reserves() {
        let mut out = Vec::new();
        write_string(&mut out, b"a\"b\\c\n\x1f\xffz\xc3\xa9");
        assert_eq!(String::from_utf8_lossy(&out), "\"a\\\"b\\\\c\\u000a\\u001f\u{fffd}z\u{e9}\"");
    }

    #[test]
    fn decimals_are_rounded_and_stay_json() {
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut ends, b"\"tags\":{", b"");
        let record = output.record("m", &[]).decimal("a", 1.0 / 3.0).decimal("b", 50.0);
        let record = record.decimal("c", f64::NAN).decimal("d", 1e300).integer("e", u64::MAX);
        assert!(record.finish().is_ok());
        let expected = r#"{"metric":"m","tags":{},"a":0.333,"b":50.0,"c":null,"d":1e300,"e":18446744073709551615}"#;
        assert_eq!(String::from_utf8_lossy(&out), expected);
        assert_eq!(ends, [expected.len() as u32]);
    }

    #[test]
    fn a_record_past_the_limit_of_a_sample_is_taken_back() {
        let (mut out, mut ends) = (b"before".to_vec(), Vec::new());
        let mut output = Output::new(&mut out, &mut ends, b"\"tags\":{", b"");
        let frame = output.record("m", &[]).text("t", b"").finish().map(|()| output.out.len() - 6);
        let room = SAMPLE_BYTES_MAX - 2 * frame.unwrap_or_default();
        let text = vec![b'x'; room + 1];
        assert!(output.record("m", &[]).text("t", &text).finish().is_err());
        assert!(output.record("m", &[]).text("t", &text[..room]).finish().is_ok());
        assert!(output.record("m", &[]).finish().is_err());
        assert_eq!(out.len(), 6 + SAMPLE_BYTES_MAX);
        assert_eq!(ends.last().copied(), u32::try_from(out.len()).ok());
    }
}
