#![expect(clippy::unwrap_used, reason = "tests")]

use levada_tick::script::{ObjectId, Value};

use crate::nodes::testbed::{Bed, Options, Run, SECOND, check_restarts, ignore, run, texts};
use crate::pipeline::TaskType;
use crate::runtime::context::Limits;

fn flatten(bed: &mut Bed, on: &[&str]) -> ObjectId {
    let from = bed.from("", &["host"]);
    let flatten = bed.call(from, "flatten", vec![]);
    bed.set(flatten, "on", texts(on));
    bed.sink(flatten);
    flatten
}

type Properties = Vec<(&'static str, Vec<Value>)>;

/// Dimensions, other properties, input, output: E91 to E93 and E134 of the reference, and more.
fn examples() -> Vec<(Vec<&'static str>, Properties, &'static str, Vec<&'static str>)> {
    let missing =
        "E flatten3: point missing tag for flatten operation: tag port is missing from point";
    vec![
        (
            vec!["port"],
            vec![],
            "m,host=a,port=80 bytes=1,x=1 1; m,host=a,port=443 bytes=2 1; m,host=a bytes=3 1
             m,host=a,port=80 bytes=4 2; m,host=a,port=443 bytes=5 3",
            vec![
                missing,
                r#"P m,host=a 443.bytes=2,80.bytes=1,80.x=1 1 | group="host=a""#,
                r#"P m,host=a 80.bytes=4 2 | group="host=a""#,
            ],
        ),
        (
            vec!["port"],
            vec![("dropOriginalFieldName", vec![])],
            "m,host=a,port=80 bytes=1 1; m,host=a,port=443 bytes=2 1; m,host=a,port=80 bytes=4 2",
            vec![r#"P m,host=a 443=2,80=1 1 | group="host=a""#],
        ),
        (
            vec!["service", "port"],
            vec![("delimiter", texts(&["_"])), ("tolerance", vec![Value::Duration(5 * SECOND)])],
            "m,host=a,port=80,service=s bytes=1 1; m,host=a,port=443,service=s bytes=2 2
             m,host=a,port=80,service=s bytes=4 7; m,host=a,port=80,service=s bytes=4 12",
            vec![
                r#"P m,host=a s_443_bytes=2,s_80_bytes=1 0 | group="host=a""#,
                r#"P m,host=a s_80_bytes=4 5 | group="host=a""#,
            ],
        ),
        // U-38: nothing of the skipped point is left.
        (
            vec!["service", "port"],
            vec![],
            "m,host=a,service=s v=1 1; m,host=a,service=q,port=1 v=2 1; m,host=a,service=q,port=1 v=2 2",
            vec![missing, r#"P m,host=a q.1.v=2 1 | group="host=a""#],
        ),
        // Later points overwrite.
        (
            vec!["port"],
            vec![],
            "m,host=a,port=1 v=1,w=1 1; m,host=a,port=1 v=2 1; m,host=a,port=1,x=y v=3 1; m,host=a,port=1 v=9 2",
            vec![r#"P m,host=a 1.v=3,1.w=1 1 | group="host=a""#],
        ),
        (
            vec![],
            vec![],
            "m,host=a v=1 1; m,host=a w=2 1; m,host=a v=9 2",
            vec![r#"P m,host=a v=1,w=2 1 | group="host=a""#],
        ),
    ]
}

#[test]
fn points_of_one_time_become_one() {
    for (on, properties, input, expected) in examples() {
        let build = |bed: &mut Bed| {
            let flatten = flatten(bed, &on);
            for (name, args) in &properties {
                bed.set(flatten, name, args.clone());
            }
        };
        assert_eq!(run(build, input), expected, "{on:?} {properties:?}");
        check_restarts(build, input);
    }
}

#[test]
fn the_last_field_stays_when_names_are_dropped() {
    let build = |bed: &mut Bed| {
        let flatten = flatten(bed, &["port"]);
        bed.set(flatten, "dropOriginalFieldName", vec![]);
    };
    let warning = "E flatten3: fields of one name in flatten operation: of the fields of a point only the last is kept as 1";
    let input = "m,host=a,port=1 z=1,a=2 1; m,host=a,port=1 z=3,a=4 2; m,host=a,port=1 a=5 3";
    let expected =
        [warning, r#"P m,host=a 1=1 1 | group="host=a""#, r#"P m,host=a 1=3 2 | group="host=a""#];
    assert_eq!(run(build, input), expected);
}

#[test]
fn barriers_deletes_and_watermarks() {
    let build = |bed: &mut Bed| {
        flatten(bed, &["port"]);
    };
    let mut run = Run::start(build, &Options::default());
    run.feed(
        "m,host=a,port=1 v=1 5; m,host=a barrier=1 5; m,host=a barrier=1 6; m,host=a barrier=1 7",
    );
    let expected = [
        r#"barrier group="host=a" 5"#,
        r#"P m,host=a 1.v=1 5 | group="host=a""#,
        r#"barrier group="host=a" 6"#,
        r#"barrier group="host=a" 7"#,
    ];
    assert_eq!(run.take(), expected);
    run.feed("m,host=a,port=1 v=1 8; m,host=a delete=1 8");
    assert_eq!(run.take(), [r#"delete group="host=a""#]);
    assert_eq!(run.actor.context().held, 0);
    run.feed("m,host=a,port=1 v=1 9; m,host=b,port=1 v=1 8");
    run.actor.watermark(levada_model::Timestamp(9 * SECOND)).unwrap();
    assert_eq!(run.take(), [r#"P m,host=b 1.v=1 8 | group="host=b""#]);
    // The end of the input drops what is held, as upstream does.
    run.actor.finish().unwrap();
    assert_eq!(run.take(), [""; 0]);
}

#[test]
fn what_is_held_has_a_bound() {
    let build = |bed: &mut Bed| {
        flatten(bed, &["port"]);
    };
    let limits = Limits { buffered_points: 2, ..Limits::default() };
    let mut run = Run::start(build, &Options { limits, ..Options::default() });
    run.feed("m,host=a,port=1 v=1 1; m,host=a,port=2 v=1 1; m,host=a,port=3 v=1 1; m,host=a,port=1 v=1 2");
    let expected = [
        "E flatten3: too many buffered points: host=a",
        r#"P m,host=a 1.v=1,2.v=1 1 | group="host=a""#,
    ];
    assert_eq!(run.take(), expected);
}

#[test]
fn batches_are_flattened_within() {
    let build = |bed: &mut Bed| {
        let query = bed.query();
        let flatten = bed.call(query, "flatten", vec![]);
        bed.set(flatten, "on", texts(&["h"]));
        bed.sink(flatten);
    };
    let mut run = Run::of_type(TaskType::Batch, build, &Options::default()).unwrap();
    run.batch(0, "a", "h=x", 5, "v=1 1; v=4 2; v=9 4");
    run.batch(0, "a", "", 5, ",h=x v=1 1; ,h=y v=2 1; v=3 1; ,h=x v=5 2");
    let expected = [
        r#"B a {h=x} tmax=5 | group="h=x"; x.v=1 @1; x.v=4 @2; x.v=9 @4"#,
        "E flatten2: point missing tag for flatten operation: tag h is missing from point",
        r#"B a {} tmax=5 | group=""; x.v=1,y.v=2 @1; x.v=5 @2"#,
    ];
    assert_eq!(run.take(), expected);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn a_restart_changes_nothing(input in crate::nodes::testbed::inputs()) {
        check_restarts(|bed| ignore(flatten(bed, &["port"])), &input);
    }
}
