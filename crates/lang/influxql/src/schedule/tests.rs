use super::*;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;

fn minutes(executions: Executions<'_>) -> Vec<(i64, i64)> {
    executions.map(|one| (one.range.start.0 / MINUTE, one.range.stop.0 / MINUTE)).collect()
}

#[test]
fn what_cannot_be_a_schedule() {
    for (every, cron, message) in [
        (0, "", "must define one of 'every' or 'cron'"),
        (1, "* * * * *", "must not set both 'every' and 'cron' properties"),
        (-1, "* * * * *", "must not set both 'every' and 'cron' properties"),
        (-1, "", "'every' duration must must non-negative"),
        (0, "* * * *", "missing field(s)"),
        (0, "x * * * *", "syntax error in minute field: 'x'"),
    ] {
        let error = Schedule::new(every, false, cron).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn ticks_of_an_interval() {
    let zone = TimeZone::UTC;
    let plain = Schedule::new(10 * SECOND, false, "").unwrap();
    assert_eq!(plain.first(Timestamp(3 * SECOND), &zone), Some(Timestamp(13 * SECOND)));
    assert_eq!(plain.next(Timestamp(13 * SECOND), &zone), Some(Timestamp(23 * SECOND)));
    assert_eq!(plain.nominal(Timestamp(13)), Timestamp(13));
    assert_eq!(plain.next(Timestamp(i64::MAX), &zone), None);

    let aligned = Schedule::new(10 * SECOND, true, "").unwrap();
    assert_eq!(aligned.first(Timestamp(3 * SECOND), &zone), Some(Timestamp(10 * SECOND)));
    assert_eq!(aligned.first(Timestamp(10 * SECOND), &zone), Some(Timestamp(20 * SECOND)));
    assert_eq!(aligned.next(Timestamp(13 * SECOND), &zone), Some(Timestamp(20 * SECOND)));
    assert_eq!(aligned.next(Timestamp(16 * SECOND), &zone), Some(Timestamp(30 * SECOND)));
    assert_eq!(aligned.nominal(Timestamp(20 * SECOND + 5)), Timestamp(20 * SECOND));
    assert_eq!(aligned.nominal(Timestamp(20 * SECOND - 5)), Timestamp(20 * SECOND));
    // A week starts on Monday: 1969-12-29 and 1970-01-05.
    let week = Schedule::new(7 * 1440 * MINUTE, true, "").unwrap();
    assert_eq!(week.first(Timestamp(0), &zone), Some(Timestamp(4 * 1440 * MINUTE)));
}

#[test]
fn ranges_of_ticks() {
    let span = Span { period: 5 * MINUTE, offset: 60 * MINUTE };
    let range = span.range(Timestamp(10 * MINUTE));
    assert_eq!((range.start.0, range.stop.0), (-55 * MINUTE, -50 * MINUTE));
    let far = Span { period: i64::MAX, offset: i64::MAX }.range(Timestamp(i64::MIN));
    assert_eq!(far.start, Timestamp(i64::MIN));
}

#[test]
fn executions_of_a_recording() {
    let zone = TimeZone::UTC;
    let (start, stop, now) = (Timestamp(0), Timestamp(30 * MINUTE), Timestamp(i64::MAX));
    let span = Span { period: 5 * MINUTE, offset: 0 };
    let cron = Schedule::new(0, false, "*/15 * * * *").unwrap();
    assert_eq!(minutes(cron.executions(span, start, stop, now, &zone)), [(10, 15), (25, 30)]);
    let every = Schedule::new(10 * MINUTE, false, "").unwrap();
    assert_eq!(
        minutes(every.executions(span, start, stop, now, &zone)),
        [(5, 10), (15, 20), (25, 30)]
    );
    let late = Span { offset: 5 * MINUTE, ..span };
    assert_eq!(
        minutes(every.executions(late, start, stop, Timestamp(15 * MINUTE), &zone)),
        [(0, 5), (10, 15)]
    );
    let never = Schedule::new(0, false, "0 0 30 2 *").unwrap();
    assert_eq!(never.executions(span, start, now, now, &zone).count(), 0);
    // Nothing is computed before it is asked for.
    let dense = Schedule::new(1, true, "").unwrap();
    assert_eq!(dense.executions(span, start, now, now, &zone).take(3).count(), 3);
}
