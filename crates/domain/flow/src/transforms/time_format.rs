//! How users of the original write formats of times: Go's reference layouts and their names.
//!
//! A layout shows how the reference time, Monday 2 January 2006 at 15:04:05 in the zone MST (-0700),
//! would be written; whatever is no part of that time stands for itself, so every text is a layout.
//! Times are UTC here.

use levada_model::Timestamp;
use levada_template::Time;
use levada_template::go::layout;

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

/// A format of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimeFormat {
    /// A layout.
    Layout(Box<str>),
    /// Whole units since 1970 as digits; the unit in nanoseconds.
    Unix(i64),
}

// === impl TimeFormat ===

impl TimeFormat {
    /// Takes a name of a layout, one of `Unix UnixMilli UnixMicro UnixNano`, or a layout.
    ///
    /// Differs: the original takes the names for layouts too, so that `RFC3339` gives `RFC1010109`.
    pub(crate) fn new(format: &str) -> TimeFormat {
        match format {
            "Unix" => TimeFormat::Unix(1_000_000_000),
            "UnixMilli" => TimeFormat::Unix(1_000_000),
            "UnixMicro" => TimeFormat::Unix(1_000),
            "UnixNano" => TimeFormat::Unix(1),
            _ => {
                let named = NAMED.iter().find(|(name, _)| *name == format);
                TimeFormat::Layout(named.map_or(format, |(_, layout)| layout).into())
            }
        }
    }

    /// Tells whether the result depends on the time at all.
    pub(crate) fn shows_time(&self) -> bool {
        match self {
            TimeFormat::Unix(_) => true,
            TimeFormat::Layout(layout) => layout::shows_time(layout),
        }
    }

    /// Appends a time.
    pub(crate) fn write(&self, time: Timestamp, out: &mut String) {
        match self {
            TimeFormat::Layout(layout) => Time::utc(time).format(out, layout),
            TimeFormat::Unix(unit) => {
                let count = time.0.div_euclid(*unit);
                out.push_str(itoa::Buffer::new().format(count));
            }
        }
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
        let mut out = String::new();
        TimeFormat::new(format).write(time, &mut out);
        assert_eq!(out, expected, "{format}");
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
        assert!(!TimeFormat::new("yyyy-MM-dd").shows_time());
        assert!(TimeFormat::new("RFC3339").shows_time());
        assert!(TimeFormat::new("Unix").shows_time());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_layout(layout in ".{0,40}", time: i64) {
            let format = TimeFormat::new(&layout);
            let mut out = String::new();
            format.write(Timestamp(time), &mut out);
            proptest::prop_assert!(format.shows_time() || out == layout);
        }

        #[test]
        fn rfc3339_is_what_jiff_writes(time: i64) {
            let mut out = String::new();
            TimeFormat::new("RFC3339Nano").write(Timestamp(time), &mut out);
            proptest::prop_assert_eq!(out, Timestamp(time).rfc3339_nano());
        }
    }
}
