//! What upstream does wrong, and what is done here: one case or test for each row of the register.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use levada_alert::event::Event;
use levada_alert::level::Level;
use levada_model::{Str, Timestamp};
use levada_runtime::Clock;
use levada_task::actor::{Actor, MEASURED_EVERY};
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

/// Rows with a test below.
const BELOW: [u32; 14] = [12, 20, 22, 24, 26, 33, 34, 36, 39, 40, 42, 46, 48, 53];

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

/// U-20: the buckets of a recorded query begin with its range.
#[tokio::test(flavor = "multi_thread")]
async fn recorded_queries_align_their_groups() {
    let script = "batch|query('SELECT mean(v) FROM db.rp.m').period(1m).every(90s).groupBy(time(40s)).alignGroup()|log()";
    let empty = r#"{"results":[{}]}"#;
    let asked = recorded(script, empty, 60, 240).await;
    let query = |start: &str, stop: &str, offset: &str| {
        format!(
            "SELECT mean(v) FROM db.rp.m WHERE time >= '1970-01-01T00:{start}Z' AND time < '1970-01-01T00:{stop}Z' GROUP BY time(40s, {offset})"
        )
    };
    assert_eq!(asked, [query("01:30", "02:30", "10s"), query("03:00", "04:00", "20s")]);
}

/// U-46: `queryFlux` is recorded, and each of its queries is of its own time.
#[tokio::test(flavor = "multi_thread")]
async fn flux_queries_are_recorded_at_the_time_of_their_ticks() {
    let script = "batch|queryFlux('from(bucket: \"b\")').every(1m).offset(10s)|log()";
    let answer = "#datatype,string,long,dateTime:RFC3339,long,string\r\n#group,false,false,false,false,true\r\n#default,_result,,,,\r\n,result,table,_time,_value,_measurement\r\n,,0,1970-01-01T00:01:00Z,7,cpu\r\n\r\n";
    let asked = recorded(script, answer, 0, 120).await;
    assert_eq!(asked, ["50 from(bucket: \"b\")", "110 from(bucket: \"b\")"]);
}

/// Records the queries of a script; gives what was asked.
async fn recorded(script: &str, answer: &str, start: i64, stop: i64) -> Vec<String> {
    use crate::recordings::world::{Fake, World, seconds};
    use levada_task::recordings::RecordBatch;

    let world = World::around(&[("t", script)], Fake::answering(&[answer, answer]), |_| {}).await;
    let (start, stop) = (Some(seconds(start)), Some(seconds(stop)));
    let request = RecordBatch { id: "r".into(), task: "t".into(), start, stop };
    world.recordings.record_batch(request).await.unwrap();
    assert_eq!(world.ended("r").await.error, "");
    let batches = levada_task::recording::files::open(&world.folder.path().join("r.brpl")).unwrap();
    assert_eq!(batches.len(), 1, "a file for the one query node");
    if !answer.starts_with('{') {
        let text = std::io::read_to_string(batches.into_iter().next().unwrap()).unwrap();
        let first = text.lines().next().unwrap();
        assert!(first.contains(r#""fields":{"_value":7},"kinds":{"_value":"int"}"#), "{first}");
        assert_eq!(text.lines().count(), 2);
    }
    world.influx.asked()
}

/// U-42: the average time of a node falls when the node gets faster.
#[test]
fn the_published_average_falls_again() {
    let script = "stream|from()|log()";
    let definition = define(script, &DefineOptions::default()).unwrap();
    let mut actor = Actor::start(
        &definition.pipeline,
        &StartOptions {
            task: "tid".into(),
            dbrps: &[("db".into(), "rp".into())],
            services: &Unconfigured::default(),
            limits: &Limits::default(),
            compat: Compat::default(),
            seed: 1,
        },
        Box::new(Keep::default()),
        Env::at(START),
        START,
    )
    .unwrap();
    let clock = Arc::new(Steps::default());
    actor.measure(clock.clone());
    let mut parser =
        levada_codec::line_protocol::Parser::new(levada_codec::line_protocol::Limits::default());
    let points = points("m v=1 1", &mut parser);
    let mut run = |step: u64| {
        clock.step.store(step, Ordering::Relaxed);
        for _ in 0..MEASURED_EVERY * 50 {
            actor.points(&points).unwrap();
        }
        actor.graph().statistics()["log2"]["avg_exec_time_ns"].as_i64().unwrap()
    };
    let slow = run(1_000_000);
    assert_eq!(slow, 1_000_000);
    let faster = run(1_000);
    assert!(faster < slow * 6 / 10, "{slow} then {faster}");
    assert!(run(2_000_000) > faster);
}

/// A clock that goes on by a step whenever it is looked at.
#[derive(Default)]
struct Steps {
    step: AtomicU64,
    now: AtomicU64,
}

impl Clock for Steps {
    fn now(&self) -> Timestamp {
        START
    }

    fn monotonic(&self) -> Duration {
        let step = self.step.load(Ordering::Relaxed);
        Duration::from_nanos(self.now.fetch_add(step, Ordering::Relaxed))
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }
}

/// U-48: strings with line ends and long points are recorded and replayed as they were.
#[tokio::test(flavor = "multi_thread")]
async fn recordings_hold_line_ends_and_long_strings() {
    use crate::recordings::world::{NOW, World, seconds};
    use levada_task::recordings::{RecordStream, ReplayOptions, ReplayRecording};

    let mut world = World::new(&[("t", "stream|from().measurement('m')|log()")]).await;
    let request = RecordStream { id: "r".into(), task: "t".into(), stop: seconds(10) };
    world.recordings.record_stream(request).await.unwrap();
    let long = "x\n".repeat(50_000);
    world.write(&format!("m s=\"a\nb\" 1\nm s=\"{long}\" 2\nm s=\"end\" {NOW}"));
    world.ended("r").await;
    let options = ReplayOptions { id: "p".into(), task: "t".into(), ..ReplayOptions::default() };
    let request = ReplayRecording { options, recording: "r".into() };
    world.recordings.replay_recording(request).await.unwrap();
    assert_eq!(world.replayed("p").await.error, "");
    let effects = world.effects("p").await;
    let texts: Vec<_> = effects.iter().map(|line| line["data"]["fields"]["s"].as_str()).collect();
    assert_eq!(texts, [Some("a\nb"), Some(&*long)]);
}

/// U-53: a dry run of handlers and nodes of clusters does nothing outside and does not fail.
#[test]
fn a_dry_run_of_kafka_and_clusters_does_no_harm() {
    let script = "stream|from()|alert().crit(lambda: TRUE).kafka().cluster('c').kafkaTopic('t')";
    assert_eq!(kept(script, &["m v=1 1"], false).0.len(), 1);
}
