use jiff::civil::DateTime;
use proptest::prelude::*;

use super::*;

fn utc(text: &str) -> Timestamp {
    at(text, &TimeZone::UTC)
}

fn at(text: &str, zone: &TimeZone) -> Timestamp {
    let clock: DateTime = text.parse().unwrap();
    let time = zone.to_ambiguous_timestamp(clock).compatible().unwrap();
    Timestamp(time.as_nanosecond() as i64)
}

/// (expression, after, the next times), all UTC.
const TIMES: &[(&str, &str, &[&str])] = &[
    ("*/15 * * * *", "1970-01-01T00:00:00", &["1970-01-01T00:15:00", "1970-01-01T00:30:00"]),
    ("* * * * *", "2026-01-01T00:00:59.5", &["2026-01-01T00:01:00"]),
    ("* * * * * * *", "2026-01-01T00:00:59.5", &["2026-01-01T00:01:00", "2026-01-01T00:01:01"]),
    ("0 0 1 1 * 2030", "2026-01-01T00:00:00", &["2030-01-01T00:00:00"]),
    ("30 0 12 * * * 2026-2027", "2027-12-31T12:00:29", &["2027-12-31T12:00:30"]),
    ("0 0 L * *", "2024-02-01T00:00:00", &["2024-02-29T00:00:00", "2024-03-31T00:00:00"]),
    ("0 0 LW * *", "2026-05-01T00:00:00", &["2026-05-29T00:00:00", "2026-06-30T00:00:00"]),
    // 2026-08-15 is a Saturday, 2026-11-15 a Sunday, 2026-08-01 a Saturday, 2026-05-31 a Sunday.
    ("0 0 15W 8,11 *", "2026-01-01T00:00:00", &["2026-08-14T00:00:00", "2026-11-16T00:00:00"]),
    ("0 0 1w 8 *", "2026-01-01T00:00:00", &["2026-08-03T00:00:00"]),
    ("0 0 31W 5,6,7 *", "2026-01-01T00:00:00", &["2026-05-29T00:00:00", "2026-07-31T00:00:00"]),
    ("0 0 * * 5L", "2026-11-01T00:00:00", &["2026-11-27T00:00:00", "2026-12-25T00:00:00"]),
    ("0 0 * * friL", "2026-11-01T00:00:00", &["2026-11-27T00:00:00"]),
    ("0 0 * * 5#3", "2026-11-01T00:00:00", &["2026-11-20T00:00:00", "2026-12-18T00:00:00"]),
    ("0 0 * * 1#5", "2026-11-01T00:00:00", &["2026-11-30T00:00:00", "2027-03-29T00:00:00"]),
    ("0 0 * * 0", "2026-11-25T00:00:00", &["2026-11-29T00:00:00", "2026-12-06T00:00:00"]),
    ("0 0 * * 7", "2026-11-25T00:00:00", &["2026-11-29T00:00:00", "2026-12-06T00:00:00"]),
    ("0 0 * * Sunday", "2026-11-25T00:00:00", &["2026-11-29T00:00:00"]),
    (
        "0 0 * * fri-sun",
        "2026-11-25T00:00:00",
        &[
            "2026-11-27T00:00:00",
            "2026-11-28T00:00:00",
            "2026-11-29T00:00:00",
            "2026-12-04T00:00:00",
        ],
    ),
    ("0 0 * * 6-7", "2026-11-25T00:00:00", &["2026-11-28T00:00:00", "2026-11-29T00:00:00"]),
    (
        "0 0 * * 0-2",
        "2026-11-25T00:00:00",
        &[
            "2026-11-29T00:00:00",
            "2026-11-30T00:00:00",
            "2026-12-01T00:00:00",
            "2026-12-06T00:00:00",
        ],
    ),
    // Either field of days is enough when both are restricted.
    (
        "0 0 13 * 5",
        "2026-11-01T00:00:00",
        &[
            "2026-11-06T00:00:00",
            "2026-11-13T00:00:00",
            "2026-11-20T00:00:00",
            "2026-11-27T00:00:00",
            "2026-12-04T00:00:00",
            "2026-12-11T00:00:00",
            "2026-12-13T00:00:00",
        ],
    ),
    ("0 0 13 * *", "2026-11-01T00:00:00", &["2026-11-13T00:00:00", "2026-12-13T00:00:00"]),
    ("0 0 13 * ?", "2026-11-01T00:00:00", &["2026-11-13T00:00:00"]),
    ("5 4 * 05 *", "2026-01-01T00:00:00", &["2026-05-01T04:05:00"]),
    ("05 04 09 08 *", "2026-01-01T00:00:00", &["2026-08-09T04:05:00"]),
    ("0 0 1 jan,JULY *", "2026-01-01T00:00:00", &["2026-07-01T00:00:00", "2027-01-01T00:00:00"]),
    (
        "0 0 1 nov-dec *",
        "2026-01-01T00:00:00",
        &["2026-11-01T00:00:00", "2026-12-01T00:00:00", "2027-11-01T00:00:00"],
    ),
    (
        "10/20 1-10/4 * * *",
        "2026-01-01T00:00:00",
        &[
            "2026-01-01T01:10:00",
            "2026-01-01T01:30:00",
            "2026-01-01T01:50:00",
            "2026-01-01T05:10:00",
        ],
    ),
    ("0 0 29 2 *", "2026-01-01T00:00:00", &["2028-02-29T00:00:00", "2032-02-29T00:00:00"]),
    ("@hourly", "2026-01-01T00:00:00", &["2026-01-01T01:00:00"]),
    ("@daily", "2026-01-01T00:00:00", &["2026-01-02T00:00:00"]),
    ("@Weekly", "2026-11-25T00:00:00", &["2026-11-29T00:00:00"]),
    ("@monthly", "2026-01-01T00:00:00", &["2026-02-01T00:00:00"]),
    ("@yearly", "2026-01-01T00:00:00", &["2027-01-01T00:00:00"]),
    ("@annually", "2026-01-01T00:00:00", &["2027-01-01T00:00:00"]),
    ("0 0 0 1 1 * 2027 and more", "2026-01-01T00:00:00", &["2027-01-01T00:00:00"]),
    ("0 0 1 1 *", "1950-06-01T00:00:00", &["1970-01-01T00:00:00", "1971-01-01T00:00:00"]),
];

#[test]
fn expressions_fire_when_they_say() {
    for (text, after, expected) in TIMES {
        let cron = Cron::parse(text).unwrap();
        let mut time = utc(after);
        for next in *expected {
            time = cron.next(time, &TimeZone::UTC).unwrap();
            assert_eq!(time, utc(next), "{text}: {time} is not {next}");
        }
    }
}

#[test]
fn expressions_that_never_fire() {
    for text in ["0 0 30 2 *", "0 0 31W 2,4,6,9,11 *", "0 0 29 2 * 2099", "0 0 1 1 * 2026"] {
        let cron = Cron::parse(text).unwrap();
        assert_eq!(cron.next(utc("2026-01-01T00:00:00"), &TimeZone::UTC), None, "{text}");
    }
    let cron = Cron::parse("* * * * *").unwrap();
    assert_eq!(cron.next(utc("2099-12-31T23:59:00"), &TimeZone::UTC), None);
    assert_eq!(cron.next(Timestamp(i64::MAX), &TimeZone::UTC), None);
    assert_eq!(cron.next(Timestamp(i64::MIN), &TimeZone::UTC), Some(Timestamp(0)));
}

#[test]
fn mistakes_are_told() {
    for (text, message) in [
        ("", "missing field(s)"),
        ("* * * *", "missing field(s)"),
        ("@never", "missing field(s)"),
        (", * * * *", "minute field: missing directive"),
        ("60 * * * *", "syntax error in minute field: '60'"),
        ("1,Foo * * * *", "syntax error in minute field: 'Foo'"),
        ("* 24 * * *", "syntax error in hour field: '24'"),
        ("* * 0 * *", "syntax error in day-of-month field: '0'"),
        ("* * 32W * *", "syntax error in day-of-month field: '32W'"),
        ("* * * 13 *", "syntax error in month field: '13'"),
        ("* * * janu *", "syntax error in month field: 'janu'"),
        ("* * * * 8", "syntax error in day-of-week field: '8'"),
        ("* * * * 5#6", "syntax error in day-of-week field: '5#6'"),
        ("* * * * 5#12", "syntax error in day-of-week field: '5#12'"),
        ("* * * * 5#", "syntax error in day-of-week field: '5#'"),
        ("* * * * L", "syntax error in day-of-week field: 'L'"),
        ("* * * * * 1969", "syntax error in year field: '1969'"),
        ("x * * * * * *", "syntax error in second field: 'x'"),
        ("005 * * * *", "syntax error in minute field: '005'"),
        ("9-5 * * * *", "syntax error in minute field: '9-5'"),
        ("*/ * * * *", "syntax error in minute field: '*/'"),
        ("*/x * * * *", "syntax error in minute field: '*/x'"),
        ("*/0 * * * *", "invalid interval */0"),
        ("*/60 * * * *", "invalid interval */60"),
        ("5/99999999999 * * * *", "invalid interval 5/99999999999"),
        ("é * * * *", "syntax error in minute field: 'é'"),
        ("* * * éé *", "syntax error in month field: 'éé'"),
    ] {
        assert_eq!(Cron::parse(text).unwrap_err().to_string(), message, "{text}");
    }
    let long = format!("{} * * * *", vec!["1"; parse::TEXT_MAX].join(","));
    assert!(
        Cron::parse(&long).unwrap_err().to_string().starts_with("the cron expression is longer")
    );
}

fn texts(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let zone = TimeZone::get(zone).unwrap();
    let cron = Cron::parse(expression).unwrap();
    let mut time = at(after, &zone);
    let next = || {
        time = cron.next(time, &zone)?;
        Some(time.to_jiff().to_zoned(zone.clone()).strftime("%d %H:%M %z").to_string())
    };
    std::iter::from_fn(next).take(count).collect()
}

#[test]
fn clocks_that_jump() {
    const NEW_YORK: &str = "America/New_York";
    // 2026-03-08 02:00 does not exist, 2026-11-01 01:00 to 02:00 exists twice.
    assert_eq!(
        texts("30 2 * * *", NEW_YORK, "2026-03-07T00:00:00", 3),
        ["07 02:30 -0500", "08 03:30 -0400", "09 02:30 -0400"]
    );
    assert_eq!(
        texts("30 1 * * *", NEW_YORK, "2026-10-31T12:00:00", 2),
        ["01 01:30 -0400", "02 01:30 -0500"]
    );
    assert_eq!(
        texts("*/30 * * * *", NEW_YORK, "2026-11-01T00:31:00", 6),
        [
            "01 01:00 -0400",
            "01 01:30 -0400",
            "01 01:00 -0500",
            "01 01:30 -0500",
            "01 02:00 -0500",
            "01 02:30 -0500"
        ]
    );
    assert_eq!(
        texts("*/30 * * * *", NEW_YORK, "2026-03-08T01:00:00", 3),
        ["08 01:30 -0500", "08 03:00 -0400", "08 03:30 -0400"]
    );
    // A day that never was, and a jump of half an hour.
    assert_eq!(texts("0 * * * *", "Pacific/Apia", "2011-12-29T23:00:00", 1), ["31 00:00 +1400"]);
    assert_eq!(
        texts("*/20 * * * *", "Australia/Lord_Howe", "2026-10-04T01:30:00", 3),
        ["04 01:40 +1030", "04 02:40 +1100", "04 03:00 +1100"]
    );
}

#[test]
fn a_repeated_hour_is_not_run_into_twice() {
    let zone = TimeZone::get("America/New_York").unwrap();
    let cron = Cron::parse("30 1 * * *").unwrap();
    // 01:10 for the second time: 06:10 UTC.
    let after = utc("2026-11-01T06:10:00");
    let next = cron.next(after, &zone).unwrap();
    assert_eq!(next, utc("2026-11-02T06:30:00"));
}

/// Says whether an expression fires in the minute of a clock, by looking at its text.
fn fires(fields: &[String; 5], clock: DateTime) -> bool {
    let listed = |field: &str, min: i8, value: i8| {
        field.split(',').any(|part| {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, step.parse().unwrap()),
                None => (part, 1),
            };
            let (first, last) = match range.split_once('-') {
                Some((first, last)) => (first.parse().unwrap(), last.parse().unwrap()),
                None if range == "*" => (min, 99),
                None => (range.parse().unwrap(), range.parse().unwrap()),
            };
            (first..=last).contains(&value) && (value - first) % step == 0
        })
    };
    let weekday = clock.date().weekday().to_sunday_zero_offset();
    let by_month = listed(&fields[2], 1, clock.day());
    let by_week = listed(&fields[4], 0, weekday);
    let day = match (fields[2] == "*", fields[4] == "*") {
        (false, false) => by_month || by_week,
        _ => by_month && by_week,
    };
    listed(&fields[0], 0, clock.minute())
        && listed(&fields[1], 0, clock.hour())
        && listed(&fields[3], 1, clock.month())
        && day
}

fn field(min: u32, max: u32) -> impl Strategy<Value = String> {
    let part = (min..=max, min..=max, 1..=max.min(9)).prop_flat_map(move |(one, other, step)| {
        let (first, last) = (one.min(other), one.max(other));
        prop_oneof![
            Just(format!("{first}")),
            Just(format!("{first}-{last}")),
            Just(format!("{first}-{last}/{step}")),
            Just(format!("*/{step}")),
        ]
    });
    prop_oneof![
        2 => Just("*".to_string()),
        3 => proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join(",")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_naive_search_finds_the_same(
        minute in field(0, 59),
        hour in field(0, 23),
        day in field(1, 31),
        month in field(1, 12),
        weekday in field(0, 6),
        after in 1_600_000_000_i64..1_900_000_000,
    ) {
        const MINUTES_MAX: i64 = 10_000;
        let fields = [minute, hour, day, month, weekday];
        let cron = Cron::parse(&fields.join(" ")).unwrap();
        let next = cron.next(Timestamp(after * 1_000_000_000), &TimeZone::UTC);
        let first = after.div_euclid(60) + 1;
        let naive = (first..first + MINUTES_MAX).find(|minute| {
            let time = jiff::Timestamp::from_second(minute * 60).unwrap();
            fires(&fields, TimeZone::UTC.to_datetime(time))
        });
        match naive {
            Some(minute) => prop_assert_eq!(next, Some(Timestamp(minute * 60 * 1_000_000_000))),
            None => {
                let end = (first + MINUTES_MAX) * 60 * 1_000_000_000;
                prop_assert!(next.is_none_or(|next| next.0 >= end));
            }
        }
    }

    #[test]
    fn the_next_time_is_later_in_every_zone(
        minute in field(0, 59),
        hour in field(0, 23),
        zone in prop_oneof![
            Just("America/New_York"), Just("Australia/Lord_Howe"), Just("Pacific/Apia"),
            Just("Africa/Casablanca"), Just("Europe/London"),
        ],
        after in 0_i64..2_000_000_000,
    ) {
        let zone = TimeZone::get(zone).unwrap();
        let cron = Cron::parse(&format!("{minute} {hour} * * *")).unwrap();
        let mut time = Timestamp(after * 1_000_000_000);
        for _ in 0..50 {
            let next = cron.next(time, &zone).unwrap();
            prop_assert!(next > time);
            time = next;
        }
    }

    #[test]
    fn no_text_panics(text in "[-*/,0-9lLwW#?a-yé ]{0,40}") {
        if let Ok(cron) = Cron::parse(&text) {
            let next = cron.next(Timestamp(0), &TimeZone::UTC);
            prop_assert!(next.is_none_or(|next| next > Timestamp(0)));
        }
    }
}
