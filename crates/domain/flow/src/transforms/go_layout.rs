//! Go's reference layouts: how users of the original write time formats.
//!
//! A layout shows how the reference time, Monday 2 January 2006 at 15:04:05 in the zone MST (-0700),
//! would be written; whatever is no part of that time stands for itself. Every text is a layout, so
//! compiling cannot fail. Times are UTC here.
//!
//! Source: Go 1.25 `time` package, `nextStdChunk` and `appendFormat`.

use levada_model::Timestamp;

/// Names that stand for layouts, as Go's `time` package declares them.
pub(crate) const NAMED: &[(&str, &str)] = &[
    ("ANSIC", "Mon Jan _2 15:04:05 2006"),
    ("UnixDate", "Mon Jan _2 15:04:05 MST 2006"),
    ("RubyDate", "Mon Jan 02 15:04:05 -0700 2006"),
    ("RFC822", "02 Jan 06 15:04 MST"),
    ("RFC822Z", "02 Jan 06 15:04 -0700"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
    ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
    ("RFC3339", "2006-01-02T15:04:05Z07:00"),
    ("RFC3339Nano", "2006-01-02T15:04:05.999999999Z07:00"),
    ("Kitchen", "3:04PM"),
    ("Stamp", "Jan _2 15:04:05"),
    ("StampMilli", "Jan _2 15:04:05.000"),
    ("StampMicro", "Jan _2 15:04:05.000000"),
    ("StampNano", "Jan _2 15:04:05.000000000"),
    ("DateTime", "2006-01-02 15:04:05"),
    ("DateOnly", "2006-01-02"),
    ("TimeOnly", "15:04:05"),
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A compiled format of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimeFormat {
    /// A layout.
    Layout(Layout),
    /// Whole units since 1970 as digits; the unit in nanoseconds.
    Unix(i64),
}

/// A compiled layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Verb(Verb),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pad {
    None,
    Zero,
    Space,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    LongYear,
    Year,
    LongMonth,
    ShortMonth,
    Month(Pad),
    LongDay,
    ShortDay,
    Day(Pad),
    YearDay(Pad),
    Hour24,
    Hour12(Pad),
    Minute(Pad),
    Second(Pad),
    UpperHalf,
    LowerHalf,
    /// Digits of the fraction behind a separator; trimmed ones lose zeros at the end.
    Fraction {
        separator: u8,
        digits: usize,
        is_trimmed: bool,
    },
    ZoneName,
    /// `Z07:00` and the like: UTC is `Z`.
    ZoneOrZ,
    /// `-07:00` and the like: UTC is zeros.
    Zone(&'static str),
}

/// Verbs that are fixed words, longest first where one begins with another.
const WORDS: &[(&str, Verb)] = &[
    ("January", Verb::LongMonth),
    ("Monday", Verb::LongDay),
    ("MST", Verb::ZoneName),
    ("01", Verb::Month(Pad::Zero)),
    ("02", Verb::Day(Pad::Zero)),
    ("03", Verb::Hour12(Pad::Zero)),
    ("04", Verb::Minute(Pad::Zero)),
    ("05", Verb::Second(Pad::Zero)),
    ("06", Verb::Year),
    ("002", Verb::YearDay(Pad::Zero)),
    ("15", Verb::Hour24),
    ("1", Verb::Month(Pad::None)),
    ("2006", Verb::LongYear),
    ("2", Verb::Day(Pad::None)),
    ("__2", Verb::YearDay(Pad::Space)),
    ("_2", Verb::Day(Pad::Space)),
    ("3", Verb::Hour12(Pad::None)),
    ("4", Verb::Minute(Pad::None)),
    ("5", Verb::Second(Pad::None)),
    ("PM", Verb::UpperHalf),
    ("pm", Verb::LowerHalf),
    ("-070000", Verb::Zone("+000000")),
    ("-07:00:00", Verb::Zone("+00:00:00")),
    ("-0700", Verb::Zone("+0000")),
    ("-07:00", Verb::Zone("+00:00")),
    ("-07", Verb::Zone("+00")),
    ("Z070000", Verb::ZoneOrZ),
    ("Z07:00:00", Verb::ZoneOrZ),
    ("Z0700", Verb::ZoneOrZ),
    ("Z07:00", Verb::ZoneOrZ),
    ("Z07", Verb::ZoneOrZ),
];

// === impl TimeFormat ===

impl TimeFormat {
    /// Compiles a name of a layout, one of `Unix UnixMilli UnixMicro UnixNano`, or a layout.
    ///
    /// Differs: the original takes the names for layouts too, so that `RFC3339` gives `RFC1010109`.
    pub(crate) fn compile(format: &str) -> TimeFormat {
        match format {
            "Unix" => TimeFormat::Unix(1_000_000_000),
            "UnixMilli" => TimeFormat::Unix(1_000_000),
            "UnixMicro" => TimeFormat::Unix(1_000),
            "UnixNano" => TimeFormat::Unix(1),
            _ => {
                let named = NAMED.iter().find(|(name, _)| *name == format);
                TimeFormat::Layout(Layout::compile(named.map_or(format, |(_, layout)| layout)))
            }
        }
    }

    /// Tells whether the result depends on the time at all.
    pub(crate) fn shows_time(&self) -> bool {
        match self {
            TimeFormat::Unix(_) => true,
            TimeFormat::Layout(layout) => {
                let mut parts = layout.parts.iter();
                parts.any(|part| matches!(part, Part::Verb(_)))
            }
        }
    }

    /// Appends a time.
    pub(crate) fn write(&self, time: Timestamp, out: &mut Vec<u8>) {
        match self {
            TimeFormat::Layout(layout) => layout.write(time, out),
            TimeFormat::Unix(unit) => {
                let count = time.0.div_euclid(*unit);
                out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
            }
        }
    }
}

// === impl Layout ===

impl Layout {
    /// Compiles a layout.
    pub(crate) fn compile(layout: &str) -> Layout {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = layout;
        while let Some(first) = rest.chars().next() {
            let (len, verb) = match verb_at(rest) {
                Some((len, verb)) => (len, verb),
                None => {
                    text.push(first);
                    rest = &rest[first.len_utf8()..];
                    continue;
                }
            };
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text).into()));
            }
            parts.push(Part::Verb(verb));
            rest = &rest[len..];
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.into()));
        }
        Layout { parts: parts.into() }
    }

    /// Appends a time, UTC.
    pub(crate) fn write(&self, time: Timestamp, out: &mut Vec<u8>) {
        let civil = jiff::tz::Offset::UTC.to_datetime(time.to_jiff());
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Verb(verb) => verb.write(&civil, out),
            }
        }
    }
}

/// Gives the verb that a text begins with and its length in bytes.
fn verb_at(text: &str) -> Option<(usize, Verb)> {
    // `_2006` is an underscore before a year.
    if text.starts_with("_2006") {
        return None;
    }
    if let Some((word, verb)) = WORDS.iter().find(|(word, _)| text.starts_with(word)) {
        return Some((word.len(), *verb));
    }
    for (word, verb) in [("Jan", Verb::ShortMonth), ("Mon", Verb::ShortDay)] {
        // `Month` and `Janet` are words of their own.
        if let Some(rest) = text.strip_prefix(word) {
            let is_word = rest.starts_with(|next: char| next.is_ascii_lowercase());
            return (!is_word).then_some((word.len(), verb));
        }
    }
    fraction_at(text.as_bytes())
}

fn fraction_at(text: &[u8]) -> Option<(usize, Verb)> {
    let (&separator @ (b'.' | b','), &digit @ (b'0' | b'9')) = (text.first()?, text.get(1)?) else {
        return None;
    };
    let rest = &text[1..];
    let digits = rest.iter().take_while(|&&byte| byte == digit).count();
    if rest.get(digits).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let verb = Verb::Fraction {
        separator,
        // Nanoseconds are all there is.
        digits: digits.min(9),
        is_trimmed: digit == b'9',
    };
    Some((digits + 1, verb))
}

// === impl Verb ===

impl Verb {
    fn write(self, time: &jiff::civil::DateTime, out: &mut Vec<u8>) {
        let month = || MONTHS[(time.month() - 1) as usize % 12];
        let weekday = || DAYS[time.weekday().to_monday_zero_offset() as usize % 7];
        let is_afternoon = time.hour() >= 12;
        match self {
            Verb::LongYear => number(time.year().into(), 4, Pad::Zero, out),
            Verb::Year => number(time.year().rem_euclid(100).into(), 2, Pad::Zero, out),
            Verb::LongMonth => out.extend_from_slice(month().as_bytes()),
            Verb::ShortMonth => out.extend_from_slice(&month().as_bytes()[..3]),
            Verb::Month(pad) => number(time.month().into(), 2, pad, out),
            Verb::LongDay => out.extend_from_slice(weekday().as_bytes()),
            Verb::ShortDay => out.extend_from_slice(&weekday().as_bytes()[..3]),
            Verb::Day(pad) => number(time.day().into(), 2, pad, out),
            Verb::YearDay(pad) => number(time.date().day_of_year().into(), 3, pad, out),
            Verb::Hour24 => number(time.hour().into(), 2, Pad::Zero, out),
            Verb::Hour12(pad) => {
                let hour = match time.hour() % 12 {
                    0 => 12,
                    hour => hour,
                };
                number(hour.into(), 2, pad, out);
            }
            Verb::Minute(pad) => number(time.minute().into(), 2, pad, out),
            Verb::Second(pad) => number(time.second().into(), 2, pad, out),
            Verb::UpperHalf => out.extend_from_slice(if is_afternoon { b"PM" } else { b"AM" }),
            Verb::LowerHalf => out.extend_from_slice(if is_afternoon { b"pm" } else { b"am" }),
            Verb::Fraction { separator, digits, is_trimmed } => {
                fraction(time.subsec_nanosecond(), separator, digits, is_trimmed, out)
            }
            Verb::ZoneName => out.extend_from_slice(b"UTC"),
            Verb::ZoneOrZ => out.push(b'Z'),
            Verb::Zone(zeros) => out.extend_from_slice(zeros.as_bytes()),
        }
    }
}

fn number(value: i32, width: usize, pad: Pad, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value);
    let filler = match pad {
        Pad::None => None,
        Pad::Zero => Some(b'0'),
        Pad::Space => Some(b' '),
    };
    if let Some(filler) = filler {
        out.extend(std::iter::repeat_n(filler, width.saturating_sub(text.len())));
    }
    out.extend_from_slice(text.as_bytes());
}

fn fraction(nanos: i32, separator: u8, digits: usize, is_trimmed: bool, out: &mut Vec<u8>) {
    let mut all = [b'0'; 9];
    let mut rest = nanos.unsigned_abs();
    for digit in all.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    let mut shown = &all[..digits];
    while is_trimmed && let [head @ .., b'0'] = shown {
        shown = head;
    }
    if !shown.is_empty() {
        out.push(separator);
        out.extend_from_slice(shown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-02-07T10:30:00.5Z, a Saturday.
    const NOW: Timestamp = Timestamp(1_770_460_200_500_000_000);
    /// 2025-12-31T23:04:09.012345678Z, a Wednesday, day 365.
    const LATE: Timestamp = Timestamp(1_767_222_249_012_345_678);
    /// 2026-01-03T00:00:00Z, a Saturday, day 3.
    const MIDNIGHT: Timestamp = Timestamp(1_767_398_400_000_000_000);

    fn check(format: &str, time: Timestamp, expected: &str) {
        let mut out = Vec::new();
        TimeFormat::compile(format).write(time, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{format}");
    }

    #[test]
    fn names_stand_for_their_layouts() {
        for (name, expected) in [
            ("ANSIC", "Sat Feb  7 10:30:00 2026"),
            ("UnixDate", "Sat Feb  7 10:30:00 UTC 2026"),
            ("RubyDate", "Sat Feb 07 10:30:00 +0000 2026"),
            ("RFC822", "07 Feb 26 10:30 UTC"),
            ("RFC822Z", "07 Feb 26 10:30 +0000"),
            ("RFC850", "Saturday, 07-Feb-26 10:30:00 UTC"),
            ("RFC1123", "Sat, 07 Feb 2026 10:30:00 UTC"),
            ("RFC1123Z", "Sat, 07 Feb 2026 10:30:00 +0000"),
            ("RFC3339", "2026-02-07T10:30:00Z"),
            ("RFC3339Nano", "2026-02-07T10:30:00.5Z"),
            ("Kitchen", "10:30AM"),
            ("Stamp", "Feb  7 10:30:00"),
            ("StampMilli", "Feb  7 10:30:00.500"),
            ("StampMicro", "Feb  7 10:30:00.500000"),
            ("StampNano", "Feb  7 10:30:00.500000000"),
            ("DateTime", "2026-02-07 10:30:00"),
            ("DateOnly", "2026-02-07"),
            ("TimeOnly", "10:30:00"),
            ("Unix", "1770460200"),
            ("UnixMilli", "1770460200500"),
            ("UnixMicro", "1770460200500000"),
            ("UnixNano", "1770460200500000000"),
        ] {
            check(name, NOW, expected);
        }
        check("Unix", Timestamp(-1), "-1");
    }

    #[test]
    fn every_verb_is_written() {
        for (layout, expected) in [
            ("Mon Monday Jan January", "Wed Wednesday Dec December"),
            ("2006 06 _2006", "2025 25 _2025"),
            ("01 1 02 2 _2 002 __2", "12 12 31 31 31 365 365"),
            ("15 03 3 04 4 05 5 PM pm", "23 11 11 04 4 09 9 PM pm"),
            ("MST -0700 -07:00 -07 -070000 -07:00:00", "UTC +0000 +00:00 +00 +000000 +00:00:00"),
            ("Z0700 Z07:00 Z07 Z070000 Z07:00:00", "Z Z Z Z Z"),
            ("5.000 5,000 5.9 5.99", "9.012 9,012 9 9.01"),
            ("5.000000000 5.999999999999", "9.012345678 9.012345678"),
            ("5.0001", "9.0012"),
            ("yyyy-MM-dd", "yyyy-MM-dd"),
            ("Month Janet Mond", "Month Janet Mond"),
            ("20060102150405", "20251231230409"),
            ("le 2 января в 15ч", "le 31 января в 23ч"),
            ("", ""),
        ] {
            check(layout, LATE, expected);
        }
        for (layout, expected) in [
            ("3PM 03pm 15", "12AM 12am 00"),
            ("002 __2 _2 2 02", "003   3  3 3 03"),
            ("5.000 5.999 5.0", "0.000 0 0.0"),
        ] {
            check(layout, MIDNIGHT, expected);
        }
    }

    #[test]
    fn the_ends_of_time_are_written() {
        check("RFC3339Nano", Timestamp(i64::MAX), "2262-04-11T23:47:16.854775807Z");
        check("RFC3339Nano", Timestamp(i64::MIN), "1677-09-21T00:12:43.145224192Z");
    }

    #[test]
    fn a_constant_is_told_from_a_layout() {
        assert!(!TimeFormat::compile("yyyy-MM-dd").shows_time());
        assert!(TimeFormat::compile("RFC3339").shows_time());
        assert!(TimeFormat::compile("Unix").shows_time());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_layout(layout in ".{0,40}", time: i64) {
            let mut out = Vec::new();
            TimeFormat::compile(&layout).write(Timestamp(time), &mut out);
            proptest::prop_assert!(String::from_utf8(out).is_ok());
        }

        #[test]
        fn rfc3339_is_what_jiff_writes(time: i64) {
            let mut out = Vec::new();
            TimeFormat::compile("RFC3339Nano").write(Timestamp(time), &mut out);
            proptest::prop_assert_eq!(String::from_utf8(out), Ok(Timestamp(time).rfc3339_nano()));
        }
    }
}
