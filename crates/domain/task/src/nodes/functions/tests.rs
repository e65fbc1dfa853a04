//! The examples of the reference, and what it does not show.

use crate::nodes::testing::{check, define, run};

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
        let got =
            run(&format!("var w = {WINDOW}\nw|count('value').as('skip')\nw|{call}|log()"), POINTS);
        let _ = define;
        check(call, &got, &wanted.replace("mean3", "mean4"));
    }
}
