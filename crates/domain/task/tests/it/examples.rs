//! The examples of `tests/cases`: script, input, output, each with what differs from upstream and why.

use levada_codec::line_protocol::{Limits as ParserLimits, Parser, Precision};
use levada_model::{BatchRef, Point, Str, Timestamp};
use levada_task::actor::Actor;
use levada_task::definition::{DefineOptions, define};
use levada_task::dry_run::Unconfigured;
use levada_task::pipeline::TaskType;
use levada_task::pipeline::start::StartOptions;
use levada_task::recording;
use levada_task::runtime::context::{Compat, Limits};
use levada_task::watermark::WatermarkSettings;
use levada_tick::lambda::Env;

use crate::notation::Record;

pub(crate) const EXAMPLES: &str = include_str!("../cases/examples.txt");

/// The clock of the cases: some day, far from the times of the data.
pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000_000_000);

#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) is_batch: bool,
    /// Upstream's way, where there is a switch for it.
    pub(crate) is_1_8: bool,
    /// Lateness and idle time of the watermark, when it is on.
    pub(crate) watermark: Option<(i64, i64)>,
    /// When groups are forgotten; 0 is never.
    pub(crate) group_ttl: i64,
    pub(crate) script: String,
    pub(crate) input: Vec<String>,
    pub(crate) output: Vec<String>,
}

pub(crate) fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut part = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            cases.push(Case { name: name.to_owned(), ..Case::default() });
            part = "";
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        match (line, part) {
            ("script:" | "in:" | "out:", _) => part = line,
            ("type: batch", "") => case.is_batch = true,
            ("compat: 1.8", "") => case.is_1_8 = true,
            (_, "") if line.starts_with("watermark: ") => {
                let (lateness, idle) = line["watermark: ".len()..].split_once(", ").unwrap();
                case.watermark = Some((pause(lateness), pause(idle)));
            }
            (_, "") if line.starts_with("ttl: ") => case.group_ttl = pause(&line["ttl: ".len()..]),
            (_, "script:") => case.script.push_str(&format!("{line}\n")),
            ("", _) => {}
            (_, "in:") => case.input.push(line.to_owned()),
            ("(nothing)", "out:") => {}
            (_, "out:") => case.output.push(line.to_owned()),
            _ => {}
        }
    }
    cases
}

pub(crate) fn points(line: &str, parser: &mut Parser) -> Vec<Point> {
    let mut points = Vec::new();
    let (database, retention) = (Str::from("db"), Str::from("rp"));
    let outcome = parser.parse(
        &database,
        &retention,
        Precision::Seconds,
        Timestamp(0),
        line.as_bytes(),
        &mut points,
    );
    assert!(outcome.problems.is_empty(), "{line}: {:?}", outcome.problems);
    points
}

fn pause(text: &str) -> i64 {
    levada_tick::syntax::parse_duration(text).expect("a duration")
}

/// Runs a script on the lines of a case and gives what left it.
pub(crate) fn run(case: &Case) -> Vec<String> {
    let task_type = if case.is_batch { TaskType::Batch } else { TaskType::Stream };
    let options = DefineOptions { task_type: Some(task_type), ..DefineOptions::default() };
    let definition = match define(&case.script, &options) {
        Ok(definition) => definition,
        Err(error) => return vec![format!("DEFINE ERR {error}")],
    };
    let record = Record::default();
    let started = Actor::start(
        &definition.pipeline,
        &StartOptions {
            task: "tid".into(),
            dbrps: &[("db".into(), "rp".into())],
            services: &Unconfigured::default(),
            limits: &Limits { group_ttl: case.group_ttl, ..Limits::default() },
            compat: Compat { is_1_8: case.is_1_8 },
            seed: 1,
        },
        Box::new(record.clone()),
        Env::at(START),
        START,
    );
    let mut actor = match started {
        Ok(actor) => actor,
        Err(error) => return vec![format!("ENABLE ERR {error}")],
    };
    if let Some((lateness, idle)) = case.watermark {
        actor.watch(WatermarkSettings { lateness, idle });
    }
    let mut parser = Parser::new(ParserLimits::default());
    let mut now = START;
    let mut result = Ok(());
    for line in &case.input {
        result = match line.strip_prefix("!sleep ") {
            Some(text) => {
                now = Timestamp(now.0 + pause(text));
                actor.advance(now)
            }
            None if case.is_batch => give_batch(&mut actor, line),
            None => actor.points(&points(line, &mut parser)),
        };
        if result.is_err() {
            break;
        }
    }
    if let Err(failure) = result.and_then(|()| actor.finish()) {
        record.push(format!("E {}: node failed: {}", failure.node, failure.text));
        record.push(format!("WAIT ERR {failure}"));
    }
    record.lines()
}

fn give_batch(actor: &mut Actor, line: &str) -> levada_task::runtime::Step {
    let (index, json) = line.split_once(' ').expect("an index and a batch");
    let batch = recording::batch(json.as_bytes()).unwrap().expect("a batch with points");
    let place = actor.queries()[index.parse::<usize>().unwrap()];
    let group = actor.group(batch.key).expect("few groups");
    actor.batch(
        place,
        BatchRef { name: &batch.name, group: &group, time: batch.time, points: &batch.points },
    )
}

/// Lines per sink: order counts within alerts, problems and the items of each log node, not between them.
fn by_sink(lines: &[String]) -> std::collections::BTreeMap<String, Vec<String>> {
    let mut sinks = std::collections::BTreeMap::<String, Vec<String>>::new();
    for line in lines {
        let sink = match line.split_once(": ") {
            Some((prefix, _)) if !prefix.contains(' ') => prefix.to_owned(),
            _ if line.starts_with("P ") || line.starts_with("B ") => "items".to_owned(),
            _ => line.chars().take(1).collect(),
        };
        sinks.entry(sink).or_default().push(line.clone());
    }
    sinks
}

/// Says how what a case gives differs from what it is to give.
pub(crate) fn difference(case: &Case) -> Option<String> {
    let got = run(case);
    (by_sink(&got) != by_sink(&case.output)).then(|| {
        format!(
            "## {}\n{}wanted:\n  {}\ngot:\n  {}\n",
            case.name,
            case.script,
            case.output.join("\n  "),
            got.join("\n  ")
        )
    })
}

/// Checks all cases of a file.
pub(crate) fn check(text: &str, count: usize) {
    let cases = cases(text);
    assert_eq!(cases.len(), count, "all cases are read");
    let wrong: Vec<String> = cases.iter().filter_map(difference).collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn every_example_gives_what_it_says() {
    let cases = cases(EXAMPLES);
    assert_eq!(cases.len(), 143, "all examples are read");
    let only = std::env::var("CASE").ok();
    let mut wrong = Vec::new();
    for case in &cases {
        let id = case.name.split(' ').next().unwrap_or_default();
        if only.as_deref().is_some_and(|only| only != id) {
            continue;
        }
        wrong.extend(difference(case));
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn watermarks_and_idle_groups() {
    check(include_str!("../cases/watermarks.txt"), 6);
}
