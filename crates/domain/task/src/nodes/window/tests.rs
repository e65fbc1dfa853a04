//! The examples of the reference, the two ways to reduce, bounds.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use crate::nodes::testing::{Task, check, define, run, run_interrupted, start};
use crate::runtime::context::Limits;

const POINTS: &str = "cpu,host=a value=1 0; cpu,host=a value=2 3; cpu,host=a value=3 7; \
                      cpu,host=a value=4 11; cpu,host=a value=5 25; cpu,host=a value=6 26";

/// E13 to E19, over [`POINTS`].
const WINDOWS: &[(&str, &str)] = &[
    (
        "period(10s).every(5s)",
        r#"B cpu {host=a} tmax=5 | group="host=a"; value=1 @0; value=2 @3
           B cpu {host=a} tmax=12 | group="host=a"; value=2 @3; value=3 @7; value=4 @11"#,
    ),
    (
        "period(10s).every(5s).align()",
        r#"B cpu {host=a} tmax=5 | group="host=a"; value=1 @0; value=2 @3
           B cpu {host=a} tmax=10 | group="host=a"; value=1 @0; value=2 @3; value=3 @7
           B cpu {host=a} tmax=15 | group="host=a"; value=3 @7; value=4 @11"#,
    ),
    (
        "period(10s).every(5s).fillPeriod()",
        r#"B cpu {host=a} tmax=10 | group="host=a"; value=1 @0; value=2 @3; value=3 @7
           B cpu {host=a} tmax=16 | group="host=a"; value=3 @7; value=4 @11"#,
    ),
    (
        "period(10s).every(5s).fillPeriod().align()",
        r#"B cpu {host=a} tmax=15 | group="host=a"; value=3 @7; value=4 @11"#,
    ),
    (
        "period(5s)",
        r#"B cpu {host=a} tmax=0 | group="host=a"; value=1 @0
           B cpu {host=a} tmax=3 | group="host=a"; value=1 @0; value=2 @3
           B cpu {host=a} tmax=7 | group="host=a"; value=2 @3; value=3 @7
           B cpu {host=a} tmax=11 | group="host=a"; value=3 @7; value=4 @11
           B cpu {host=a} tmax=25 | group="host=a"; value=5 @25
           B cpu {host=a} tmax=26 | group="host=a"; value=5 @25; value=6 @26"#,
    ),
    (
        "periodCount(3).everyCount(2)",
        r#"B cpu {host=a} tmax=3 | group="host=a"; value=1 @0; value=2 @3
           B cpu {host=a} tmax=11 | group="host=a"; value=2 @3; value=3 @7; value=4 @11
           B cpu {host=a} tmax=26 | group="host=a"; value=4 @11; value=5 @25; value=6 @26"#,
    ),
    (
        "periodCount(3).everyCount(1).fillPeriod()",
        r#"B cpu {host=a} tmax=7 | group="host=a"; value=1 @0; value=2 @3; value=3 @7
           B cpu {host=a} tmax=11 | group="host=a"; value=2 @3; value=3 @7; value=4 @11
           B cpu {host=a} tmax=25 | group="host=a"; value=3 @7; value=4 @11; value=5 @25
           B cpu {host=a} tmax=26 | group="host=a"; value=4 @11; value=5 @25; value=6 @26"#,
    ),
];

#[test]
fn windows_close_as_upstream() {
    for (properties, wanted) in WINDOWS {
        let script = format!("stream|from().groupBy('host')|window().{properties}|log()");
        check(properties, &run(&script, POINTS), wanted);
        for cut in 0..7 {
            check(properties, &run_interrupted(&script, POINTS, cut), wanted);
        }
    }
}

#[test]
fn an_empty_window_is_an_empty_batch() {
    // E20
    let got = run(
        "stream|from().groupBy('host')|window().period(5s).every(10s)|count('value')|log()",
        "cpu,host=a value=1 0; cpu,host=a value=2 41; cpu,host=a value=3 51; cpu,host=a value=4 67",
    );
    let wanted = r#"P cpu,host=a count=0i 10 | group="host=a"
                    P cpu,host=a count=0i 51 | group="host=a"
                    P cpu,host=a count=0i 61 | group="host=a""#;
    check("E20", &got, wanted);
}

#[test]
fn a_late_point_stays_behind_a_younger_one() {
    // E21
    let got = run(
        "stream|from()|window().period(5s).every(5s).align()|log()",
        "a v=1 100; a v=2 104; a v=3 103; a v=4 111; a v=5 106; a v=6 116; a v=7 130",
    );
    let wanted = r#"B a {} tmax=105 | group=""; v=1 @100; v=2 @104; v=3 @103
                    B a {} tmax=115 | group=""; v=4 @111; v=5 @106
                    B a {} tmax=120 | group=""; v=6 @116"#;
    check("E21", &got, wanted);
}

#[test]
fn groups_close_by_themselves() {
    // E138
    let got = run(
        "stream|from().groupBy('h')|window().period(10s).every(10s).align()|count('v').as('n')|log()",
        "m,h=a v=1 1; m,h=b v=1 9; m,h=a v=1 11; m,h=b v=1 25",
    );
    let wanted = r#"P m,h=a n=1i 10 | group="h=a"
                    P m,h=b n=1i 10 | group="h=b""#;
    check("E138", &got, wanted);
}

#[test]
fn barriers_close_and_go_on() {
    // U-15, and U-7: a barrier may begin a window, but the name is that of the first point, and there is no batch before.
    let script =
        "stream|from().groupBy('h')|signal()|window().period(10s).every(10s)|shown()|log()";
    let got = run(
        script,
        "barrier,h=b v=1 0; barrier,h=b v=1 30; barrier,h=a v=1 0; m,h=a v=1 1; barrier,h=a v=1 5; barrier,h=a v=1 11; m,h=a v=2 12; \
         delete,h=a v=1 13; m,h=a v=3 30; barrier,h=a v=1 41",
    );
    let wanted = r#"E shown4: barrier: h=b 0
                    E shown4: barrier: h=b 30
                    E shown4: barrier: h=a 0
                    E shown4: barrier: h=a 5
                    B m {h=a} tmax=10 | group="h=a"; v=1 @1
                    E shown4: barrier: h=a 11
                    E shown4: delete: h=a
                    B m {h=a} tmax=40 | group="h=a"; v=3 @30
                    E shown4: barrier: h=a 41"#;
    check("U-15", &got, wanted);
    let script =
        "stream|from().groupBy('h')|signal()|window().periodCount(2).everyCount(2)|shown()|log()";
    let got = run(script, "m,h=a v=1 1; barrier,h=a v=1 5; m,h=a v=2 6");
    let wanted = r#"E shown4: barrier: h=a 5
                    B m {h=a} tmax=6 | group="h=a"; v=1 @1; v=2 @6"#;
    check("count", &got, wanted);
}

#[test]
fn watermarks_close_windows() {
    for script in [
        "stream|from()|window().period(10s).every(10s)|sum('v')|log()",
        "var w = stream|from()|window().period(10s).every(10s)\nw|sample(1)\nw|sum('v')|log()",
    ] {
        let mut task = Task::new(script);
        task.points("m v=1 1; m v=2 2");
        task.actor.watermark(levada_model::Timestamp(10_999_999_999)).unwrap();
        assert!(task.taken().is_empty());
        task.actor.watermark(levada_model::Timestamp(11_000_000_000)).unwrap();
        check(script, &task.taken(), r#"P m sum=3 11 | group="""#);
    }
}

#[test]
fn nonsense_is_refused() {
    let errors = [
        ("period(5s).periodCount(3)", "cannot specify both period and periodCount"),
        ("align().periodCount(3)", "can only align windows based off time, not count"),
        ("periodCount(3)", "everyCount must be greater than zero"),
        ("period(-5s)", "window period must not be negative"),
        ("period(5s).every(-1s)", "window every must not be negative"),
        ("periodCount(-1)", "window periodCount must not be negative"),
        ("period(5s)|window().period(5s)", "cannot Window batch edge"),
    ];
    for (properties, wanted) in errors {
        let error = define(&format!("stream|from()|window().{properties}|log()")).unwrap_err();
        assert_eq!(error, wanted, "{properties}");
    }
    let pipeline = define("stream|from()|window()|log()").unwrap();
    let error = start(&pipeline, &Limits::default()).map(|_| ()).unwrap_err();
    assert_eq!(error, "window node must have either a non zero period or non zero period count");
}

#[test]
fn points_held_back_are_bounded() {
    let limits = Limits { buffered_points: 2, ..Limits::default() };
    for properties in ["period(10s).every(10s)", "periodCount(10).everyCount(4)"] {
        let pipeline = define(&format!("stream|from()|window().{properties}|log()")).unwrap();
        let mut task = start(&pipeline, &limits).unwrap();
        task.points("m v=1 1; m v=2 2; m v=3 3");
        check(properties, &task.taken(), "E window2: too many buffered points: m");
        assert_eq!((task.actor.context().held, task.actor.context().refused_points), (2, 1));
    }
    // What closes is let go.
    let pipeline = define("stream|from()|window().period(2s).every(2s)|log()").unwrap();
    let mut task = start(&pipeline, &limits).unwrap();
    task.points("m v=1 1; m v=2 2; m v=3 3; m v=4 4; m v=5 5");
    let wanted = r#"B m {} tmax=3 | group=""; v=1 @1; v=2 @2
                    B m {} tmax=5 | group=""; v=3 @3; v=4 @4"#;
    check("let go", &task.taken(), wanted);
    assert_eq!(task.actor.context().held, 1);
    // A deleted group, too.
    let pipeline = define("stream|from()|signal()|window().period(9s).every(9s)|log()").unwrap();
    let mut task = start(&pipeline, &limits).unwrap();
    task.points("m v=1 1; m v=2 2; delete v=3 3; m v=4 4; m v=5 5");
    check("deleted", &task.taken(), "");
    assert_eq!(task.actor.context().held, 2);
}

#[test]
fn a_window_at_the_ends_of_time_does_not_overflow() {
    let mut task =
        Task::new("stream|from()|window().period(10s).every(10s).align()|count('v')|log()");
    let mut points = task.parse("m v=1 1; m v=1 2; m v=1 3");
    points[0].time.0 = i64::MIN;
    points[1].time.0 = i64::MAX;
    points[2].time.0 = i64::MIN;
    task.actor.points(&points).unwrap();
    assert_eq!(task.taken().len(), 1);
}

#[test]
fn an_edited_script_mixes_no_windows() {
    let window = "stream|from()|window().period(10s).every(10s)";
    let cases = [
        // The reducer is another: it has what comes after the edit.
        (format!("{window}|mean('v')|log()"), "mean3", "P m mean=5 11"),
        // The window is another: what the reducer had for the old one is not part of the new one.
        (
            "stream|from()|window().period(9s).every(9s)|sum('v')|log()".to_owned(),
            "window2",
            "P m sum=5 12",
        ),
        // The window folded and does not any more: it begins anew.
        (format!("var w = {window}\nw|sample(1)\nw|sum('v')|log()"), "window2", "P m sum=5 13"),
    ];
    for (script, fresh, wanted) in cases {
        let mut before = Task::new(&format!("{window}|sum('v')|log()"));
        before.points("m v=1 1; m v=2 2");
        let mut after = Task::new(&script);
        let names = after.load(&before.actor.save());
        assert!(names.iter().any(|name| **name == *fresh), "{script}: {names:?}");
        after.points("m v=5 3; m v=9 13");
        check(&script, &after.taken(), wanted);
    }
}

/// What can be folded.
const REDUCERS: &[&str] = &[
    "count('v')",
    "sum('v')",
    "mean('v')",
    "min('v')",
    "max('v')",
    "first('v')",
    "last('v').usePointTimes()",
    "spread('v')",
    "stddev('v')",
    "median('v')",
    "mode('v')",
    "distinct('v')",
    "holtWinters('v',1,0,2s)",
    "count('s')",
    "first('s').as('v')",
];

/// Points of two groups, not always in order, some without the field or with another type.
fn points() -> impl Strategy<Value = String> {
    let point = (0..2_u8, 0..5_u8, -3..6_i64, -50..50_i64, 0..12_u8);
    prop::collection::vec(point, 0..60).prop_map(|points| {
        let mut now = 20;
        let lines = points.into_iter().map(|(host, step, back, value, kind)| {
            now += i64::from(step);
            let time = now - back.max(0);
            let name = if kind == 11 { "barrier" } else { "m" };
            let field = match kind {
                0 => "s=\"x\"".to_owned(),
                1 => format!("v={value}i"),
                2 => "v=\"y\"".to_owned(),
                _ => format!("v={value}.5,s=\"t{value}\""),
            };
            format!("{name},host={host} {field} {time}")
        });
        lines.collect::<Vec<_>>().join(";")
    })
}

fn windows() -> impl Strategy<Value = String> {
    (1..8_u32, 0..4_u32, any::<bool>(), any::<bool>()).prop_map(|(period, more, align, fill)| {
        format!(
            "window().period({period}s).every({}s){}{}",
            period + more,
            if align { ".align()" } else { "" },
            if fill { ".fillPeriod()" } else { "" }
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn fused_windows_equal_unfused(points in points(), window in windows(), cut in 0..60_usize) {
        let from = "stream|from().groupBy('host')|signal()";
        for reducer in REDUCERS {
            let fused = format!("{from}|{window}|{reducer}|log()");
            let mut task = Task::new(&fused);
            task.points(&points);
            let collected = task.actor.graph().slots()[4].statistics.collected.clone();
            let errors = task.actor.graph().slots()[4].statistics.errors;
            let fused_lines = task.finish();

            // A second child keeps the window from folding; linked first, it takes a number before the reducer.
            let unfused = format!("var w = {from}|{window}\nw|sample(1)\nw|{reducer}|log()");
            let mut task = Task::new(&unfused);
            task.points(&points);
            let slots = task.actor.graph().slots();
            let reducer_slot = slots.iter().find(|slot| slot.name.name.ends_with('5')).unwrap();
            prop_assert_eq!(&collected, &reducer_slot.statistics.collected);
            prop_assert_eq!(errors, reducer_slot.statistics.errors);
            let unfused_lines = task.finish();
            let renamed: Vec<String> =
                unfused_lines.iter().map(|line| line.replace("5: failed", "4: failed")).collect();
            prop_assert_eq!(&fused_lines, &renamed, "{}", fused);

            prop_assert_eq!(&run_interrupted(&fused, &points, cut), &fused_lines, "{}", fused);
        }
    }

    #[test]
    fn a_restored_window_goes_on(
        points in points(),
        window in prop::sample::select(vec![
            "window().period(6s).every(3s)",
            "window().period(6s).every(3s).align()",
            "window().period(6s)",
            "window().period(6s).every(2s).fillPeriod().align()",
            "window().periodCount(4).everyCount(3)",
            "window().periodCount(2).everyCount(3).fillPeriod()",
        ]),
        cut in 0..60_usize,
    ) {
        let script = format!("stream|from().groupBy('host')|signal()|{window}|log()");
        prop_assert_eq!(run_interrupted(&script, &points, cut), run(&script, &points));
    }
}
