//! The examples of the reference for the small nodes, and what holds for all of them.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::testing::{Task, check, define, run, run_batches, run_interrupted, start};
use crate::pipeline::NodeIndex;
use crate::runtime::context::Limits;

const DERIVED: &str = "cpu,host=a value=10 0; cpu,host=a value=15 10; cpu,host=a value=13 20; \
                       cpu,host=a value=14 20; cpu,host=a other=1 25; cpu,host=a value=20i 30";
const STATES: &str = "cpu,host=a value=1 0; cpu,host=a value=5 1; cpu,host=a value=6 3; \
                      cpu,host=a other=6 4; cpu,host=a value=1 5; cpu,host=a value=7 7";

/// E39 to E49, E94: calls behind `stream|from().groupBy('host')`.
const STREAMS: &[(&str, &str, &str)] = &[
    (
        "derivative('value')",
        DERIVED,
        r#"P cpu,host=a value=0.5 10 | group="host=a"
           P cpu,host=a value=-0.2 20 | group="host=a"
           E derivative2: cannot perform derivative: elaspsed time was 0
           E derivative2: cannot perform derivative: field is the wrong type field=value type=<nil>
           P cpu,host=a value=0.6 30 | group="host=a""#,
    ),
    (
        "derivative('value').unit(10s).nonNegative().as('rate')",
        DERIVED,
        r#"P cpu,host=a rate=5,value=15 10 | group="host=a"
           E derivative2: cannot perform derivative: elaspsed time was 0
           E derivative2: cannot perform derivative: field is the wrong type field=value type=<nil>
           P cpu,host=a rate=6,value=20i 30 | group="host=a""#,
    ),
    (
        "changeDetect('value')",
        "cpu,host=a value=1 0; cpu,host=a value=1 1; cpu,host=a value=1i 3; \
         cpu,host=a s=\"y\" 4; cpu,host=a value=2 5",
        r#"P cpu,host=a value=1 0 | group="host=a"
           P cpu,host=a value=1i 3 | group="host=a"
           E changeDetect2: Invalid field in change detect: expected field value not found field=value
           P cpu,host=a value=2 5 | group="host=a""#,
    ),
    ("changeDetect()", "cpu,host=a value=1 0; cpu,host=a value=2 1", ""),
    (
        "changeDetect('a','b')",
        "m,host=a a=1,b=1 0; m,host=a a=1,b=2 1; m,host=a a=1,b=2 2",
        r#"P m,host=a a=1,b=1 0 | group="host=a"
           P m,host=a a=1,b=2 1 | group="host=a""#,
    ),
    (
        "stateDuration(lambda: \"value\" > 2)",
        STATES,
        r#"P cpu,host=a state_duration=-1,value=1 0 | group="host=a"
           P cpu,host=a state_duration=0,value=5 1 | group="host=a"
           P cpu,host=a state_duration=2,value=6 3 | group="host=a"
           E state_duration2: error while evaluating expression: left reference value "value" is missing value
           P cpu,host=a state_duration=-1,value=1 5 | group="host=a"
           P cpu,host=a state_duration=0,value=7 7 | group="host=a""#,
    ),
    (
        "stateDuration(lambda: \"value\" > 2).unit(500ms).as('d')",
        "cpu,host=a value=1 0; cpu,host=a value=5 1; cpu,host=a value=6 3",
        r#"P cpu,host=a d=-1,value=1 0 | group="host=a"
           P cpu,host=a d=0,value=5 1 | group="host=a"
           P cpu,host=a d=4,value=6 3 | group="host=a""#,
    ),
    (
        "stateCount(lambda: \"value\" > 2)",
        STATES,
        r#"P cpu,host=a state_count=-1i,value=1 0 | group="host=a"
           P cpu,host=a state_count=1i,value=5 1 | group="host=a"
           P cpu,host=a state_count=2i,value=6 3 | group="host=a"
           E state_count2: error while evaluating expression: left reference value "value" is missing value
           P cpu,host=a state_count=-1i,value=1 5 | group="host=a"
           P cpu,host=a state_count=1i,value=7 7 | group="host=a""#,
    ),
    (
        "sample(2)",
        STATES,
        r#"P cpu,host=a value=1 0 | group="host=a"
           P cpu,host=a value=6 3 | group="host=a"
           P cpu,host=a value=1 5 | group="host=a""#,
    ),
    (
        "sample(3s)",
        STATES,
        r#"P cpu,host=a value=1 0 | group="host=a"
           P cpu,host=a value=6 3 | group="host=a""#,
    ),
    (
        "shift(-5m)",
        "cpu,host=a value=1 0; cpu,host=a value=5 1",
        r#"P cpu,host=a value=1 -300 | group="host=a"
           P cpu,host=a value=5 -299 | group="host=a""#,
    ),
    (
        "default().field('value', 0.0).field('x', 'y').tag('t','v')",
        "cpu,host=a value=6 3; cpu,host=a other=6 4",
        r#"P cpu,host=a,t=v value=6,x="y" 3 | group="host=a"
           P cpu,host=a,t=v other=6,value=0,x="y" 4 | group="host=a""#,
    ),
    // A default of a dimension is another group.
    (
        "default().tag('host','b').tag('a','1')|count('v')",
        "m v=1 1; m,host=b v=1 1; m,host=a v=1 1; m,host=b v=1 2",
        r#"P m,host=b count=2i 1 | group="host=b""#,
    ),
    (
        "delete().field('value').tag('host')",
        "cpu,host=a value=1,x=2 0; cpu,host=b,t=1 value=1 1",
        r#"P cpu x=2 0 | group=""
           P cpu,t=1  1 | group="""#,
    ),
    (
        "window().period(2s).every(2s)|trickle()",
        "cpu,host=a,x=1 v=1 1; cpu,host=a v=1 2; cpu,host=a v=1 3",
        r#"P cpu,host=a,x=1 v=1 1 | group="host=a"
           P cpu,host=a v=1 2 | group="host=a""#,
    ),
];

#[test]
fn streams() {
    for (call, points, wanted) in STREAMS {
        let script = format!("stream|from().groupBy('host')|{call}|log()");
        check(call, &run(&script, points), wanted);
        for cut in 0..6 {
            check(call, &run_interrupted(&script, points, cut), wanted);
        }
    }
}

const BATCHES: &[(i64, &str)] = &[(5, "a v=1 1; a v=4 2; a v=9 4"), (65, "a v=9 61; a v=2 62")];

/// E113, E116 to E122.
const OVER_BATCHES: &[(&str, &str)] = &[
    (
        "derivative('v').unit(1s).as('d')",
        "B a {h=x} tmax=5; d=3,v=4 @2; d=2.5,v=9 @4
         B a {h=x} tmax=65; d=-7,v=2 @62",
    ),
    (
        "changeDetect('v')",
        "B a {h=x} tmax=5; v=1 @1; v=4 @2; v=9 @4
         B a {h=x} tmax=65; v=9 @61; v=2 @62",
    ),
    (
        "stateCount(lambda: \"v\" > 3)|stateDuration(lambda: \"v\" > 3)",
        "B a {h=x} tmax=5; state_count=-1i,state_duration=-1,v=1 @1; state_count=1i,state_duration=0,v=4 @2; state_count=2i,state_duration=2,v=9 @4
         B a {h=x} tmax=65; state_count=1i,state_duration=0,v=9 @61; state_count=-1i,state_duration=-1,v=2 @62",
    ),
    (
        "sample(2)",
        "B a {h=x} tmax=5; v=1 @1; v=9 @4
         B a {h=x} tmax=65; v=9 @61",
    ),
    (
        "shift(1m)",
        "B a {h=x} tmax=65; v=1 @61; v=4 @62; v=9 @64
         B a {h=x} tmax=125; v=9 @121; v=2 @122",
    ),
    (
        "delete().tag('h')",
        r#"B a {} tmax=5 | group=""; v=1 @1; v=4 @2; v=9 @4
           B a {} tmax=65 | group=""; v=9 @61; v=2 @62"#,
    ),
    (
        "default().tag('z','1').tag('h','2')",
        r#"B a {h=x,z=1} tmax=5 | group="h=x,z=1"; v=1 @1; v=4 @2; v=9 @4
           B a {h=x,z=1} tmax=65 | group="h=x,z=1"; v=9 @61; v=2 @62"#,
    ),
    (
        "trickle()",
        r#"P a,h=x v=1 1 | group="h=x"
           P a,h=x v=4 2 | group="h=x"
           P a,h=x v=9 4 | group="h=x"
           P a,h=x v=9 61 | group="h=x"
           P a,h=x v=2 62 | group="h=x""#,
    ),
];

#[test]
fn batches() {
    for (calls, wanted) in OVER_BATCHES {
        check(calls, &run_batches(&format!("|{calls}|log()"), BATCHES), wanted);
    }
}

#[test]
fn trickle_feeds_every_child_and_needs_none() {
    // U-13
    let script =
        "var t = stream|from()|window().period(2s).every(2s)|trickle()\nt|log()\nt|shift(1s)|log()";
    let got = run(script, "m v=1 1; m v=2 3");
    assert_eq!(got, ["P m v=1 1 | group=\"\"", "P m v=1 2 | group=\"\""]);
    assert!(
        run("stream|from()|window().period(2s).every(2s)|trickle()", "m v=1 1; m v=2 3").is_empty()
    );
    assert_eq!(define("stream|from()|trickle()").unwrap_err(), "cannot Trickle stream edge");
}

#[test]
fn merged_groups_keep_their_barriers_to_themselves() {
    let script =
        "stream|from().groupBy('host')|signal()|delete().tag('host')|shown()|count('v')|log()";
    let got = run(
        script,
        "m,host=a v=1 1; barrier,host=a v=1 2; m,host=b v=1 3; barrier,host=a v=1 4; \
         delete,host=a v=1 5; barrier,host=b v=1 6; delete,host=b v=1 7; barrier,host=b v=1 8",
    );
    // Alone, host=a is the group; with host=b beside it, neither speaks for both.
    let wanted = r#"E shown4: barrier:  2
                    P m count=1i 1 | group=""
                    E shown4: barrier:  6
                    E shown4: delete:
                    E shown4: barrier:  8"#;
    let wanted: Vec<&str> = wanted.lines().map(str::trim).collect();
    let got: Vec<&str> = got.iter().map(|line| line.trim_end()).collect();
    assert_eq!(got, wanted);
}

#[test]
fn too_many_groups_are_reported() {
    // One group is that of the source, one that of the point; there is no room for a third.
    let limits = Limits { groups: 2, ..Limits::default() };
    let script = "stream|from().groupBy('host')|default().tag('host', 'z')|log()";
    let mut task = start(&define(script).unwrap(), &limits).unwrap();
    task.points("m v=1 1");
    check(script, &task.taken(), "E default2: too many groups: host=");
}

#[test]
fn nonsense_is_refused() {
    let define_errors = [
        (
            "default().field('a', 1s)",
            "unsupported type time.Duration for field \"a\", field default values must be float,int,string or bool",
        ),
        ("sample('x')", "must pass int64 or duration to new sample node"),
        ("derivative('v').unit(-1s)", "unit must not be negative"),
        ("derivative(1)", "reflect: Call using int64 as type string"),
        ("stateCount('x')", "reflect: Call using string as type *ast.LambdaNode"),
        ("shift(1)", "reflect: Call using int64 as type time.Duration"),
        ("changeDetect(1)", "reflect: cannot use int64 as type string in Call"),
    ];
    for (call, wanted) in define_errors {
        let error = define(&format!("stream|from()|{call}|log()")).unwrap_err();
        assert_eq!(error, wanted, "{call}");
    }
    let enable_errors = [
        ("sample(0)", "invalid sample rate: must be positive integer or duration"),
        ("sample(-1s)", "invalid sample rate: must be positive integer or duration"),
        ("shift(0s)", "invalid shift value: must be non zero duration"),
    ];
    for (call, wanted) in enable_errors {
        let pipeline = define(&format!("stream|from()|{call}|log()")).unwrap();
        let problems = pipeline.check();
        assert!(problems.iter().any(|(_, problem)| problem == wanted), "{call}: {problems:?}");
        let error = start(&pipeline, &Limits::default()).map(|_| ()).unwrap_err();
        assert_eq!(error, wanted, "{call}");
    }
}

#[test]
fn definitions_come_back_from_json() {
    let calls = [
        ("window().period(10s).every(5s).align().fillPeriod()", 4),
        ("window().periodCount(10).everyCount(5)", 2),
        ("derivative('v')", 0),
        ("derivative('v').as('w').unit(1m).nonNegative()", 3),
        ("changeDetect('a','b')", 0),
        ("sample(3)", 0),
        ("sample(3s)", 0),
        ("shift(-3s)", 0),
        ("default().field('a', 1).field('b', 2.5).field('c','x').field('d',TRUE).tag('t','u')", 5),
        ("delete().field('a').field('b').tag('t')", 3),
        ("trickle()", 0),
        ("stateDuration(lambda: \"v\" > 1)", 0),
        ("stateDuration(lambda: \"v\" > 1).as('d').unit(1m)", 2),
        ("stateCount(lambda: \"v\" > 1).as('d')", 1),
    ];
    for (call, count) in calls {
        let before = if call == "trickle()" { "window().period(1s)|" } else { "" };
        let pipeline = define(&format!("stream|from()|{before}{call}")).unwrap();
        let (at, _) = pipeline.nodes().last().unwrap();
        let spec = &pipeline.node(NodeIndex(at.0)).spec;
        let mut again = (spec.kind().empty)();
        again.load(&spec.json()).unwrap();
        assert_eq!(again.json(), spec.json(), "{call}");
        if !call.contains("lambda") {
            assert_eq!(format!("{:?}", again.args()), format!("{:?}", spec.args()), "{call}");
        }
        assert_eq!(format!("{:?}", again.calls()), format!("{:?}", spec.calls()), "{call}");
        assert_eq!(spec.calls().len(), count, "{call}: {:?}", spec.calls());
    }
}

#[test]
fn times_at_the_ends_do_not_overflow() {
    for call in [
        "derivative('v')",
        "shift(1h)",
        "shift(-1h)",
        "stateDuration(lambda: TRUE)",
        "elapsed('v', 1s)",
    ] {
        let mut task = Task::new(&format!("stream|from()|{call}|log()"));
        let mut points = task.parse("m v=1 1; m v=2 2; m v=3 3");
        points[0].time.0 = i64::MIN;
        points[1].time.0 = i64::MAX;
        points[2].time.0 = i64::MIN;
        task.actor.points(&points).unwrap();
        assert!(!task.taken().is_empty(), "{call}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn restored_nodes_go_on(
        points in prop::collection::vec((0..3_u8, 0..3_i64, 0..4_i64, 0..6_u8), 0..40),
        cut in 0..40_usize,
    ) {
        let mut now = 10;
        let lines: Vec<String> = points
            .iter()
            .map(|(host, step, value, kind)| {
                now += step;
                let name = if *kind == 5 { "delete" } else { "m" };
                let field = match kind {
                    0 => "w=1".to_owned(),
                    1 => format!("v={value}i"),
                    _ => format!("v={value}"),
                };
                let host = if *host == 2 { String::new() } else { format!(",host={host}") };
                format!("{name}{host} {field} {now}")
            })
            .collect();
        let lines = lines.join(";");
        for call in [
            "derivative('v')",
            "changeDetect('v','w')",
            "stateDuration(lambda: \"v\" > 1)",
            "stateCount(lambda: \"v\" > 1 AND count() < 5)",
            "sample(3)",
            "sample(2s)",
            "default().field('v', 1).tag('host','1')|derivative('v')",
            "delete().tag('host')|derivative('v')",
        ] {
            let script = format!("stream|from().groupBy('host')|signal()|{call}|log()");
            let whole = run(&script, &lines);
            prop_assert_eq!(run_interrupted(&script, &lines, cut), whole, "{}", call);
        }
    }
}
