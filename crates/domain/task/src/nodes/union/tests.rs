#![expect(clippy::unwrap_used, reason = "tests")]

use levada_tick::script::{ObjectId, Value};

use crate::nodes::testbed::{Bed, Options, Run, SECOND, check_restarts, ignore, run, texts};
use crate::pipeline::TaskType;
use crate::runtime::context::Limits;

fn union(bed: &mut Bed, names: &[&str], dimensions: &[&str]) -> ObjectId {
    let nodes: Vec<ObjectId> = names.iter().map(|name| bed.from(name, dimensions)).collect();
    let others = nodes[1..].iter().map(|node| Value::Object(*node)).collect();
    let union = bed.call(nodes[0], "union", others);
    bed.sink(union);
    union
}

fn two(bed: &mut Bed) {
    union(bed, &["a", "b"], &[]);
}

#[test]
fn items_come_in_the_order_of_time() {
    let input = "a v=1 1; a v=2 2; a v=3 3; b v=10 2; b v=11 4; a v=5 5";
    let expected = [
        r#"P a v=1 1 | group="""#,
        r#"P b v=10 2 | group="""#,
        r#"P a v=2 2 | group="""#,
        r#"P a v=3 3 | group="""#,
        r#"P b v=11 4 | group="""#,
        r#"P a v=5 5 | group="""#,
    ];
    assert_eq!(run(two, input), expected);
    check_restarts(two, input);
}

#[test]
fn rename_changes_the_measurement() {
    let build = |bed: &mut Bed| {
        let union = union(bed, &["a", "b"], &[]);
        bed.set(union, "rename", texts(&["u"]));
    };
    let expected = [r#"P u v=1 1 | group="""#, r#"P u v=10 2 | group="""#];
    assert_eq!(run(build, "a v=1 1; b v=10 2"), expected);
    check_restarts(build, "a v=1 1; b v=10 2");
}

#[test]
fn rename_changes_groups_by_measurement() {
    let build = |bed: &mut Bed| {
        let a = bed.from("a", &[]);
        let grouped = bed.call(a, "groupBy", vec![]);
        bed.set(grouped, "byMeasurement", vec![]);
        let b = bed.from("b", &[]);
        let union = bed.call(grouped, "union", vec![Value::Object(b)]);
        bed.set(union, "rename", texts(&["u"]));
        bed.sink(union);
    };
    let expected = [
        r#"P u v=1 1 | group="u" byName"#,
        r#"P u v=10 2 | group="""#,
        r#"delete group="u" byName"#,
    ];
    assert_eq!(run(build, "a v=1 1; b v=10 2; a v=1 2; a delete=1 3")[..2], expected[..2]);
    assert!(run(build, "a v=1 1; a delete=1 3").contains(&expected[2].to_owned()));
}

#[test]
fn a_silent_parent_holds_everything_until_the_end_or_a_barrier() {
    let mut run = Run::start(two, &Options::default());
    run.feed("a v=1 1; a v=2 2; a v=3 3");
    assert_eq!(run.take(), [""; 0]);
    assert_eq!(run.actor.context().held, 3);
    run.feed("b barrier=1 2");
    let expected = [r#"P a v=1 1 | group="""#, r#"barrier group="" 2"#, r#"P a v=2 2 | group="""#];
    assert_eq!(run.take(), expected);
    run.actor.finish().unwrap();
    assert_eq!(run.take(), [r#"P a v=3 3 | group="""#]);
    assert_eq!(run.actor.context().held, 0);
}

#[test]
fn the_end_keeps_the_order_of_time() {
    let build = |bed: &mut Bed| {
        union(bed, &["a", "b", "silent"], &[]);
    };
    let input = "a v=1 1; a v=3 3; b v=2 2; b v=4 4; b v=3 4";
    let times: Vec<String> =
        run(build, input).iter().map(|line| line.split(' ').nth(3).unwrap().to_owned()).collect();
    assert_eq!(times, ["1", "2", "3", "4", "4"]);
    check_restarts(build, input);
}

#[test]
fn deletes_overtake_what_is_queued() {
    let mut run = Run::start(two, &Options::default());
    run.feed("a v=1 1; a delete=1 1");
    assert_eq!(run.take(), [r#"delete group="""#]);
    run.actor.finish().unwrap();
    assert_eq!(run.take(), [r#"P a v=1 1 | group="""#]);
}

#[test]
fn a_watermark_stands_for_silent_parents() {
    let mut run = Run::start(two, &Options::default());
    run.feed("a v=1 1; a v=2 2");
    run.actor.watermark(levada_model::Timestamp(2 * SECOND)).unwrap();
    assert_eq!(run.take(), [r#"P a v=1 1 | group="""#]);
    run.feed("a v=3 2");
    assert_eq!(run.take(), [""; 0]);
}

#[test]
fn queues_have_a_bound_and_recover() {
    let limits = Limits { buffered_points: 2, ..Limits::default() };
    let mut run = Run::start(two, &Options { limits, ..Options::default() });
    run.feed("a v=1 1; a v=2 2; a v=3 3");
    let refused = "E union6: too many buffered points: a parent is too far ahead of the others";
    assert_eq!(run.take(), [refused]);
    run.feed("b v=1 2");
    let expected =
        [r#"P a v=1 1 | group="""#, r#"P a v=2 2 | group="""#, r#"P b v=1 2 | group="""#];
    let mut found = run.take();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(run.actor.context().held, 0);
}

#[test]
fn the_others_are_linked_first() {
    let mut bed = Bed::stream();
    let (a, b, c) = (bed.from("a", &[]), bed.from("b", &[]), bed.from("c", &[]));
    let union = bed.call(a, "union", vec![Value::Object(b), Value::Object(c)]);
    let expected = [bed.index(b), bed.index(c), bed.index(a)];
    let index = bed.index(union);
    let (pipeline, _) = bed.pipeline();
    assert_eq!(pipeline.node(index).parents, expected);
    assert_eq!(&*pipeline.name(index), "union9");
}

#[test]
fn batches_are_ordered_by_their_time() {
    let build = |bed: &mut Bed| {
        let (a, b) = (bed.query(), bed.query());
        let union = bed.call(a, "union", vec![Value::Object(b)]);
        bed.sink(union);
    };
    let mut run = Run::of_type(TaskType::Batch, build, &Options::default()).unwrap();
    run.batch(0, "a", "h=x", 5, "v=1 1; v=2 2");
    run.batch(1, "b", "", 10, "v=3 7");
    run.batch(0, "a", "h=x", 15, "v=4 11");
    let expected = [
        r#"B a {h=x} tmax=5 | group="h=x"; v=1 @1; v=2 @2"#,
        r#"B b {} tmax=10 | group=""; v=3 @7"#,
    ];
    assert_eq!(run.take(), expected);
    assert_eq!(run.actor.context().held, 1);
}

#[test]
fn only_nodes_can_be_united() {
    use levada_tick::script::Objects;
    let mut bed = Bed::stream();
    let a = bed.from("a", &[]);
    for name in ["union", "join"] {
        let found = format!("{:?}", bed.builder.chain(a, name, vec![Value::Int(1)]).unwrap_err());
        assert!(
            found.contains("reflect: cannot use int64 as type pipeline.Node in Call"),
            "{found}"
        );
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn a_restart_changes_nothing(input in crate::nodes::testbed::inputs()) {
        check_restarts(|bed| ignore(union(bed, &["a", "b"], &["host"])), &input);
    }
}
