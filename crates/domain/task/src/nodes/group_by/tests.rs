#![expect(clippy::unwrap_used, reason = "tests")]

use levada_tick::script::{ObjectId, Value};

use crate::nodes::testbed::{Bed, Options, Run, SECOND, check_restarts, ignore, run, texts};
use crate::pipeline::TaskType;
use crate::runtime::context::{Compat, Limits};

fn star() -> Vec<Value> {
    vec![Value::Star]
}

fn group_by(bed: &mut Bed, before: &[&str], dimensions: Vec<Value>) -> ObjectId {
    let from = bed.from("", before);
    let grouped = bed.call(from, "groupBy", dimensions);
    bed.sink(grouped);
    grouped
}

#[test]
fn a_star_takes_all_tags_sorted() {
    let build = |bed: &mut Bed| {
        group_by(bed, &[], star());
    };
    let expected = [
        r#"P cpu,dc=b,host=a value=1 1 | group="dc=b,host=a""#,
        r#"P mem,host=a value=1 1 | group="host=a""#,
    ];
    assert_eq!(run(build, "cpu,host=a,dc=b value=1 1; mem,host=a value=1 1"), expected);
}

#[test]
fn exclude_accumulates() {
    let build = |bed: &mut Bed| {
        let grouped = group_by(bed, &[], star());
        bed.set(grouped, "exclude", texts(&["host"]));
        bed.set(grouped, "exclude", texts(&["rack"]));
    };
    let expected = [r#"P cpu,dc=b,host=a,rack=1 value=1 1 | group="dc=b""#];
    assert_eq!(run(build, "cpu,host=a,dc=b,rack=1 value=1 1"), expected);
}

#[test]
fn grouping_by_measurement_is_sticky() {
    let build = |bed: &mut Bed| {
        let from = bed.from("", &[]);
        let first = bed.call(from, "groupBy", texts(&["host"]));
        bed.set(first, "byMeasurement", vec![]);
        let second = bed.call(first, "groupBy", texts(&["dc"]));
        bed.sink(second);
    };
    let expected = ["P cpu,dc=b,host=a value=1 1 | group=\"cpu\\ndc=b\" byName"];
    assert_eq!(run(build, "cpu,host=a,dc=b value=1 1"), expected);
}

/// One host in two data centres, two hosts in one of them.
const HOSTS: &str = "m,host=a,dc=x v=1 1; m,host=a,dc=y v=1 1; m,host=b,dc=y v=1 1";

#[test]
fn barriers_go_to_the_new_groups() {
    let build = |bed: &mut Bed| {
        group_by(bed, &["host"], texts(&["dc"]));
    };
    let mut run = Run::start(build, &Options::default());
    run.feed(HOSTS);
    run.take();
    run.feed("m,host=a barrier=1 5; m,host=none barrier=1 6");
    assert_eq!(run.take(), [r#"barrier group="dc=x" 5"#, r#"barrier group="dc=y" 5"#]);
    // y lives on while another host feeds it.
    run.feed("m,host=a delete=1 7");
    assert_eq!(run.take(), [r#"delete group="dc=x""#]);
    run.feed("m,host=a barrier=1 8; m,host=b delete=1 9");
    assert_eq!(run.take(), [r#"delete group="dc=y""#]);
    check_restarts(
        build,
        &format!("{HOSTS}; m,host=a barrier=1 5; m,host=a delete=1 7; m,host=b delete=1 9"),
    );
}

#[test]
fn compat_keeps_the_old_group_of_barriers() {
    let build = |bed: &mut Bed| {
        group_by(bed, &["host"], texts(&["dc"]));
    };
    let options = Options { compat: Compat { is_1_8: true }, ..Options::default() };
    let mut run = Run::start(build, &options);
    run.feed(HOSTS);
    run.take();
    run.feed("m,host=a barrier=1 5; m,host=a delete=1 7");
    assert_eq!(run.take(), [r#"barrier group="host=a" 5"#, r#"delete group="host=a""#]);
}

// === batches ===

fn batches(dimensions: Vec<Value>) -> Run {
    let build = |bed: &mut Bed| {
        let query = bed.query();
        let grouped = bed.call(query, "groupBy", dimensions.clone());
        bed.sink(grouped);
    };
    Run::of_type(TaskType::Batch, build, &Options::default()).unwrap()
}

#[test]
fn batches_of_one_time_are_grouped_anew() {
    let mut run = batches(texts(&["host"]));
    run.batch(0, "cpu", "", 3, ",host=a v=2 2; ,host=b v=9 1; ,host=a v=1 1");
    // Who else contributes is not known yet.
    assert_eq!(run.take(), [""; 0]);
    run.batch(0, "cpu", "", 5, ",host=a v=3 3");
    run.actor.finish().unwrap();
    let expected = [
        r#"B cpu {host=a} tmax=3 | group="host=a"; v=1 @1; v=2 @2"#,
        r#"B cpu {host=b} tmax=3 | group="host=b"; v=9 @1"#,
        r#"B cpu {host=a} tmax=5 | group="host=a"; v=3 @3"#,
    ];
    assert_eq!(run.take(), expected);
    assert_eq!(run.actor.context().held, 0);
}

/// Two groups that deliver for ten times, until it is settled that there are only these two.
fn settle(run: &mut Run) {
    for time in (10..=100).step_by(10) {
        for host in ["h=a", "h=b"] {
            run.batch(0, "m", host, time, "v=1 1");
        }
    }
    assert_eq!(run.take().len(), 10, "the last one waits for nobody");
}

#[test]
fn the_last_contributor_completes_a_time() {
    let mut run = batches(vec![]);
    settle(&mut run);
    run.batch(0, "m", "h=a", 110, "v=3 101");
    assert_eq!(run.take(), [""; 0]);
    run.batch(0, "m", "h=b", 110, "v=4 102");
    assert_eq!(run.take(), [r#"B m {} tmax=110 | group=""; v=3 @101; v=4 @102"#]);
    // One that does not come any more is waited for until the next time, and nothing is settled any more.
    run.batch(0, "m", "h=a", 120, "v=5 111");
    assert_eq!(run.take(), [""; 0]);
    run.batch(0, "m", "h=a", 130, "v=6 121");
    assert_eq!(run.take(), [r#"B m {} tmax=120 | group=""; v=5 @111"#]);
    run.batch(0, "m", "h=a", 140, "v=7 131");
    assert_eq!(run.take(), [r#"B m {} tmax=130 | group=""; v=6 @121"#]);
}

#[test]
fn a_group_that_comes_later_shares_the_batch() {
    let mut run = batches(vec![]);
    run.batch(0, "m", "h=a", 10, "v=1 1");
    for host in ["h=a", "h=b"] {
        run.batch(0, "m", host, 20, "v=2 11");
    }
    for host in ["h=a", "h=b", "h=c"] {
        run.batch(0, "m", host, 30, "v=3 21");
    }
    run.actor.finish().unwrap();
    let expected = [
        r#"B m {} tmax=10 | group=""; v=1 @1"#,
        r#"B m {} tmax=20 | group=""; v=2 @11; v=2 @11"#,
        r#"B m {} tmax=30 | group=""; v=3 @21; v=3 @21; v=3 @21"#,
    ];
    assert_eq!(run.take(), expected);
}

#[test]
fn the_end_a_barrier_and_a_watermark_give_what_is_pending() {
    let pending = [r#"B m {} tmax=10 | group=""; v=1 @1"#];
    let mut run = batches(vec![]);
    run.batch(0, "m", "h=a", 10, "v=1 1");
    run.batch(0, "m", "h=a", 10, "barrier=1 10");
    assert_eq!(run.take(), [r#"barrier group="" 10"#]);
    run.batch(0, "m", "h=a", 11, "barrier=1 11");
    assert_eq!(run.take(), [pending[0], r#"barrier group="" 11"#]);

    let mut run = batches(vec![]);
    run.batch(0, "m", "h=a", 10, "v=1 1");
    run.actor.watermark(levada_model::Timestamp(10 * SECOND)).unwrap();
    assert_eq!(run.take(), [""; 0]);
    run.actor.watermark(levada_model::Timestamp(11 * SECOND)).unwrap();
    assert_eq!(run.take(), pending);

    let mut run = batches(vec![]);
    run.batch(0, "m", "h=a", 10, "v=1 1");
    run.actor.finish().unwrap();
    assert_eq!(run.take(), pending);
    assert_eq!(run.actor.context().held, 0);
}

#[test]
fn pending_batches_survive_a_restart() {
    let mut first = batches(vec![]);
    settle(&mut first);
    first.batch(0, "m", "h=a", 110, "v=2 101");
    let mut second = batches(vec![]);
    assert!(second.actor.load(&first.actor.save()).unwrap().is_empty());
    assert_eq!(second.actor.context().held, 1);
    second.batch(0, "m", "h=b", 110, "v=3 102");
    assert_eq!(second.take(), [r#"B m {} tmax=110 | group=""; v=2 @101; v=3 @102"#]);
}

#[test]
fn a_group_that_goes_gives_what_is_pending() {
    let mut run = batches(vec![]);
    run.batch(0, "m", "h=a", 10, "v=1 1");
    run.batch(0, "m", "h=a", 10, "delete=1 10");
    assert_eq!(run.take(), [r#"B m {} tmax=10 | group=""; v=1 @1"#, r#"delete group="""#]);
    assert_eq!(run.actor.context().held, 0);
}

// === bounds and checks ===

#[test]
fn groups_have_a_bound() {
    let build = |bed: &mut Bed| {
        group_by(bed, &[], star());
    };
    let limits = Limits { groups: 2, ..Limits::default() };
    let mut run = Run::start(build, &Options { limits, ..Options::default() });
    run.feed("m,h=1 v=1 1; m,h=2 v=1 1");
    assert_eq!(run.take(), [r#"P m,h=1 v=1 1 | group="h=1""#, "E groupby3: too many groups: m"]);
}

#[test]
fn the_definition_survives_json() {
    for dimensions in [star(), texts(&["b", "a"]), vec![]] {
        let mut bed = Bed::stream();
        let grouped = group_by(&mut bed, &[], dimensions);
        bed.set(grouped, "exclude", texts(&["x", "y"]));
        bed.set(grouped, "byMeasurement", vec![]);
        let index = bed.index(grouped);
        let (pipeline, _) = bed.pipeline();
        let spec = &pipeline.node(index).spec;
        let mut again = (spec.kind().empty)();
        again.load(&spec.json()).unwrap();
        assert_eq!(again.json(), spec.json());
        assert_eq!(format!("{again:?}"), format!("{spec:?}"));
    }
}

#[test]
fn definitions_are_checked() {
    let named = |name: &str| Value::Str(name.into());
    let cases = [
        (vec![named("")], false, "dimensions cannot not be the empty string"),
        (vec![Value::Int(1)], false, "invalid dimension object of type int64"),
        (vec![Value::Star, named("a")], false, "cannot group by both '*' and named dimensions."),
        (vec![named("a")], true, "exclude requires '*'"),
    ];
    for (dimensions, excludes, expected) in cases {
        let build = |bed: &mut Bed| {
            let grouped = group_by(bed, &[], dimensions.clone());
            if excludes {
                bed.set(grouped, "exclude", texts(&["b"]));
            }
        };
        let found = Run::try_start(build, &Options::default()).err();
        assert_eq!(found.as_deref(), Some(expected));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn a_restart_changes_nothing(input in crate::nodes::testbed::inputs()) {
        check_restarts(|bed| ignore(group_by(bed, &["host"], texts(&["port"]))), &input);
        check_restarts(|bed| ignore(group_by(bed, &["host", "port"], star())), &input);
    }
}
