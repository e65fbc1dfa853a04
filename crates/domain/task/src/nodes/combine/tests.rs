#![expect(clippy::unwrap_used, reason = "tests")]

use levada_tick::script::{ObjectId, Value};

use super::{combinations, next_combination};
use crate::nodes::testbed::{
    Bed, Options, Run, SECOND, check_restarts, ignore, lambda, run, texts,
};
use crate::pipeline::TaskType;

fn combine(bed: &mut Bed, expressions: &[&str], names: &[&str]) -> ObjectId {
    let from = bed.from("", &["rid"]);
    let args = expressions.iter().map(|one| lambda(one)).collect();
    let combine = bed.call(from, "combine", args);
    bed.set(combine, "as", texts(names));
    bed.sink(combine);
    combine
}

#[test]
fn a_login_is_combined_with_the_others() {
    let build = |bed: &mut Bed| {
        combine(bed, &[r#""service" == 'login'"#, "TRUE"], &["login", "other"]);
    };
    let input = "r,rid=1,service=login v=1 1; r,rid=1,service=b v=2 1; r,rid=1,service=c v=3 1; r,rid=1,service=c v=3 2";
    let expected = [
        r#"P r,login.service=login,other.service=b,rid=1 login.v=1,other.v=2 1 | group="rid=1""#,
        r#"P r,login.service=login,other.service=c,rid=1 login.v=1,other.v=3 1 | group="rid=1""#,
    ];
    assert_eq!(run(build, input), expected);
    check_restarts(build, input);
}

#[test]
fn too_many_combinations_end_the_task() {
    let build = |max: i64| {
        move |bed: &mut Bed| {
            let combine = combine(bed, &["TRUE", "TRUE"], &["x", "y"]);
            bed.set(combine, "max", vec![Value::Int(max)]);
        }
    };
    let input = "r,rid=1 v=1 1; r,rid=1 v=2 1; r,rid=1 v=3 1; r,rid=1 v=3 2";
    let mut run = Run::start(build(2), &Options::default());
    run.feed(input);
    let failure = run.actor.failure().unwrap().to_string();
    assert_eq!(
        failure,
        "combine3: refusing to perform combination as total combinations 3 exceeds max combinations 2"
    );
    let mut run = Run::start(build(3), &Options::default());
    run.feed(input);
    assert_eq!(run.take().len(), 3);
}

#[test]
fn the_first_point_may_lie_off_the_grid() {
    let build = |bed: &mut Bed| {
        let combine = combine(bed, &["TRUE", "TRUE"], &["x", "y"]);
        bed.set(combine, "tolerance", vec![Value::Duration(2 * SECOND)]);
    };
    let input = "r,rid=1 v=1 1.5; r,rid=1 v=2 2.9; r,rid=1 v=3 9";
    let expected = [r#"P r,rid=1 x.v=1,y.v=2 2 | group="rid=1""#];
    assert_eq!(run(build, input), expected);
    check_restarts(build, input);
}

#[test]
fn an_expression_that_fails_does_not_match() {
    let build = |bed: &mut Bed| {
        combine(bed, &[r#""v" > 1.0"#, "TRUE"], &["x", "y"]);
    };
    let lines = run(build, "r,rid=1 w=1 1; r,rid=1 v=2 1; r,rid=1 v=3 2");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("E combine3: error evaluating lambda expression: "), "{lines:?}");
    assert_eq!(lines[1], r#"P r,rid=1 x.v=2,y.w=1 1 | group="rid=1""#);
}

#[test]
fn fewer_points_than_expressions_give_nothing() {
    let build = |bed: &mut Bed| {
        combine(bed, &["TRUE", "TRUE"], &["x", "y"]);
    };
    assert_eq!(run(build, "r,rid=1 v=1 1; r,rid=2 v=1 1; r,rid=1 v=1 2; r,rid=2 v=2 2"), [""; 0]);
}

#[test]
fn barriers_do_not_flush_but_watermarks_do() {
    let build = |bed: &mut Bed| {
        combine(bed, &["TRUE"], &["x"]);
    };
    let mut run = Run::start(build, &Options::default());
    run.feed("r,rid=1 v=1 1; r,rid=1 barrier=1 5");
    assert_eq!(run.take(), [r#"barrier group="rid=1" 5"#]);
    run.actor.watermark(levada_model::Timestamp(2 * SECOND)).unwrap();
    assert_eq!(run.take(), [r#"P r,rid=1 x.v=1 1 | group="rid=1""#]);
    run.feed("r,rid=1 v=1 6; r,rid=1 delete=1 6");
    assert_eq!(run.take(), [r#"delete group="rid=1""#]);
    assert_eq!(run.actor.context().held, 0);
    run.feed("r,rid=1 v=1 7");
    run.actor.finish().unwrap();
    assert_eq!(run.take(), [""; 0]);
}

#[test]
fn batches_become_points() {
    let build = |bed: &mut Bed| {
        let query = bed.query();
        let args = vec![lambda(r#""v" > 3"#), lambda("TRUE")];
        let combine = bed.call(query, "combine", args);
        bed.set(combine, "as", texts(&["x", "y"]));
        bed.set(combine, "tolerance", vec![Value::Duration(10 * SECOND)]);
        bed.sink(combine);
    };
    let mut run = Run::of_type(TaskType::Batch, build, &Options::default()).unwrap();
    run.batch(0, "a", "h=x", 5, "v=1 0; v=4 2");
    assert_eq!(run.take(), [r#"P a,h=x x.v=4,y.v=1 0 | group="h=x""#]);
    assert_eq!(run.actor.context().held, 0);
}

#[test]
fn combinations_are_counted_and_visited() {
    for (count, size, expected) in [
        (3, 2, 3),
        (5, 5, 1),
        (10, 3, 120),
        (60, 30, 118_264_581_564_861_424),
        (200, 100, u64::MAX),
    ] {
        assert_eq!(combinations(count, size), expected, "{count} {size}");
    }
    let mut places = vec![0, 1, 2];
    let mut visited = 1;
    while next_combination(&mut places, 6) {
        assert!(places.is_sorted_by(|one, other| one < other) && places[2] < 6);
        visited += 1;
    }
    assert_eq!((visited, places), (20, vec![3, 4, 5]));
}

#[test]
fn definitions_are_checked() {
    let long =
        "number of prefixes specified by combine.as() must match the number of combine expressions";
    let cases: &[(&[&str], &str, &str)] = &[
        (&[], ".", "a call to combine.as() is required to specify the output stream prefixes."),
        (&["a"], ".", long),
        (
            &["a", ""],
            ".",
            "must provide a prefix name for the combine node, see .as() property method",
        ),
        (
            &["a.", "b"],
            ".",
            "cannot use name a. as field prefix, it contains the delimiter character .",
        ),
        (&["a", "a"], ".", "cannot use the same prefix name see .as() property method"),
        (
            &["a", "b"],
            "",
            "cannot use name a as field prefix, it contains the delimiter character ",
        ),
    ];
    for (names, delimiter, expected) in cases {
        let build = |bed: &mut Bed| {
            let combine = combine(bed, &["TRUE", "TRUE"], names);
            bed.set(combine, "delimiter", texts(&[delimiter]));
        };
        let found = Run::try_start(build, &Options::default()).err();
        assert_eq!(found.as_deref(), Some(*expected));
    }
    let build = |bed: &mut Bed| {
        combine(bed, &["TRUE", "1 + 2.0 > 1"], &["a", "b"]);
    };
    let found = Run::try_start(build, &Options::default()).err().unwrap();
    assert!(found.starts_with("Failed to compile 1 expression: "), "{found}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn a_restart_changes_nothing(input in crate::nodes::testbed::inputs()) {
        check_restarts(
            |bed| ignore(combine(bed, &["count() > 1", "\"v\" > 2.0"], &["x", "y"])),
            &input.replace(",host", ",rid"),
        );
    }
}
