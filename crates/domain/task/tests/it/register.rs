//! What upstream does wrong, and what is done here: one case or test for each row of the register.

use std::sync::{Arc, Mutex};

use levada_alert::event::Event;
use levada_alert::level::Level;
use levada_model::Str;
use levada_task::actor::Actor;
use levada_task::definition::{DefineOptions, define};
use levada_task::dry_run::Unconfigured;
use levada_task::effect::{Answer, Effect, Effects, NodeName};
use levada_task::engine::TaskOptions;
use levada_task::pipeline::start::StartOptions;
use levada_task::runtime::context::{Compat, Limits};
use levada_tick::lambda::Env;

use crate::examples::{START, cases, check, points};
use crate::world::{World, defined};

const CASES: &str = include_str!("../cases/register.txt");

/// Rows that are shown by tests with these numbers in other places, or below.
///
/// - Concern the engine: U-31, U-32, U-50 are `engine::one_whose_node_panics`, `engine::as_many_that_hang_as_there_are_workers`,
///   `engine::a_failure_of_an_earlier_run_is_not_one_of_the_next`.
/// - Concern alert handlers and topics, and stand beside them: U-18, U-35, U-37.
/// - Concern the text of queries, and stand beside them: U-19.
/// - Concern the form of syntax trees: U-40 is below.
/// - Concerns the schedules of queries, and stands beside them: U-47 is `stopping_interrupts_a_query` and
///   `a_schedule_that_never_comes_ends_with_its_task_too`.
const ELSEWHERE: [u32; 8] = [18, 19, 31, 32, 35, 37, 47, 50];

/// Rows that no test shows yet.
///
/// - U-20 (`alignGroup` of recorded queries), U-46 (recording of `queryFlux`), U-48 (the format of stream recordings): there
///   are no recordings yet.
/// - U-42: averages of execution times are published, but nothing shows that they fall again.
const LATER: [u32; 4] = [20, 42, 46, 48];

/// Rows with a test below.
const BELOW: [u32; 10] = [12, 22, 24, 26, 33, 34, 36, 39, 40, 53];

#[test]
fn every_row_shows_the_chosen_behaviour() {
    check(CASES, 42);
}

#[test]
fn no_row_is_left_out() {
    let cases = cases(CASES);
    let shown = |row: u32| {
        cases.iter().any(|case| case.name.split(' ').next() == Some(&*format!("U-{row}")))
            || ELSEWHERE.contains(&row)
            || LATER.contains(&row)
            || BELOW.contains(&row)
    };
    let missing: Vec<u32> = (1..=53).filter(|row| !shown(*row)).collect();
    assert_eq!(missing, Vec::<u32>::new());
}

/// Keeps events and the levels of log items.
#[derive(Clone, Default)]
struct Keep(Arc<Mutex<Kept>>);

type Kept = (Vec<Arc<Event>>, Vec<String>);

impl Effects for Keep {
    fn effect(&mut self, _node: &NodeName, effect: Effect<'_>) -> Result<Option<Answer>, Str> {
        let mut kept = self.0.lock().unwrap();
        match effect {
            Effect::Alert { event, .. } => kept.0.push(Arc::clone(event)),
            Effect::Log(item) => kept.1.push(item.level.to_owned()),
            _ => {}
        }
        Ok(None)
    }
}

fn kept(script: &str, lines: &[&str], is_1_8: bool) -> Kept {
    let definition = define(script, &DefineOptions::default()).expect(script);
    let keep = Keep::default();
    let mut actor = Actor::start(
        &definition.pipeline,
        &StartOptions {
            task: "tid".into(),
            dbrps: &[("db".into(), "rp".into())],
            services: &Unconfigured::default(),
            limits: &Limits::default(),
            compat: Compat { is_1_8 },
            seed: 1,
        },
        Box::new(keep.clone()),
        Env::at(START),
        START,
    )
    .expect(script);
    let mut parser =
        levada_codec::line_protocol::Parser::new(levada_codec::line_protocol::Limits::default());
    for line in lines {
        actor.points(&points(line, &mut parser)).unwrap();
    }
    let kept = keep.0.lock().unwrap();
    kept.clone()
}

/// U-12: an unknown endpoint is an enable error and not the end of the process.
#[test]
fn an_unknown_endpoint_of_sideload_is_an_enable_error() {
    let world = World::start();
    let script = "stream|from()|sideload().source('nowhere').order('a').field('x', 1)|log()";
    let options = TaskOptions { dbrps: vec![("db".into(), "rp".into())], ..TaskOptions::default() };
    let error = world.master.start("task", defined(script), options).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert_eq!(world.master.status("task"), None);
}

/// U-22: events that handlers lose are shown.
#[test]
fn events_that_were_dropped_are_a_statistic_of_the_alert() {
    let world = World::start();
    world.run("task", "stream|from()|alert().crit(lambda: TRUE).topic('t')");
    let status = world.master.status("task").unwrap();
    assert_eq!(status.nodes["alert2"]["events_dropped"], 0);
}

/// U-24: both words for the kind of what is scaled are known.
#[test]
fn both_words_for_a_kind_are_taken() {
    for kind in ["replicationcontroller", "replicationcontrollers", "deployments"] {
        let script = format!(
            "stream|from()|k8sAutoscale().resourceName('a').kind('{kind}').min(1).replicas(lambda: 2)"
        );
        define(&script, &DefineOptions::default()).expect(&script);
    }
}

/// U-26: `WARN` is a warning.
#[test]
fn a_log_node_keeps_its_level() {
    for level in ["DEBUG", "INFO", "WARN", "ERROR"] {
        let script = format!("stream|from()|log().level('{level}')");
        assert_eq!(kept(&script, &["m v=1 1"], false).1, [level]);
    }
}

/// U-33: a recovery while a group flaps is told when that ends; see also U-21.
#[test]
fn a_recovery_while_flapping_is_told_afterwards() {
    let script =
        "stream|from()|alert().topic('t').crit(lambda: \"v\" > 5).flapping(0.25, 0.5).history(4)";
    let lines: Vec<String> =
        [9, 1, 9, 1, 1, 1, 1, 1].iter().enumerate().map(|(t, v)| format!("m v={v} {t}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let last = |is_1_8| kept(script, &lines, is_1_8).0.last().map(|event| event.level);
    assert_eq!(last(false), Some(Level::Ok));
    assert_ne!(last(true), Some(Level::Ok));
}

/// U-34: the details are JSON, and with the switch JSON for a web page.
#[test]
fn default_details_are_json() {
    let script = "stream|from()|alert().topic('t').crit(lambda: TRUE)";
    let details = |is_1_8| {
        let (events, _) = kept(script, &["m v=1 1"], is_1_8);
        events[0].details.text().to_string()
    };
    let raw = details(false);
    assert!(raw.starts_with("{\"Name\":\"m\""), "{raw}");
    let escaped = details(true);
    assert!(escaped.starts_with("{&#34;Name&#34;:&#34;m&#34;"), "{escaped}");
}

/// U-36: what has no effect is pointed at.
#[test]
fn statements_without_effect_are_warned_of() {
    for script in
        ["var x = 1\nx\nstream|from()|log()", "stream|from().measurement 'a'\nstream|from()|log()"]
    {
        match define(script, &DefineOptions::default()) {
            Ok(definition) => assert!(!definition.warnings.is_empty(), "{script}"),
            Err(error) => panic!("{script}: {error}"),
        }
    }
    let clean = define("stream|from()|log()", &DefineOptions::default()).unwrap();
    assert!(clean.warnings.is_empty(), "{:?}", clean.warnings);
}

/// U-39: a join on tags without a parent that has more of them emits like a plain join, and holds nothing for ever.
#[test]
fn a_join_on_without_a_more_specific_parent_emits() {
    let script = "var a = stream|from().measurement('a').groupBy('h')\nvar b = stream|from().measurement('b').groupBy('h')\na|join(b).as('a','b').on('h')|log()";
    let lines = ["a,h=x v=1 1", "b,h=x v=2 1", "a,h=x v=1 2", "b,h=x v=2 2"];
    match define(script, &DefineOptions::default()) {
        Ok(_) => assert!(!kept(script, &lines, false).1.is_empty(), "it emits"),
        Err(error) => assert!(error.to_string().contains("on"), "it says why: {error}"),
    }
}

/// U-40: the form of a syntax tree names the functions that are called.
#[test]
fn the_json_of_a_syntax_tree_names_functions() {
    let program =
        levada_tick::syntax::parse("stream|from()|where(lambda: abs(\"v\") > 1)").unwrap();
    let json = levada_tick::syntax::json::to_json(&program).to_string();
    assert!(json.contains("\"func\":\"abs\"") && json.contains("\"func\":\"where\""), "{json}");
}

/// U-53: a dry run of handlers and nodes of clusters does nothing outside and does not fail.
#[test]
fn a_dry_run_of_kafka_and_clusters_does_no_harm() {
    let script = "stream|from()|alert().crit(lambda: TRUE).kafka().cluster('c').kafkaTopic('t')";
    assert_eq!(kept(script, &["m v=1 1"], false).0.len(), 1);
}
