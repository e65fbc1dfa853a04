//! The examples of the reference, and what it does not show.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::{FUNCTIONS, holt_winters, moving_average, trouble};
use crate::nodes::testing::{Task, check, define, run, run_batches, run_interrupted, start};
use crate::runtime::context::Limits;

const WINDOW: &str = "stream|from().groupBy('host')|window().period(10s).every(10s)";
const POINTS: &str = r#"
cpu,host=a,cpu=0 value=10,s="x",i=4i 0; cpu,host=a,cpu=1 value=30,s="y",i=1i 3
cpu,host=a,cpu=2 value=20,s="x",i=4i 7; cpu,host=a,cpu=3 value=20,s="z",i=7i 9
cpu,host=a,cpu=0 value=99,s="z",i=7i 10"#;

/// E50 to E72.
const OVER_ONE_WINDOW: &[(&str, &str)] = &[
    ("count('s')", "P cpu,host=a count=4i 10"),
    (
        "distinct('value')",
        "B cpu {host=a} tmax=10; distinct=10 @10; distinct=30 @10; distinct=20 @10",
    ),
    ("mean('i')", "P cpu,host=a mean=4 10"),
    ("median('value')", "P cpu,host=a median=20 10"),
    ("mode('i')", "P cpu,host=a mode=4i 10"),
    ("spread('i')", "P cpu,host=a spread=6i 10"),
    ("sum('value')", "P cpu,host=a sum=80 10"),
    ("first('value')", r#"P cpu,cpu=0,host=a first=10,i=4i,s="x" 10"#),
    ("last('s')", r#"P cpu,cpu=3,host=a i=7i,last="z",value=20 10"#),
    ("min('value')", r#"P cpu,cpu=0,host=a i=4i,min=10,s="x" 10"#),
    ("max('value')", r#"P cpu,cpu=1,host=a i=1i,max=30,s="y" 10"#),
    (
        "max('value').as('value').usePointTimes()",
        r#"P cpu,cpu=1,host=a i=1i,s="y",value=30 3"#,
    ),
    ("percentile('value', 50.0)", r#"P cpu,cpu=2,host=a i=4i,percentile=20,s="x" 10"#),
    ("percentile('value', 1.0)", ""),
    ("stddev('value')", "P cpu,host=a stddev=8.16496580927726 10"),
    (
        "top(2,'value')",
        "B cpu {host=a} tmax=10; {cpu=1,host=a} top=30 @10; {cpu=2,host=a} top=20 @10",
    ),
    (
        "bottom(2,'value').usePointTimes().as('low')",
        "B cpu {host=a} tmax=10; {cpu=0,host=a} low=10 @0; {cpu=2,host=a} low=20 @7",
    ),
    (
        "elapsed('value',1s)",
        "B cpu {host=a} tmax=10; elapsed=3i @3; elapsed=4i @7; elapsed=2i @9",
    ),
    (
        "difference('i')",
        "B cpu {host=a} tmax=10; difference=-3i @3; difference=3i @7; difference=3i @9",
    ),
    (
        "movingAverage('i',2)",
        "B cpu {host=a} tmax=10; movingAverage=2.5 @3; movingAverage=2.5 @7; movingAverage=5.5 @9",
    ),
    (
        "cumulativeSum('value')",
        "B cpu {host=a} tmax=10; cumulativeSum=10 @0; cumulativeSum=40 @3; cumulativeSum=60 @7; cumulativeSum=80 @9",
    ),
    (
        "holtWinters('value',2,0,3s)",
        "B cpu {host=a} tmax=15; holtWinters=19.742101881290196 @12; holtWinters=19.74038421633108 @15",
    ),
    (
        "mean('s')",
        "E mean3: failed to realize reduce context from fields: invalid influxql func mean with field s: cannot apply mean to string field
         E mean3: failed to realize reduce context from fields: invalid influxql func mean with field s: cannot apply mean to string field
         E mean3: failed to realize reduce context from fields: invalid influxql func mean with field s: cannot apply mean to string field
         E mean3: failed to realize reduce context from fields: invalid influxql func mean with field s: cannot apply mean to string field",
    ),
];

#[test]
fn functions_over_one_window() {
    for (call, wanted) in OVER_ONE_WINDOW {
        let got = run(&format!("{WINDOW}|{call}|log()"), POINTS);
        check(call, &got, wanted);
        // The same without folding: the window has two children.
        let script = format!("var w = {WINDOW}\nw|sample(1)\nw|{call}|log()");
        check(call, &run(&script, POINTS), &wanted.replace("mean3", "mean4"));
    }
}

/// E73, E74 (as U-4 is to be), E75 to E78 (as U-5 is to be), E115, E140 to E142.
const SCRIPTS: &[(&str, &str, &str)] = &[
    (
        "stream|from().groupBy('host')|window().period(10s).every(10s)|count('nope')|log()",
        r#"cpu,host=a,cpu=0 value=10,s="x",i=4i 0; cpu,host=a,cpu=0 value=99,s="z",i=7i 10"#,
        r#"E count3: failed to realize reduce context from fields: field "nope" missing from point
           P cpu,host=a count=0i 10 | group="host=a""#,
    ),
    (
        "stream|from().groupBy('host')|window().period(10s).every(10s)|sum('value').usePointTimes()|log()",
        "cpu,host=a value=10 100; cpu,host=a value=30 103; cpu,host=a value=99 110",
        r#"P cpu,host=a sum=40 110 | group="host=a""#,
    ),
    (
        "stream|from().groupBy('host')|mean('value')|log()",
        STREAM,
        r#"P cpu,host=a mean=20 0 | group="host=a"
           E mean2: failed to aggregate point: field value has wrong type: got int64 exp float64
           P cpu,host=a mean=20 1 | group="host=a""#,
    ),
    (
        "stream|from().groupBy('host')|max('value')|log()",
        STREAM,
        r#"P cpu,cpu=1,host=a max=30 0 | group="host=a"
           E max2: failed to aggregate point: field value has wrong type: got int64 exp float64
           P cpu,cpu=0,host=a max=20 1 | group="host=a""#,
    ),
    (
        "stream|from().groupBy('host')|difference('value')|log()",
        STREAM,
        r#"P cpu,host=a difference=10 1 | group="host=a"
           E difference2: failed to aggregate point: field value has wrong type: got int64 exp float64
           P cpu,host=a difference=-15 2 | group="host=a""#,
    ),
    (
        "stream|from().groupBy('host')|cumulativeSum('value')|log()",
        STREAM,
        r#"P cpu,host=a cumulativeSum=10 0 | group="host=a"
           P cpu,host=a cumulativeSum=40 0 | group="host=a"
           P cpu,host=a cumulativeSum=60 1 | group="host=a"
           E cumulativeSum2: failed to aggregate point: field value has wrong type: got int64 exp float64
           P cpu,host=a cumulativeSum=65 2 | group="host=a""#,
    ),
    (
        "stream|from()|difference('v')|log()",
        "m v=1 1; m v=4 2; m v=2 3",
        r#"P m difference=3 2 | group=""
           P m difference=-2 3 | group="""#,
    ),
    (
        "stream|from()|window().period(10s).every(10s)|top(1,'v','cpu')|log()",
        "m,cpu=0 v=1 1; m,cpu=1 v=4 2; m v=4 12",
        r#"B m {} tmax=11 | group=""; {cpu=1} top=4 @11"#,
    ),
    (
        "stream|from()|window().period(10s).every(10s)|holtWinters('v',1,0,1s)|log()",
        "m v=1 1; m v=4 12",
        r#"B m {} tmax=11 | group="""#,
    ),
    // E139, E143
    (
        "stream|from().groupBy('h')|eval(lambda: string(\"v\")).as('h').tags('h').keep('v')|window().periodCount(2).everyCount(2)|count('v')|log()",
        "m,h=a v=1 1; m,h=b v=1 2; m,h=a v=2 3",
        r#"P m,h=1 count=2i 2 | group="h=1""#,
    ),
    (
        "stream|from().groupBy('h')|window().period(10s).every(10s).align()|count('v').as('n')|groupBy()|sum('n')|log()",
        "m,h=a v=1 1; m,h=b v=1 2; m,h=a v=1 11; m,h=b v=1 12; m,h=a v=1 21; m,h=b v=1 22; m,h=a v=1 31",
        r#"P m sum=2i 10 | group=""
           P m sum=2i 20 | group="""#,
    ),
    // Beyond the examples: what reductions keep on streams.
    (
        "stream|from().groupBy('host')|percentile('value', 100.0)|log()",
        STREAM,
        r#"P cpu,cpu=1,host=a percentile=30 0 | group="host=a"
           E percentile2: failed to aggregate point: field value has wrong type: got int64 exp float64
           P cpu,cpu=0,host=a percentile=20 1 | group="host=a""#,
    ),
    (
        "stream|from().groupBy('host')|bottom(1, 'value')|log()",
        STREAM,
        r#"B cpu {host=a} tmax=0 | group="host=a"; {cpu=0,host=a} bottom=10 @0
           E bottom2: failed to aggregate point: field value has wrong type: got int64 exp float64
           B cpu {host=a} tmax=1 | group="host=a"; {cpu=0,host=a} bottom=20 @1"#,
    ),
    // A field of the result's name is overwritten; a dimension without a tag is an empty tag.
    (
        "stream|from()|window().period(5s).every(5s)|max('a').as('b')|log()",
        "m a=1,b=2,c=3 0; m a=5,b=6,c=7 1; m a=9 6",
        r#"P m b=5,c=7 5 | group="""#,
    ),
    (
        "stream|from().groupBy('k')|window().period(5s).every(5s)|top(1,'a')|log()",
        "m,t=1 a=1 0; m a=9 6",
        r#"B m {k=} tmax=5 | group="k="; {k=,t=1} top=1 @5"#,
    ),
    // Equal times: the larger value; of booleans, first prefers FALSE and last TRUE.
    (
        "stream|from()|first('b')|log()",
        "m b=true 0; m b=false 0; m b=true 0; m b=true 1",
        r#"P m first=false 0 | group="""#,
    ),
    (
        "stream|from()|last('b')|log()",
        "m b=true 0; m b=false 0; m b=true 1",
        r#"P m last=true 0 | group="""#,
    ),
    (
        "stream|from()|first('v')|log()",
        "m v=1 0; m v=3 0; m v=2 0; m v=1 1",
        r#"P m first=3 0 | group="""#,
    ),
    (
        "stream|from()|window().period(9s).every(9s)|mode('v')|log()",
        "m v=3 0; m v=1 1; m v=2 2; m v=2 9",
        r#"P m mode=1 9 | group="""#,
    ),
    (
        "stream|from()|window().period(9s).every(9s)|mode('v')|log()",
        "m v=3 0; m v=1 1; m v=1 2; m v=3 3; m v=2 9",
        r#"P m mode=3 9 | group="""#,
    ),
    (
        "stream|from()|window().period(9s).every(9s)|median('v')|log()",
        "m v=4i 0; m v=1i 1; m v=2i 2; m v=9i 3; m v=2i 9",
        r#"P m median=3 9 | group="""#,
    ),
    (
        "stream|from()|window().period(9s).every(9s)|stddev('v')|log()",
        "m v=4i 0; m v=2i 9",
        r#"P m stddev=NaN 9 | group="""#,
    ),
    (
        "stream|from()|movingAverage('v', 2)|log()",
        "m v=1 0; m w=1 1; m v=2 2; m v=\"x\" 3; m v=6 4",
        r#"P m movingAverage=1.5 2 | group=""
           E movingAverage2: failed to aggregate point: field v missing from point cannot aggregate
           E movingAverage2: failed to aggregate point: field v has wrong type: got string exp float64
           P m movingAverage=4 4 | group="""#,
    ),
    (
        "stream|from()|elapsed('v', 2s)|log()",
        "m v=1 0; m v=1 5; m v=1 2",
        r#"P m elapsed=2i 5 | group=""
           P m elapsed=-1i 2 | group="""#,
    ),
];

const STREAM: &str = "cpu,host=a,cpu=0 value=10 0; cpu,host=a,cpu=1 value=30 0; \
                      cpu,host=a,cpu=0 value=20 1; cpu,host=a,cpu=1 value=20i 1; \
                      cpu,host=a,cpu=0 value=5 2";

#[test]
fn scripts_give_what_the_reference_says() {
    for (script, points, wanted) in SCRIPTS {
        let mut got = run(script, points);
        // Where a trouble is reported does not matter between two results of one group.
        let mut lines: Vec<String> = wanted.lines().map(|line| line.trim().to_owned()).collect();
        if script.contains("movingAverage") {
            got.sort();
            lines.sort();
        }
        check(script, &got, &lines.join("\n"));
        for cut in 1..5 {
            let mut got = run_interrupted(script, points, cut);
            if script.contains("movingAverage") {
                got.sort();
            }
            check(script, &got, &lines.join("\n"));
        }
    }
}

const BATCHES: &[(i64, &str)] = &[(5, "a v=1 1; a v=4 2; a v=9 4"), (65, "a v=9 61; a v=2 62")];

#[test]
fn batches_begin_anew() {
    // E123, and E115 with its third value below the bound.
    let got = run_batches("|cumulativeSum('v')|log()", BATCHES);
    let wanted = "B a {h=x} tmax=5; cumulativeSum=1 @1; cumulativeSum=5 @2; cumulativeSum=14 @4
                  B a {h=x} tmax=65; cumulativeSum=9 @61; cumulativeSum=11 @62";
    check("E123", &got, wanted);
    let batches = [(5, "a v=1 1; a v=4 2; a v=3 4"), BATCHES[1]];
    let got = run_batches("|where(lambda: \"v\" > 5)|count('v')|log()", &batches);
    check("E115", &got, "P a,h=x count=0i 5\nP a,h=x count=1i 65");
}

#[test]
fn batches_without_usable_points() {
    let empty = [(5, ""), (6, "a w=1 1")];
    let missing = |function: &str| {
        format!(
            "E {function}1: failed to realize reduce context from fields: field \"v\" missing from point"
        )
    };
    let cases = [
        ("count('v')", "P a,h=x count=0i 5".to_owned(), "P a,h=x count=0i 6"),
        ("sum('v')", "P a,h=x sum=0 5".to_owned(), "P a,h=x sum=0 6"),
        ("mean('v')", String::new(), ""),
        ("first('v')", String::new(), ""),
        ("top(1,'v')", String::new(), ""),
        ("distinct('v')", String::new(), ""),
        ("holtWinters('v',1,0,1s)", String::new(), ""),
        ("elapsed('v',1s)", "B a {h=x} tmax=5".to_owned(), "B a {h=x} tmax=6"),
    ];
    for (call, first, last) in cases {
        let function = &call[..call.find('(').unwrap()];
        let got = run_batches(&format!("|{call}|log()"), &empty);
        check(call, &got, &format!("{first}\n{}\n{last}", missing(function)));
    }
    let got =
        run_batches("|max('v')|log()", &[(5, "a w=1 1; a v=3 2; a v=\"x\" 3; a v=1 4; a w=1 5")]);
    let wanted =
        "E max1: failed to realize reduce context from fields: field \"v\" missing from point
        E max1: failed to aggregate point in batch: field v has wrong type: got string exp float64
        E max1: failed to aggregate point in batch: field v missing from point cannot aggregate
        P a,h=x max=3 5";
    check("max", &got, wanted);
    // Numbers of usable points are not places in the batch.
    let got = run_batches(
        "|bottom(2,'v').usePointTimes()|log()",
        &[(5, "a w=1 1; a,t=1 v=3 2; a,t=2 w=1 3; a,t=3 v=1 4")],
    );
    assert!(got[2].ends_with("{h=x,t=3} bottom=1 @4; {h=x,t=1} bottom=3 @2"), "{got:?}");
    // The time of a batch is raised to its latest point.
    let got = run_batches("|top(1,'v').usePointTimes()|log()", &[(5, "a v=3 9")]);
    check("raised", &got, "B a {h=x} tmax=9; top=3 @9");
    let got = run_batches("|difference('v')|log()", &[(5, "a v=3 1; a w=3 2; a v=5 3")]);
    let wanted = "E difference1: failed to aggregate batch point: field v missing from point cannot aggregate
                  B a {h=x} tmax=5; difference=2 @3";
    check("difference", &got, wanted);
}

#[test]
fn wrong_arguments_are_define_errors() {
    let most = moving_average::POINTS_MAX;
    let (forecasts, season) = (holt_winters::FORECASTS_MAX, holt_winters::SEASON_MAX);
    let cases = [
        ("elapsed('v',0s)".to_owned(), "the unit of elapsed must be greater than zero".to_owned()),
        ("elapsed('v',-1s)".to_owned(), "the unit of elapsed must be greater than zero".to_owned()),
        (
            "movingAverage('v',0)".to_owned(),
            "the window of movingAverage must be greater than zero".to_owned(),
        ),
        (
            format!("movingAverage('v',{})", most + 1),
            format!("the window of movingAverage must be at most {most}"),
        ),
        (
            "top(0,'v')".to_owned(),
            "the number of points of top and bottom must be greater than zero".to_owned(),
        ),
        (
            "holtWinters('v',0,0,1s)".to_owned(),
            "the number of forecasts of holtWinters must be greater than zero".to_owned(),
        ),
        (
            format!("holtWinters('v',{},0,1s)", forecasts + 1),
            format!("the number of forecasts of holtWinters is at most {forecasts}"),
        ),
        (
            "holtWintersWithFit('v',1,-1,1s)".to_owned(),
            "the season of holtWinters must not be negative".to_owned(),
        ),
        (
            format!("holtWinters('v',1,{},1s)", season + 1),
            format!("the season of holtWinters is at most {season}"),
        ),
        (
            "holtWinters('v',1,0,0s)".to_owned(),
            "the interval of holtWinters must be greater than zero".to_owned(),
        ),
        ("mean()".to_owned(), "reflect: Call with too few input arguments".to_owned()),
        ("mean('v','w')".to_owned(), "reflect: Call with too many input arguments".to_owned()),
        ("mean(\"v\")".to_owned(), "ReferenceForString".to_owned()),
        ("percentile('v', 95)".to_owned(), "reflect: Call using int64 as type float64".to_owned()),
        ("top(1)".to_owned(), "reflect: Call with too few input arguments".to_owned()),
        ("top(1,'v',2)".to_owned(), "reflect: cannot use int64 as type string in Call".to_owned()),
        (
            "mean('v').as(1)".to_owned(),
            "reflect.Set: value of type int64 is not assignable to type string".to_owned(),
        ),
    ];
    for (call, wanted) in cases {
        let error = define(&format!("stream|from()|{call}|log()")).unwrap_err();
        assert_eq!(error, wanted, "{call}");
    }
    let fine = [
        format!("movingAverage('v',{most})"),
        format!("holtWinters('v',{forecasts},{season},1ns)").replace("1ns", "1u"),
        "top(1,'v','a','b')".to_owned(),
    ];
    for call in fine {
        define(&format!("stream|from()|{call}|log()")).unwrap();
    }
}

#[test]
fn definitions_come_back_from_json() {
    let calls = [
        "mean('v')",
        "mean('v').as('m').usePointTimes()",
        "top(3, 'v', 'host', 'cpu').as('best')",
        "percentile('v', 99.5)",
        "elapsed('v', 10s)",
        "holtWintersWithFit('v', 3, 4, 1m)",
    ];
    for call in calls {
        let pipeline = define(&format!("stream|from()|{call}|log()")).unwrap();
        let spec = &pipeline.node(crate::pipeline::NodeIndex(2)).spec;
        let json = spec.json();
        let mut again = (spec.kind().empty)();
        again.load(&json).unwrap();
        assert_eq!(again.json(), json, "{call}");
        assert_eq!(format!("{:?}", again.args()), format!("{:?}", spec.args()));
        assert_eq!(
            spec.calls().len(),
            usize::from(call.contains(".as")) + usize::from(call.contains("use"))
        );
    }
}

#[test]
fn functions_have_one_name_each() {
    let mut names: Vec<&str> = FUNCTIONS.iter().map(|function| function.kind.name).collect();
    assert_eq!(names.len(), 21);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 21);
    assert!(super::kind("Mean").is_some() && super::kind("means").is_none());
    assert_eq!(super::kind("holtWintersWithFit").unwrap().desc, "holtWinters");
}

#[test]
fn watermarks_end_times_on_streams() {
    let mut task = Task::new("stream|from().groupBy('h')|count('v')|log()");
    task.points("m,h=a v=1 1; m,h=b v=1 5");
    task.actor.watermark(levada_model::Timestamp(1_000_000_000)).unwrap();
    assert!(task.taken().is_empty());
    task.actor.watermark(levada_model::Timestamp(1_000_000_001)).unwrap();
    check("watermark", &task.taken(), "P m,h=a count=1i 1");
    // The same time again is another reduction.
    task.points("m,h=a v=1 1; m,h=a v=1 2");
    check("again", &task.taken(), "P m,h=a count=1i 1");
}

#[test]
fn values_held_back_are_bounded() {
    let limits = Limits { buffered_points: 2, ..Limits::default() };
    for (script, node) in [
        ("stream|from()|signal()|median('v')|log()", "median3"),
        ("stream|from()|signal()|top(1,'v')|log()", "top3"),
        ("stream|from()|signal()|window().period(9s).every(9s)|median('v')|log()", "median4"),
    ] {
        let mut task = start(&define(script).unwrap(), &limits).unwrap();
        task.points("m v=1 1; m v=2 1; m v=9 1");
        assert_eq!(task.actor.context().held, 2, "{script}");
        task.points("m v=3 10");
        let lines = task.taken();
        assert_eq!(lines[0], format!("E {node}: too many buffered points: v"), "{script}");
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(task.actor.context().held, 1, "{script}");
        task.points("delete v=3 11");
        assert_eq!(task.actor.context().held, 0, "{script}");
    }
}

#[test]
fn troubles_of_a_window_are_bounded_and_counted() {
    let mut task = Task::new("stream|from()|window().period(1h).every(1h)|count('v')|log()");
    let mut text = String::from("m v=1 0");
    for at in 0..trouble::RUNS_MAX {
        text.push_str(if at % 2 == 0 { ";m w=1 1" } else { ";m v=1i 1" });
    }
    text.push_str(";m w=1 2;m v=1 3600");
    task.points(&text);
    let lines = task.taken();
    assert_eq!(lines.len(), trouble::RUNS_MAX + 2);
    assert_eq!(lines.last().unwrap(), "P m count=1i 3600 | group=\"\"");
}

#[test]
fn forecasts_are_bounded() {
    let most = holt_winters::BUCKETS_MAX;
    let script = "stream|from()|window().period(52w).every(52w)|holtWinters('v',1,0,1s)|log()";
    let mut task = Task::new(script);
    task.points(&format!("m v=1 0; m v=2 {most}; m v=1 31449600"));
    let wanted = format!(
        "E holtWinters3: failed to emit the result: holtWinters takes at most {most} intervals from the first to the last point"
    );
    check("buckets", &task.taken(), &wanted);
}

#[test]
fn forecasts_with_a_season_and_a_fit() {
    let values = [10, 20, 30, 11, 21, 31, 12, 22, 32];
    let points: Vec<String> =
        values.iter().enumerate().map(|(at, value)| format!("a v={value} {at}")).collect();
    let got = run_batches("|holtWintersWithFit('v',3,3,1s)|log()", &[(5, &points.join(";"))]);
    // Nine fitted values and three forecasts, that follow the season.
    let forecasts: Vec<f64> = got[0]
        .split("; ")
        .skip(1)
        .map(|part| part["holtWinters=".len()..part.find(" @").unwrap()].parse().unwrap())
        .collect();
    assert_eq!(forecasts.len(), 12);
    assert!((forecasts[0] - 10.0).abs() < 1e-9);
    assert!(forecasts[9] < forecasts[10] && forecasts[10] < forecasts[11], "{forecasts:?}");
    assert!(got[0].contains("tmax=11"));
}

/// Every function, for what must hold of all of them.
const CALLS: &[&str] = &[
    "count('v')",
    "distinct('v')",
    "mean('v')",
    "median('v')",
    "mode('v')",
    "spread('v')",
    "sum('v')",
    "stddev('v')",
    "first('v')",
    "last('v')",
    "min('v').usePointTimes()",
    "max('v')",
    "percentile('v', 60.0)",
    "top(2, 'v')",
    "bottom(2, 'v').usePointTimes()",
    "elapsed('v', 1s)",
    "difference('v')",
    "movingAverage('v', 3)",
    "cumulativeSum('v')",
    "holtWinters('v', 2, 0, 1s)",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn restored_functions_go_on(
        points in prop::collection::vec((0..2_u8, -1..3_i64, -9..9_i64, 0..8_u8), 0..40),
        cut in 0..40_usize,
    ) {
        let mut now = 10;
        let lines: Vec<String> = points
            .iter()
            .map(|(host, step, value, kind)| {
                now += step;
                let field = match kind {
                    0 => "w=1".to_owned(),
                    1 => format!("v={value}i"),
                    2 => "v=true".to_owned(),
                    _ => format!("v={value}.25"),
                };
                format!("m,host={host},kind={kind} {field} {now}")
            })
            .collect();
        let lines = lines.join(";");
        for call in CALLS {
            let script = format!("stream|from().groupBy('host')|{call}|log()");
            prop_assert_eq!(run_interrupted(&script, &lines, cut), run(&script, &lines), "{}", call);
        }
    }
}
