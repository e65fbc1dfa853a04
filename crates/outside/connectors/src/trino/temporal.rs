//! Dates and times as text: read in the forms of JSON, written in the forms of SQL.
//!
//! Fractions keep their digits up to those of the column; what is below is cut off, so that a time never
//! moves into the next second. Times without a zone count as UTC.
//!
//! Source: dataflow-operator.md §3.5.

/// Numbers above this are milliseconds, others seconds. Source: dataflow-operator.md §3.5.
const SECONDS_MAX: i128 = 10_000_000_000;

const DAY_SECONDS: i64 = 86_400;

/// A date: days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date(i64);

/// A point in time, or a local one: seconds since 1970-01-01, and the digits behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment<'t> {
    seconds: i64,
    fraction: &'t str,
}

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeOfDay<'t> {
    seconds: i64,
    fraction: &'t str,
    /// Minutes east of UTC.
    offset: Option<i64>,
}

// === impl Date ===

impl Date {
    /// Reads `2024-02-29`, also with a sign and more digits of the year, or such a date at midnight UTC.
    pub(crate) fn parse(text: &str) -> Option<Date> {
        let (date, rest) = date(text)?;
        if rest.is_empty() {
            return Some(date);
        }
        let moment = Moment::parse(text)?;
        let is_midnight = moment.seconds.rem_euclid(DAY_SECONDS) == 0
            && moment.fraction.bytes().all(|digit| digit == b'0');
        is_midnight.then_some(Date(moment.seconds.div_euclid(DAY_SECONDS)))
    }

    /// Appends `2024-02-29`.
    pub(crate) fn push(self, out: &mut Vec<u8>) {
        let (year, month, day) = civil(self.0);
        if year < 0 {
            out.push(b'-');
        } else if year > 9999 {
            out.push(b'+');
        }
        push_padded(out, year.unsigned_abs(), 4);
        out.push(b'-');
        push_padded(out, month, 2);
        out.push(b'-');
        push_padded(out, day, 2);
    }
}

// === impl Moment ===

impl<'t> Moment<'t> {
    /// Reads a date and a time with `T` or a blank between them, and a zone: `Z`, `+02:00`, `UTC`, a name, or none.
    pub(crate) fn parse(text: &'t str) -> Option<Moment<'t>> {
        let (Date(days), rest) = date(text)?;
        if rest.is_empty() {
            return Some(Moment { seconds: days * DAY_SECONDS, fraction: "" });
        }
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let (clock, fraction, zone) = clock(rest)?;
        let local = days * DAY_SECONDS + clock;
        Some(Moment { seconds: local - zone_seconds(zone, local)?, fraction })
    }

    /// Reads a number: milliseconds when it is above 10^10, else seconds. `digits` keeps the fraction.
    pub(crate) fn of_number(text: &str, digits: &'t mut String) -> Option<Moment<'t>> {
        // Nanoseconds are more than any clock that writes numbers has.
        let nanos = super::number::scaled(text, 9)?;
        let nanos = if nanos.abs() > SECONDS_MAX * 1_000_000_000 { nanos / 1000 } else { nanos };
        let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
        // About ±292,000 years: what dates below can print.
        (seconds.abs() < 1 << 43).then_some(())?;
        digits.clear();
        let fraction = nanos.rem_euclid(1_000_000_000) + 1_000_000_000;
        digits.push_str(&itoa::Buffer::new().format(fraction)[1..]);
        Some(Moment { seconds, fraction: digits })
    }

    /// Appends `2024-02-29 10:11:12.123` with so many digits at most.
    pub(crate) fn push(self, precision: u8, out: &mut Vec<u8>) {
        Date(self.seconds.div_euclid(DAY_SECONDS)).push(out);
        out.push(b' ');
        push_clock(out, self.seconds.rem_euclid(DAY_SECONDS));
        push_fraction(out, self.fraction, precision);
    }
}

// === impl TimeOfDay ===

impl<'t> TimeOfDay<'t> {
    /// Reads `10:11:12.123`, and an offset if there is one.
    pub(crate) fn parse(text: &'t str) -> Option<TimeOfDay<'t>> {
        let (seconds, fraction, zone) = clock(text)?;
        let offset = match zone {
            "" => None,
            "Z" | "z" | "UTC" => Some(0),
            zone => {
                let offset = offset_seconds(zone)?;
                (offset % 60 == 0).then_some(Some(offset / 60))?
            }
        };
        // Source: Trino, offsets up to 14 hours.
        (offset.unwrap_or(0).abs() <= 14 * 60).then_some(())?;
        Some(TimeOfDay { seconds, fraction, offset })
    }

    /// Appends it with its offset, UTC when it has none.
    pub(crate) fn push_with_zone(self, precision: u8, out: &mut Vec<u8>) {
        push_clock(out, self.seconds);
        push_fraction(out, self.fraction, precision);
        let minutes = self.offset.unwrap_or(0);
        out.push(if minutes < 0 { b'-' } else { b'+' });
        push_padded(out, minutes.unsigned_abs() / 60, 2);
        out.push(b':');
        push_padded(out, minutes.unsigned_abs() % 60, 2);
    }

    /// Appends it without an offset: the time in UTC.
    pub(crate) fn push(self, precision: u8, out: &mut Vec<u8>) {
        let seconds = self.seconds - self.offset.unwrap_or(0) * 60;
        push_clock(out, seconds.rem_euclid(DAY_SECONDS));
        push_fraction(out, self.fraction, precision);
    }
}

/// Appends what Trino writes for a timestamp as RFC 3339 text, without quotes.
///
/// `2024-01-01 00:00:00.5 UTC` becomes `2024-01-01T00:00:00.5Z`, and a zone its offset then. A zone that is
/// not known stays as it is.
pub(crate) fn push_rfc3339(text: &str, out: &mut Vec<u8>) {
    let Some((date_text, rest)) = text.split_once(' ') else {
        return out.extend_from_slice(text.as_bytes());
    };
    let (clock_text, zone) = rest.split_once(' ').unwrap_or((rest, ""));
    let suffix = match zone {
        "" => Some(None),
        "UTC" | "Z" => Some(Some(0)),
        zone => {
            let local = date(date_text)
                .zip(clock(clock_text))
                .map(|((Date(days), _), time)| days * DAY_SECONDS + time.0);
            local.and_then(|local| zone_seconds(zone, local)).map(Some)
        }
    };
    let Some(offset) = suffix else { return out.extend_from_slice(text.as_bytes()) };
    out.extend_from_slice(date_text.as_bytes());
    out.push(b'T');
    out.extend_from_slice(clock_text.as_bytes());
    match offset {
        None => {}
        Some(0) => out.push(b'Z'),
        Some(seconds) => {
            out.push(if seconds < 0 { b'-' } else { b'+' });
            push_padded(out, seconds.unsigned_abs() / 3600, 2);
            out.push(b':');
            push_padded(out, seconds.unsigned_abs() / 60 % 60, 2);
        }
    }
}

/// Reads a date and gives what follows it.
fn date(text: &str) -> Option<(Date, &str)> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    // A year without a sign has four digits. Source: ISO 8601.
    let may_be = digits == 4 || digits > 4 && digits <= 6 && rest.len() != text.len();
    may_be.then_some(())?;
    let year = sign * rest[..digits].parse::<i64>().ok()?;
    let rest = rest[digits..].strip_prefix('-')?;
    let (month, rest) = two_digits(rest)?;
    let (day, rest) = two_digits(rest.strip_prefix('-')?)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    (1..=days).contains(&day).then_some((Date(days_since_epoch(year, month, day)), rest))
}

/// Reads `HH:MM[:SS[.digits]]`; gives the seconds, the digits, and the zone behind it.
fn clock(text: &str) -> Option<(i64, &str, &str)> {
    let (hour, rest) = two_digits(text)?;
    let (minute, rest) = two_digits(rest.strip_prefix(':')?)?;
    let (second, rest) = match rest.strip_prefix(':') {
        Some(rest) => two_digits(rest)?,
        None => (0, rest),
    };
    (hour < 24 && minute < 60 && second < 60).then_some(())?;
    let (fraction, rest) = match rest.strip_prefix(['.', ',']) {
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            (digits > 0).then(|| rest.split_at(digits))?
        }
        None => ("", rest),
    };
    Some((hour * 3600 + minute * 60 + second, fraction, rest.trim_start_matches(' ')))
}

fn two_digits(text: &str) -> Option<(i64, &str)> {
    let bytes = text.as_bytes();
    let is_two = bytes.len() >= 2 && bytes[0].is_ascii_digit() && bytes[1].is_ascii_digit();
    is_two.then(|| (i64::from(bytes[0] - b'0') * 10 + i64::from(bytes[1] - b'0'), &text[2..]))
}

/// Gives the seconds east of UTC of a zone at a local time.
fn zone_seconds(zone: &str, local: i64) -> Option<i64> {
    match zone {
        "" | "Z" | "z" | "UTC" | "GMT" => return Some(0),
        _ => {}
    }
    // `+01:00[Europe/Berlin]` (RFC 9557): the offset says it all.
    let zone = match zone.split_once('[') {
        Some(("" | "Z", _)) | None => zone,
        Some((offset, _)) => offset,
    };
    if zone.starts_with(['+', '-']) {
        return offset_seconds(zone);
    }
    let zone = jiff::tz::TimeZone::get(zone).ok()?;
    let (year, month, day) = civil(local.div_euclid(DAY_SECONDS));
    let second = local.rem_euclid(DAY_SECONDS);
    let civil = jiff::civil::DateTime::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
        i8::try_from(second / 3600).ok()?,
        i8::try_from(second / 60 % 60).ok()?,
        i8::try_from(second % 60).ok()?,
        0,
    );
    let zoned = zone.to_ambiguous_zoned(civil.ok()?).compatible().ok()?;
    Some(i64::from(zoned.offset().seconds()))
}

/// Reads `+02:00`, `+0200` or `+02`.
fn offset_seconds(zone: &str) -> Option<i64> {
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, rest) = two_digits(zone.strip_prefix(['+', '-'])?)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let (minutes, rest) = if rest.is_empty() { (0, rest) } else { two_digits(rest)? };
    (rest.is_empty() && hours <= 18 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Gives the days from 1970-01-01 to a date of the Gregorian calendar, in eras of 400 years.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Gives year, month and day; the opposite of [`days_since_epoch`].
fn civil(days: i64) -> (i64, u64, u64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month.unsigned_abs(), day.unsigned_abs())
}

fn push_clock(out: &mut Vec<u8>, seconds: i64) {
    let seconds = seconds.unsigned_abs();
    push_padded(out, seconds / 3600, 2);
    out.push(b':');
    push_padded(out, seconds / 60 % 60, 2);
    out.push(b':');
    push_padded(out, seconds % 60, 2);
}

fn push_fraction(out: &mut Vec<u8>, fraction: &str, precision: u8) {
    let kept = &fraction[..fraction.len().min(usize::from(precision))];
    let kept = kept.trim_end_matches('0');
    if !kept.is_empty() {
        out.push(b'.');
        out.extend_from_slice(kept.as_bytes());
    }
}

fn push_padded(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number);
    for _ in digits.len()..width {
        out.push(b'0');
    }
    out.extend_from_slice(digits.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str, precision: u8) -> Option<String> {
        let mut out = Vec::new();
        Moment::parse(text)?.push(precision, &mut out);
        String::from_utf8(out).ok()
    }

    #[test]
    fn timestamps_are_read_in_every_form_and_written_in_utc() {
        for (text, precision, expected) in [
            ("2024-02-29T10:11:12Z", 6, Some("2024-02-29 10:11:12")),
            ("2024-02-29 10:11:12", 6, Some("2024-02-29 10:11:12")),
            ("2024-02-29T10:11:12.123456789Z", 6, Some("2024-02-29 10:11:12.123456")),
            ("2024-02-29T10:11:12.999999999999999Z", 12, Some("2024-02-29 10:11:12.999999999999")),
            ("2024-02-29T10:11:12.100Z", 0, Some("2024-02-29 10:11:12")),
            ("2024-03-01T01:00:00+02:00", 3, Some("2024-02-29 23:00:00")),
            ("2023-12-31T23:30:00.5-0130", 3, Some("2024-01-01 01:00:00.5")),
            ("2024-01-01 00:00:00.123 +02:00", 3, Some("2023-12-31 22:00:00.123")),
            ("2024-01-01 00:00:00.123 UTC", 3, Some("2024-01-01 00:00:00.123")),
            ("2024-07-01 00:00:00 Europe/Berlin", 3, Some("2024-06-30 22:00:00")),
            ("2024-07-01T00:00:00+02:00[Europe/Berlin]", 3, Some("2024-06-30 22:00:00")),
            ("2024-02-29", 3, Some("2024-02-29 00:00:00")),
            ("1969-12-31T23:59:59.25Z", 3, Some("1969-12-31 23:59:59.25")),
            ("0001-01-01T00:00:00Z", 3, Some("0001-01-01 00:00:00")),
            ("-0044-03-15 00:00:00", 3, Some("-0044-03-15 00:00:00")),
            ("+12345-01-01 00:00:00", 3, Some("+12345-01-01 00:00:00")),
            ("2023-02-29T00:00:00Z", 3, None),
            ("2024-13-01T00:00:00Z", 3, None),
            ("2024-01-01T24:00:00Z", 3, None),
            ("2024-01-01T00:00:60Z", 3, None),
            ("2024-01-01T00:00:00.Z", 3, None),
            ("2024-01-01T00:00:00 Nowhere/City", 3, None),
            ("2024-01-01' OR '1'='1", 3, None),
            ("12345-01-01", 3, None),
            ("yesterday", 3, None),
            ("", 3, None),
        ] {
            assert_eq!(moment(text, precision).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_seconds_or_milliseconds() {
        for (text, expected) in [
            ("0", Some("1970-01-01 00:00:00")),
            ("1700000000", Some("2023-11-14 22:13:20")),
            ("1700000000.123456", Some("2023-11-14 22:13:20.123456")),
            ("1700000000123", Some("2023-11-14 22:13:20.123")),
            ("1700000000123.5", Some("2023-11-14 22:13:20.1235")),
            ("-1.5", Some("1969-12-31 23:59:58.5")),
            ("1e9", Some("2001-09-09 01:46:40")),
            ("1e300", None),
        ] {
            let mut digits = String::new();
            let text = Moment::of_number(text, &mut digits).map(|moment| {
                let mut out = Vec::new();
                moment.push(6, &mut out);
                String::from_utf8_lossy(&out).into_owned()
            });
            assert_eq!(text.as_deref(), expected);
        }
    }

    #[test]
    fn every_day_reads_back() {
        for days in (-1_000_000..1_000_000).step_by(89) {
            let (year, month, day) = civil(days);
            assert_eq!(days_since_epoch(year, month as i64, day as i64), days);
        }
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(Date::parse("2024-02-29T00:00:00Z"), Some(Date(19_782)));
        assert_eq!(Date::parse("2024-02-29T00:00:01Z"), None);
    }

    #[test]
    fn times_of_day_have_offsets_or_not() {
        let both = |text: &str| {
            let time = TimeOfDay::parse(text)?;
            let (mut plain, mut zoned) = (Vec::new(), Vec::new());
            time.push(3, &mut plain);
            time.push_with_zone(3, &mut zoned);
            Some((String::from_utf8(plain).ok()?, String::from_utf8(zoned).ok()?))
        };
        let pair = |plain: &str, zoned: &str| Some((plain.to_owned(), zoned.to_owned()));
        assert_eq!(both("10:11:12.1239"), pair("10:11:12.123", "10:11:12.123+00:00"));
        assert_eq!(both("01:00:00+02:00"), pair("23:00:00", "01:00:00+02:00"));
        assert_eq!(both("10:11Z"), pair("10:11:00", "10:11:00+00:00"));
        assert_eq!(both("10:11:12 -03:30"), pair("13:41:12", "10:11:12-03:30"));
        assert_eq!(both("25:00:00"), None);
        assert_eq!(both("10:11:12+15:00"), None);
        assert_eq!(both("10"), None);
    }

    #[test]
    fn what_trino_writes_becomes_rfc3339() {
        for (text, expected) in [
            ("2024-01-01 00:00:00.123456", "2024-01-01T00:00:00.123456"),
            ("2024-01-01 00:00:00.5 UTC", "2024-01-01T00:00:00.5Z"),
            ("2024-01-01 00:00:00 +02:00", "2024-01-01T00:00:00+02:00"),
            ("2024-01-01 00:00:00 -03:30", "2024-01-01T00:00:00-03:30"),
            ("2024-07-01 00:00:00 Europe/Berlin", "2024-07-01T00:00:00+02:00"),
            ("2024-07-01 00:00:00 Not/There", "2024-07-01 00:00:00 Not/There"),
            ("strange", "strange"),
        ] {
            let mut out = Vec::new();
            push_rfc3339(text, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
