#![expect(clippy::unwrap_used, reason = "tests")]

use levada_tick::script::{ObjectId, Value};

use crate::nodes::testbed::{Bed, Options, Run, SECOND, check_restarts, lambda, run, texts};
use crate::pipeline::TaskType;
use crate::runtime::context::Limits;

/// `a|join(b, …)` with parents of these measurements and dimensions; the first one calls.
fn join(bed: &mut Bed, parents: &[(&str, &[&str])], names: &[&str]) -> ObjectId {
    let nodes: Vec<ObjectId> =
        parents.iter().map(|(name, dimensions)| bed.from(name, dimensions)).collect();
    let others = nodes[1..].iter().map(|node| Value::Object(*node)).collect();
    let join = bed.call(nodes[0], "join", others);
    bed.set(join, "as", texts(names));
    bed.sink(join);
    join
}

fn two(bed: &mut Bed, properties: &[(&str, Value)]) {
    let join = join(bed, &[("a", &[]), ("b", &[])], &["a", "b"]);
    for (name, value) in properties {
        bed.set(join, name, vec![value.clone()]);
    }
}

fn text(value: &str) -> Value {
    Value::Str(value.into())
}

const AB: &str =
    "a v=1,x=9 0; b v=10 0; a v=2 1; a v=3 2; b v=30 2; b v=40 3; a v=5 4; b v=50 4; a v=6 5";

/// Properties, input, output.
type Example = (Vec<(&'static str, Value)>, &'static str, Vec<&'static str>);

/// Properties of `a|join(b).as('a','b')`, input, output: E79 to E84 and E132 of the reference.
fn examples() -> Vec<Example> {
    vec![
        (
            vec![],
            AB,
            vec![
                r#"P a a.v=1,a.x=9,b.v=10 0 | group="""#,
                r#"P a a.v=3,b.v=30 2 | group="""#,
                r#"P a a.v=5,b.v=50 4 | group="""#,
            ],
        ),
        (
            vec![("fill", Value::Float(0.0)), ("streamName", text("j"))],
            AB,
            vec![
                r#"P j a.v=1,a.x=9,b.v=10 0 | group="""#,
                r#"P j a.v=2,b.v=0 1 | group="""#,
                r#"P j a.v=3,b.v=30 2 | group="""#,
                r#"P j a.v=0,b.v=40 3 | group="""#,
                r#"P j a.v=5,b.v=50 4 | group="""#,
                r#"P j a.v=6,b.v=0 5 | group="""#,
            ],
        ),
        (
            vec![("fill", text("null"))],
            AB,
            vec![
                r#"P a a.v=1,a.x=9,b.v=10 0 | group="""#,
                r#"P a a.v=2,b.v=null 1 | group="""#,
                r#"P a a.v=3,b.v=30 2 | group="""#,
                r#"P b a.v=null,b.v=40 3 | group="""#,
                r#"P a a.v=5,b.v=50 4 | group="""#,
                r#"P a a.v=6,b.v=null 5 | group="""#,
            ],
        ),
        (
            vec![("delimiter", text("_"))],
            "a v=1,x=9 0; b v=10 0",
            vec![r#"P a a_v=1,a_x=9,b_v=10 0 | group="""#],
        ),
        (
            vec![("tolerance", Value::Duration(2 * SECOND))],
            "a v=1 1; b v=2 2; a v=3 3; b v=4 4",
            vec![r#"P a a.v=1,b.v=2 2 | group="""#, r#"P a a.v=3,b.v=4 4 | group="""#],
        ),
        (
            vec![("tolerance", Value::Duration(10 * SECOND))],
            "a v=1 1; a v=2 2; b v=3 3; b v=4 4",
            vec![r#"P a a.v=1,b.v=3 0 | group="""#, r#"P a a.v=2,b.v=4 0 | group="""#],
        ),
        (
            vec![("fill", Value::Int(0))],
            "a v=1 1; a v=2 2; a v=3 3",
            vec![
                r#"P a a.v=1,b.v=0i 1 | group="""#,
                r#"P a a.v=2,b.v=0i 2 | group="""#,
                r#"P a a.v=3,b.v=0i 3 | group="""#,
            ],
        ),
    ]
}

#[test]
fn two_parents_are_joined_by_time() {
    for (properties, input, expected) in examples() {
        assert_eq!(run(|bed| two(bed, &properties), input), expected, "{properties:?}");
        check_restarts(|bed| two(bed, &properties), input);
    }
}

#[test]
fn groups_are_joined_apart_and_keep_their_tags_only() {
    let build = |bed: &mut Bed| {
        join(bed, &[("a", &["host"]), ("b", &["host"])], &["a", "b"]);
    };
    let input = "a,host=x,cpu=1 v=1 1; b,host=y v=2 1; b,host=x,cpu=2 v=3 1; a,host=y v=4 1";
    let expected = [
        r#"P a,host=x a.v=1,b.v=3 1 | group="host=x""#,
        r#"P a,host=y a.v=4,b.v=2 1 | group="host=y""#,
    ];
    assert_eq!(run(build, input), expected);
    check_restarts(build, input);
}

#[test]
fn three_parents_fill_nulls() {
    let build = |bed: &mut Bed| {
        let join = join(bed, &[("a", &[]), ("b", &[]), ("c", &[])], &["a", "b", "c"]);
        bed.set(join, "fill", texts(&["null"]));
    };
    let input = "a v=1 1; c v=3 1; a v=1 2; b v=2 2; c v=3 2";
    let expected =
        [r#"P a a.v=1,b.v=null,c.v=3 1 | group="""#, r#"P a a.v=1,b.v=2,c.v=3 2 | group="""#];
    assert_eq!(run(build, input), expected);
    check_restarts(build, input);
}

#[test]
fn a_complete_set_goes_when_the_older_one_has_gone() {
    // The set of 2 is complete while that of 1 is not; nothing but the end of 1 lets it go.
    let input = "a v=1 1; a v=2 2; b v=20 2; b v=10 1";
    let mut run = Run::start(|bed| two(bed, &[]), &Options::default());
    run.feed(input);
    assert_eq!(run.take(), [r#"P a a.v=2,b.v=20 2 | group="""#]);
    run.feed("a v=1 1");
    assert_eq!(run.take(), [r#"P a a.v=1,b.v=10 1 | group="""#]);
}

// === barriers, deletes, watermarks ===

#[test]
fn a_barrier_moves_its_parent_on() {
    let mut run = Run::start(|bed| two(bed, &[("fill", Value::Int(0))]), &Options::default());
    run.feed("a v=1 1; a v=2 2; b barrier=1 2");
    assert_eq!(run.take(), [r#"P a a.v=1,b.v=0i 1 | group="""#, r#"barrier group="" 2"#]);
}

#[test]
fn a_barrier_older_than_all_sets_only_moves_the_head() {
    let build = |bed: &mut Bed| two(bed, &[("fill", Value::Int(0))]);
    let mut run = Run::start(build, &Options::default());
    run.feed("b barrier=1 1; a v=5 5; b barrier=1 2; b barrier=1 1");
    let barriers = [r#"barrier group="" 1"#, r#"barrier group="" 2"#, r#"barrier group="" 1"#];
    assert_eq!(run.take(), barriers);
    check_restarts(build, "b barrier=1 1; a v=5 5; b barrier=1 2; a barrier=1 9; b barrier=1 6");
}

#[test]
fn a_delete_drops_the_group_and_what_it_holds() {
    let mut run = Run::start(|bed| two(bed, &[("fill", Value::Int(0))]), &Options::default());
    run.feed("a v=1 1; a v=2 2; b delete=1 2");
    assert_eq!(run.actor.context().held, 0);
    run.actor.finish().ok();
    assert_eq!(run.take(), [r#"delete group="""#]);
}

#[test]
fn a_watermark_lets_older_sets_go() {
    let mut run = Run::start(|bed| two(bed, &[("fill", Value::Int(0))]), &Options::default());
    run.feed("a v=1 1; a v=2 2");
    run.actor.watermark(levada_model::Timestamp(2 * SECOND)).unwrap();
    assert_eq!(run.take(), [r#"P a a.v=1,b.v=0i 1 | group="""#]);
}

#[test]
fn what_is_held_has_a_bound() {
    let limits = Limits { buffered_points: 2, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let mut run = Run::start(|bed| two(bed, &[]), &options);
    run.feed("a v=1 1; a v=2 2");
    assert_eq!(run.take(), [""; 0]);
    run.feed("a v=3 3");
    assert_eq!(run.take(), ["E join6: too many buffered points"]);
    // What completes a set is taken, and makes room.
    run.feed("b v=1 1; b v=2 2; a v=4 4; b v=4 4");
    let expected = [
        r#"P a a.v=1,b.v=1 1 | group="""#,
        r#"P a a.v=2,b.v=2 2 | group="""#,
        r#"P a a.v=4,b.v=4 4 | group="""#,
    ];
    assert_eq!(run.take(), expected);
    assert_eq!(run.actor.context().held, 0);
}

// === on ===

const BUILDING: (&str, &[&str]) = ("building", &["building"]);
const FLOOR: (&str, &[&str]) = ("floor", &["building", "floor"]);

fn on(bed: &mut Bed) -> ObjectId {
    let join = join(bed, &[BUILDING, FLOOR], &["b", "f"]);
    bed.set(join, "on", texts(&["building"]))
}

#[test]
fn on_pairs_a_building_with_its_floors() {
    let input = "building,building=x v=100 1; floor,building=x,floor=1 v=10 1
        floor,building=x,floor=2 v=20 1; building,building=x v=200 2; floor,building=x,floor=1 v=11 2";
    let expected = [
        r#"P building,building=x,floor=1 b.v=100,f.v=10 1 | group="building=x,floor=1""#,
        r#"P building,building=x,floor=2 b.v=100,f.v=20 1 | group="building=x,floor=2""#,
        r#"P building,building=x,floor=1 b.v=200,f.v=11 2 | group="building=x,floor=1""#,
    ];
    let build = |bed: &mut Bed| {
        on(bed);
    };
    assert_eq!(run(build, input), expected);
    check_restarts(build, input);
}

#[test]
fn floors_may_come_before_their_building() {
    let build = |bed: &mut Bed| {
        let join = on(bed);
        bed.set(join, "fill", vec![Value::Int(0)]);
    };
    let input = "floor,building=x,floor=1 v=10 1; floor,building=x,floor=2 v=20 1
        building,building=x v=100 1; floor,building=x,floor=1 v=11 2; building,building=x v=300 3
        floor,building=x,floor=1 v=12 3; floor,building=x,floor=1 v=13 4";
    let expected = [
        r#"P building,building=x,floor=1 b.v=100,f.v=10 1 | group="building=x,floor=1""#,
        r#"P building,building=x,floor=2 b.v=100,f.v=20 1 | group="building=x,floor=2""#,
        r#"P floor,building=x,floor=1 b.v=0i,f.v=11 2 | group="building=x,floor=1""#,
        r#"P building,building=x,floor=1 b.v=300,f.v=12 3 | group="building=x,floor=1""#,
        r#"P floor,building=x,floor=1 b.v=0i,f.v=13 4 | group="building=x,floor=1""#,
    ];
    assert_eq!(run(build, input), expected);
    check_restarts(build, input);
}

#[test]
fn on_with_three_parents_completes_rows() {
    let build = |bed: &mut Bed| {
        let parents = [BUILDING, ("power", BUILDING.1), FLOOR];
        let join = join(bed, &parents, &["b", "p", "f"]);
        bed.set(join, "on", texts(&["building"]));
    };
    let items =
        ["building,building=x v=1 1", "power,building=x v=2 1", "floor,building=x,floor=1 v=3 1"];
    let expected =
        [r#"P building,building=x,floor=1 b.v=1,f.v=3,p.v=2 1 | group="building=x,floor=1""#];
    // Whatever comes first, there is one row.
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let input = order.map(|at| items[at]).join(";");
        assert_eq!(run(build, &input), expected, "{order:?}");
        check_restarts(build, &input);
    }
}

#[test]
fn on_without_a_more_specific_parent_is_a_plain_join() {
    let build = |bed: &mut Bed| {
        let join = join(bed, &[("a", &["host"]), ("b", &["host"])], &["a", "b"]);
        bed.set(join, "on", texts(&["host"]));
    };
    let input = "a,host=x v=1 1; a,host=y v=2 1; b,host=x v=3 1; b,host=y v=4 1";
    let expected = [
        r#"P a,host=x a.v=1,b.v=3 1 | group="host=x""#,
        r#"P a,host=y a.v=2,b.v=4 1 | group="host=y""#,
    ];
    assert_eq!(run(build, input), expected);
    check_restarts(build, input);
}

#[test]
fn a_barrier_of_the_building_lets_floors_go() {
    let build = |bed: &mut Bed| {
        let join = on(bed);
        bed.set(join, "fill", vec![Value::Int(0)]);
    };
    let input = "floor,building=x,floor=1 v=10 1; building,building=x barrier=1 5
        floor,building=x,floor=1 v=11 6; building,building=x barrier=1 7; floor,building=x,floor=1 v=12 8";
    let mut run = Run::start(build, &Options::default());
    run.feed(input);
    let expected = [
        r#"barrier group="building=x" 5"#,
        r#"barrier group="building=x" 7"#,
        r#"P floor,building=x,floor=1 b.v=0i,f.v=10 1 | group="building=x,floor=1""#,
    ];
    assert_eq!(run.take(), expected);
    check_restarts(build, input);
}

#[test]
fn on_holds_no_more_than_it_must() {
    let mut run = Run::start(
        |bed| {
            on(bed);
        },
        &Options::default(),
    );
    for time in 1..100 {
        run.feed(&format!(
            "building,building=x v=1 {time}; floor,building=x,floor=1 v=1 {time}; floor,building=x,floor=2 v=1 {time}"
        ));
        // A building and two floors of the last time.
        assert!(run.actor.context().held <= 3, "{}", run.actor.context().held);
    }
    assert_eq!(run.take().len(), 198);
    run.feed("building,building=x delete=1 100; floor,building=x,floor=1 delete=1 100; floor,building=x,floor=2 delete=1 100");
    assert_eq!(run.actor.context().held, 0);
}

#[test]
fn delete_all_makes_every_parent_report_again() {
    let build = |all: bool| {
        move |bed: &mut Bed| {
            let join = on(bed);
            bed.set(join, "fill", vec![Value::Int(0)]);
            bed.set(join, "deleteAll", vec![Value::Bool(all)]);
        }
    };
    let input = "building,building=x v=1 1; floor,building=x,floor=1 v=1 1; floor,building=x,floor=9 v=1 1
        building,building=x v=1 5; floor,building=x,floor=9 delete=1 5; floor,building=x,floor=1 v=2 3; floor,building=x,floor=1 v=3 4; floor,building=x,floor=1 v=4 6";
    for (all, rows) in [(false, 3), (true, 2)] {
        let mut run = Run::start(build(all), &Options::default());
        run.feed(input);
        let found = run.take().into_iter().filter(|line| line.starts_with('P')).count();
        assert_eq!(found, rows, "{all}");
    }
}

// === batches ===

fn batches(bed: &mut Bed, fill: Option<Value>) {
    let (a, b) = (bed.query(), bed.query());
    let join = bed.call(a, "join", vec![Value::Object(b)]);
    bed.set(join, "as", texts(&["a", "b"]));
    if let Some(fill) = fill {
        bed.set(join, "fill", vec![fill]);
    }
    bed.sink(join);
}

#[test]
fn batches_are_merged_by_time() {
    let cases = [
        (
            Some(Value::Float(0.0)),
            "a.v=1,b.v=10 @1; a.v=2,b.v=0 @2; a.v=0,b.v=30 @3; a.v=4,b.v=40 @4",
        ),
        (None, "a.v=1,b.v=10 @1; a.v=4,b.v=40 @4"),
    ];
    for (fill, rows) in cases {
        let build = |bed: &mut Bed| batches(bed, fill.clone());
        let mut run = Run::of_type(TaskType::Batch, build, &Options::default()).unwrap();
        run.batch(0, "a", "", 5, "v=1 1; v=2 2; v=4 4");
        run.batch(1, "b", "", 5, "v=10 1; v=30 3; v=40 4");
        assert_eq!(run.take(), [format!(r#"B a {{}} tmax=5 | group=""; {rows}"#)]);
        assert_eq!(run.actor.context().held, 0);
    }
}

#[test]
fn a_batch_without_rows_is_still_given() {
    let build = |bed: &mut Bed| batches(bed, None);
    let mut run = Run::of_type(TaskType::Batch, build, &Options::default()).unwrap();
    run.batch(0, "a", "h=x", 5, "v=1 1");
    run.batch(1, "b", "h=x", 5, "v=1 2");
    assert_eq!(run.take(), [r#"B a {h=x} tmax=5 | group="h=x""#]);
}

#[test]
fn names_of_filled_fields_come_from_the_first_row() {
    let build = |bed: &mut Bed| batches(bed, Some(Value::Int(0)));
    let mut run = Run::of_type(TaskType::Batch, build, &Options::default()).unwrap();
    run.batch(0, "a", "", 5, "v=1 1");
    run.batch(1, "b", "", 5, "w=10 2");
    let expected = r#"B a {} tmax=5 | group=""; a.v=1,b.v=0i @1; a.v=0i,b.w=10 @2"#;
    assert_eq!(run.take(), [expected]);
}

// === checks ===

#[test]
fn definitions_are_checked() {
    let long = "number of prefixes specified by join.as() must match the number of joined streams";
    let cases: &[(&[&str], &str)] = &[
        (&[], "a call to join.as() is required to specify the output stream prefixes."),
        (&["a"], long),
        (&["a", ""], "must provide a prefix name for the join node, see .as() property method"),
        (&["a", "b."], "cannot use name b. as field prefix, it contains the delimiter \".\"\t"),
        (&["a", "a"], "cannot use the same prefix name see .as() property method"),
    ];
    for (names, expected) in cases {
        let build = |bed: &mut Bed| {
            join(bed, &[("a", &[]), ("b", &[])], names);
        };
        let found = Run::try_start(build, &Options::default()).err();
        assert_eq!(found.as_deref(), Some(*expected));
    }
    let build = |bed: &mut Bed| two(bed, &[("fill", text("foo"))]);
    let found = Run::try_start(build, &Options::default()).err();
    assert_eq!(found.as_deref(), Some("unexpected fill option foo"));
}

#[test]
fn the_definition_survives_json() {
    let mut bed = Bed::stream();
    two(
        &mut bed,
        &[("fill", Value::Float(0.0)), ("streamName", text("j")), ("deleteAll", Value::Bool(true))],
    );
    let (pipeline, _) = bed.pipeline();
    let spec = &pipeline.nodes().find(|(_, node)| node.spec.desc() == "join").unwrap().1.spec;
    let json = spec.json();
    let mut again = (spec.kind().empty)();
    again.load(&json).unwrap();
    assert_eq!(again.json(), json);
    let calls = |spec: &dyn crate::spec::Spec| format!("{:?}", spec.calls());
    assert_eq!(calls(&*again), calls(&**spec));
    let names: Vec<&str> = spec.calls().iter().map(|call| call.name).collect();
    assert_eq!(names, ["as", "fill", "streamName", "deleteAll"]);
}

#[test]
fn edges_must_be_alike() {
    let build = |name: &'static str, batch_calls: bool| {
        move |bed: &mut Bed| {
            let (batch, query) = (bed.query(), bed.query());
            let stream = bed.call(query, "combine", vec![lambda("TRUE")]);
            bed.set(stream, "as", texts(&["x"]));
            let (caller, other) = if batch_calls { (batch, stream) } else { (stream, batch) };
            let both = bed.call(caller, name, vec![Value::Object(other)]);
            if name == "join" {
                bed.set(both, "as", texts(&["a", "b"]));
            }
        }
    };
    for (name, batch_calls, expected) in [
        ("join", true, "combine3:stream -> join5:batch"),
        ("join", false, "feed1:batch -> join5:stream"),
        ("union", true, "combine3:stream -> union5:batch"),
        ("union", false, "feed1:batch -> union5:stream"),
    ] {
        let build = build(name, batch_calls);
        let found = Run::of_type(TaskType::Batch, build, &Options::default()).err();
        let expected = format!("cannot add child mismatched edges: {expected}");
        assert_eq!(found, Some(expected));
    }
}

#[test]
fn a_parent_may_be_joined_with_itself() {
    let build = |bed: &mut Bed| {
        let a = bed.from("a", &[]);
        let join = bed.call(a, "join", vec![Value::Object(a)]);
        bed.set(join, "as", texts(&["x", "y"]));
        bed.sink(join);
    };
    let expected = [r#"P a x.v=1,y.v=1 1 | group="""#, r#"P a x.v=2,y.v=2 2 | group="""#];
    assert_eq!(run(build, "a v=1 1; a v=2 2"), expected);
}

#[test]
fn null_counts_as_missing_behind_a_join() {
    let build = |bed: &mut Bed| {
        let (a, b) = (bed.from("a", &[]), bed.from("b", &[]));
        let join = bed.call(a, "join", vec![Value::Object(b)]);
        bed.set(join, "as", texts(&["a", "b"]));
        bed.set(join, "fill", texts(&["null"]));
        let filtered = bed.call(join, "where", vec![lambda(r#"isPresent("b.v")"#)]);
        bed.sink(filtered);
    };
    let expected = [r#"P a a.v=2,b.v=5 2 | group="""#];
    assert_eq!(run(build, "a v=1 1; a v=2 2; b v=5 2"), expected);
}

// === properties ===

/// What §5.7 of the reference says about one group of an inner or outer join, word by word and slowly.
fn model(items: &[(usize, i64)], fills: bool) -> Vec<(i64, usize)> {
    let mut sets: std::collections::BTreeMap<i64, Vec<[bool; 2]>> =
        std::collections::BTreeMap::new();
    let mut heads: [Option<i64>; 2] = [None; 2];
    let mut given = Vec::new();
    let mut give = |time: i64, set: [bool; 2]| {
        let count = set.iter().filter(|there| **there).count();
        if fills || count == 2 {
            given.push((time, count));
        }
    };
    for (parent, time) in items {
        let queue = sets.entry(*time).or_default();
        match queue.iter_mut().find(|set| !set[*parent]) {
            Some(set) => set[*parent] = true,
            None => queue.push(if *parent == 0 { [true, false] } else { [false, true] }),
        }
        heads[*parent] = Some(*time);
        while let Some((oldest, queue)) = sets.iter_mut().next() {
            let only_ready = heads.iter().any(|head| head.is_none_or(|head| head <= *oldest));
            if only_ready && queue[0] != [true, true] {
                break;
            }
            let (oldest, set) = (*oldest, queue.remove(0));
            if queue.is_empty() {
                sets.remove(&oldest);
            }
            give(oldest, set);
        }
    }
    for (time, queue) in sets {
        queue.into_iter().for_each(|set| give(time, set));
    }
    given
}

proptest::proptest! {
    #[test]
    fn a_join_does_what_the_model_does(
        items in proptest::collection::vec((0_usize..2, 0_i64..6), 0..40),
        fills: bool,
    ) {
        let fill = if fills { "null" } else { "none" };
        let input: Vec<String> = items
            .iter()
            .map(|(parent, time)| format!("{} v=1 {time}", ["a", "b"][*parent]))
            .collect();
        let lines = run(|bed| two(bed, &[("fill", text(fill))]), &input.join(";"));
        let found: Vec<(i64, usize)> = lines
            .iter()
            .map(|line| {
                let time = line.split(' ').nth(3).unwrap().parse().unwrap();
                (time, 2 - line.matches("null").count())
            })
            .collect();
        proptest::prop_assert_eq!(found, model(&items, fills));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn a_restart_changes_nothing(input in crate::nodes::testbed::inputs()) {
        let one = ["host"];
        let two = ["host", "port"];
        for (on, fill) in [(false, "none"), (false, "null"), (true, "none"), (true, "null")] {
            let build = |bed: &mut Bed| {
                let second: &[&str] = if on { &two } else { &one };
                let join = join(bed, &[("a", &one), ("b", second)], &["a", "b"]);
                bed.set(join, "fill", texts(&[fill]));
                bed.set(join, "tolerance", vec![Value::Duration(2 * SECOND)]);
                if on {
                    bed.set(join, "on", texts(&one));
                }
            };
            check_restarts(build, &input);
        }
    }

    #[test]
    fn damaged_state_does_no_harm(
        input in crate::nodes::testbed::inputs(),
        damage in proptest::collection::vec((proptest::prelude::any::<usize>(), proptest::prelude::any::<u8>()), 1..4),
    ) {
        let one = ["host"];
        let two = ["host", "port"];
        let build = |bed: &mut Bed| {
            let joined = join(bed, &[("a", &one), ("b", &two)], &["a", "b"]);
            bed.set(joined, "on", texts(&one));
            bed.set(joined, "fill", texts(&["null"]));
            let flat = bed.from("a", &one);
            let flat = bed.call(flat, "flatten", vec![]);
            bed.set(flat, "on", texts(&["port"]));
            let combined = bed.call(flat, "combine", vec![lambda("TRUE"), lambda("TRUE")]);
            bed.set(combined, "as", texts(&["x", "y"]));
            let grouped = bed.call(joined, "groupBy", vec![Value::Star]);
            let union = bed.call(combined, "union", vec![Value::Object(grouped)]);
            bed.sink(union);
        };
        crate::nodes::testbed::check_damage(build, &input, &damage);
    }
}
