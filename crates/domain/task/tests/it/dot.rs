//! The graph as DOT: of a task that is defined, and of one that runs.

use levada_task::actor::Actor;
use levada_task::definition::{DefineOptions, Definition, define};
use levada_task::dry_run::Unconfigured;
use levada_task::pipeline::TaskType;
use levada_task::pipeline::dot::DotView;
use levada_task::pipeline::start::StartOptions;
use levada_task::runtime::context::{Compat, Limits};
use levada_tick::lambda::Env;

use crate::examples::{START, points};
use crate::notation::Record;

fn defined(script: &str, task_type: TaskType) -> Definition {
    let options = DefineOptions { task_type: Some(task_type), ..DefineOptions::default() };
    define(script, &options).unwrap_or_else(|error| panic!("{script}: {error}"))
}

fn edges(script: &str, task_type: TaskType) -> Vec<String> {
    let dot = defined(script, task_type).pipeline.dot("tid");
    let body = dot.strip_prefix("digraph tid {\n").expect("a head").strip_suffix('}');
    body.expect("an end without a line end").lines().map(str::to_owned).collect()
}

#[test]
fn the_view_of_a_definition() {
    let cases: [(TaskType, &str, &[&str]); 3] = [
        (
            TaskType::Stream,
            "stream|from()|window().period(1s).every(1s)|mean('v')|log()",
            &["stream0 -> from1;", "from1 -> window2;", "window2 -> mean3;", "mean3 -> log4;"],
        ),
        (
            TaskType::Stream,
            "var d = stream|from().groupBy('host')\nd|deadman(2.0, 1s)",
            &[
                "stream0 -> from1;",
                "from1 -> noop3;",
                "stats2 -> derivative4;",
                "derivative4 -> alert5;",
            ],
        ),
        (
            TaskType::Batch,
            "batch|stats(1s)|log()\nbatch|query('select v from db.rp.m').every(1s)|log()",
            &["query4 -> log5;", "stats1 -> log3;"],
        ),
    ];
    for (task_type, script, wanted) in cases {
        assert_eq!(edges(script, task_type), wanted, "{script}");
    }
}

#[test]
fn a_double_link_is_printed_twice() {
    let script = "var a = stream|from()\na|join(a).as('x', 'y')|log()";
    assert_eq!(
        edges(script, TaskType::Stream),
        ["stream0 -> from1;", "from1 -> join3;", "from1 -> join3;", "join3 -> log4;"]
    );
}

fn running(script: &str) -> Actor {
    Actor::start(
        &defined(script, TaskType::Stream).pipeline,
        &StartOptions {
            task: "tid".into(),
            dbrps: &[("db".into(), "rp".into())],
            services: &Unconfigured::default(),
            limits: &Limits::default(),
            compat: Compat::default(),
            seed: 1,
        },
        Box::new(Record::default()),
        Env::at(START),
        START,
    )
    .expect(script)
}

#[test]
fn the_views_of_a_running_task() {
    let mut actor =
        running("stream|from().measurement('m').groupBy('h')|where(lambda: 10 / \"v\" > 0)");
    let mut parser =
        levada_codec::line_protocol::Parser::new(levada_codec::line_protocol::Limits::default());
    for line in ["m,h=a v=1i 1", "m,h=b v=0i 2", "n v=1i 3"] {
        actor.points(&points(line, &mut parser)).unwrap();
    }
    assert_eq!(
        actor.graph().dot("tid", DotView::Attributes, 2.0, "points"),
        r#"digraph tid {
graph [throughput="2.00 points/s"];

stream0 [avg_exec_time_ns="0s" errors="0" working_cardinality="0" ];
stream0 -> from1 [processed="3"];

from1 [avg_exec_time_ns="0s" errors="0" working_cardinality="0" ];
from1 -> where2 [processed="2"];

where2 [avg_exec_time_ns="0s" errors="1" working_cardinality="2" ];
}"#
    );
    assert_eq!(
        actor.graph().dot("tid", DotView::Labels, 0.0, "points"),
        r#"digraph tid {
graph [label="Throughput: 0.00 points/s" forcelabels=true pad="0.8,0.5"];

stream0 [xlabel="avg_exec_time_ns=0s\rerrors=0\rworking_cardinality=0"];
stream0 -> from1 [label="processed=3"];

from1 [xlabel="avg_exec_time_ns=0s\rerrors=0\rworking_cardinality=0"];
from1 -> where2 [label="processed=2"];

where2 [xlabel="avg_exec_time_ns=0s\rerrors=1\rworking_cardinality=2"];
}"#
    );
}

#[test]
fn an_unknown_view_is_refused() {
    assert_eq!(DotView::parse("x").unwrap_err(), "invalid dot-view parameter \"x\"");
    assert_eq!(DotView::parse("labels"), Ok(DotView::Labels));
}
