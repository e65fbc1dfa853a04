//! Whatever comes in: scripts, line protocol and saved state that are wrong never panic, and never take long.

use std::time::Duration;

use levada_codec::line_protocol::{Limits as ParserLimits, Parser, Precision};
use levada_model::{Point, Str, Timestamp};
use levada_runtime::{Clock as _, SystemClock};
use levada_task::actor::Actor;
use levada_task::definition::{DefineOptions, define};
use levada_task::dry_run::Unconfigured;
use levada_task::pipeline::start::StartOptions;
use levada_task::runtime::context::{Compat, Limits};
use levada_tick::lambda::Env;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;

use crate::examples::{EXAMPLES, cases};
use crate::notation::Record;
use crate::properties::{Run, config, defined, feed, points, script};
use crate::world::{World, teller};

/// No single input takes longer, on a busy machine and without optimization.
const PATIENCE: Duration = Duration::from_secs(10);

const FORMS: &str = include_str!("../cases/forms.txt");

/// Limits that are reached soon.
fn tight() -> Limits {
    Limits { groups: 20, buffered_points: 50, ..Limits::default() }
}

/// A change of a text.
#[derive(Clone, Debug)]
enum Change {
    Byte(Index, u8),
    Cut(Index, Index),
    Double(Index, Index),
    Insert(Index, &'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let word = prop::sample::select(vec![
        "lambda:",
        "|",
        ".",
        "@",
        "var x = ",
        "'",
        "\"",
        "(",
        ")",
        "[",
        "]",
        "-",
        "0",
        "9223372036854775807",
        "-9223372036854775808",
        "0s",
        "-1s",
        "1u",
        "300y",
        "/(/",
        "*",
        "TRUE",
        "\u{0}",
        "ä",
        "//",
        "\n",
        "1e999",
        "{{",
        "|window()",
        "|join(stream)",
        "|stats(1s)",
        ".groupBy(*)",
        ".period(1w)",
        "|barrier().idle(1s)",
    ]);
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Cut(from, to)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Double(from, to)),
        (any::<Index>(), word).prop_map(|(at, word)| Change::Insert(at, word)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let length = bytes.len();
        let range = |from: &Index, to: &Index| {
            let (from, to) = (from.index(length + 1), to.index(length + 1));
            // Short, so that something of the rest is left.
            (from.min(to), from.max(to).min(from.min(to) + 40))
        };
        match change {
            Change::Byte(at, byte) if length > 0 => bytes[at.index(length)] = *byte,
            Change::Byte(..) => {}
            Change::Cut(from, to) => {
                let (from, to) = range(from, to);
                bytes.drain(from..to);
            }
            Change::Double(from, to) => {
                let (from, to) = range(from, to);
                let part = bytes[from..to].to_vec();
                bytes.splice(to..to, part);
            }
            Change::Insert(at, word) => {
                let at = at.index(length + 1);
                bytes.splice(at..at, word.bytes());
            }
        }
    }
    bytes
}

/// Takes a script as far as it goes: defined, enabled, fed, saved, ended.
fn go_as_far_as_possible(script: &str, points: &[Point]) {
    let clock = SystemClock::new();
    let Ok(definition) = define(script, &DefineOptions::default()) else { return };
    let first = points.first().map_or(Timestamp(0), |point| point.time);
    let started = Actor::start(
        &definition.pipeline,
        &StartOptions {
            task: "tid".into(),
            dbrps: &[("db".into(), "rp".into())],
            services: &Unconfigured::default(),
            limits: &tight(),
            compat: Compat::default(),
            seed: 1,
        },
        Box::new(Record::default()),
        Env::at(first),
        first,
    );
    let Ok(mut actor) = started else { return };
    if definition.pipeline.task_type() == levada_task::pipeline::TaskType::Stream {
        // A node may refuse to go on; it may not panic.
        actor.points(points).ok();
        // Timers that never end are the trouble of who drives the task.
        actor.advance_some(Timestamp(first.0 + 100_000_000_000), 1_000).ok();
    }
    let saved = actor.save();
    actor.load(&saved).ok();
    actor.finish().ok();
    if let Some(failure) = actor.failure() {
        assert!(!failure.text.contains("panic"), "{script}\n{failure}");
    }
    assert!(clock.monotonic() < PATIENCE, "{script}");
}

fn scripts() -> Vec<String> {
    let all = cases(EXAMPLES).into_iter().chain(cases(FORMS));
    all.map(|case| case.script).collect()
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn random_bytes_are_no_script(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        go_as_far_as_possible(&String::from_utf8_lossy(&bytes), &[]);
    }

    #[test]
    fn changed_scripts_run_or_are_refused(
        script in prop::sample::select(scripts()),
        changes in prop::collection::vec(change(), 0..4),
        feed in feed(),
    ) {
        let bytes = changed(script.into_bytes(), &changes);
        go_as_far_as_possible(&String::from_utf8_lossy(&bytes), &points(&feed));
    }

    #[test]
    fn random_bytes_are_no_state(bytes in prop::collection::vec(any::<u8>(), 0..200), has_version in any::<bool>()) {
        let mut run = Run::start(&defined("stream|from().groupBy('h')|window().period(4s).every(4s)|mean('v')|log()"));
        let mut bytes = bytes;
        if has_version {
            bytes.insert(0, 1);
        }
        run.actor.load(&bytes).ok();
        prop_assert_eq!(run.actor.failure(), None);
    }
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn damaged_state_is_refused_or_taken_over(
        script in script(),
        feed in feed(),
        changes in prop::collection::vec(change(), 1..5),
    ) {
        let clock = SystemClock::new();
        let points = points(&feed);
        let definition = defined(&script);
        let mut first = Run::start(&definition);
        first.feed(&points);
        let damaged = changed(first.actor.save(), &changes);
        let mut second = Run::start(&definition);
        let limits = Limits::default();
        let services = Unconfigured::default();
        let options = StartOptions {
            task: "tid".into(),
            dbrps: &[("db".into(), "rp".into())],
            services: &services,
            limits: &limits,
            compat: Compat::default(),
            seed: 1,
        };
        let remake = |place| definition.pipeline.remake(place, &options);
        let outcome = second.actor.load_or_remake(&damaged, &remake);
        if let Err(error) = outcome {
            prop_assert!(!error.to_string().contains("panic"), "{}", error);
        }
        second.actor.points(&points).ok();
        let _saved = second.actor.save();
        second.actor.finish().ok();
        if let Some(failure) = second.actor.failure() {
            prop_assert!(!failure.text.contains("panic"), "{}", failure);
        }
        prop_assert!(clock.monotonic() < PATIENCE);
    }
}

#[test]
fn random_line_protocol_into_running_tasks() {
    let mut world = World::start();
    world.run("healthy", &teller("healthy"));
    world.run("all", "stream|from().groupBy(*)|window().period(5s).every(5s)|mean('v')|where(lambda: \"mean\" > 0)");
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let line = "m,h=a,i=b v=1.5,w=2i,s=\"x\\\"y\" 1000000000\n".to_owned();
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (prop::collection::vec(change(), 0..5), 1..5_usize)
            .prop_map(move |(changes, count)| changed(line.repeat(count).into_bytes(), &changes)),
    ];
    let mut parser = Parser::new(ParserLimits::default());
    let mut ingest = world.master.routes().ingest();
    let mut taken = 0;
    for _ in 0..2_000 {
        let bytes = bytes.new_tree(&mut runner).unwrap().current();
        let mut points = Vec::new();
        let (database, retention) = (Str::from("db"), Str::from("rp"));
        parser.parse(
            &database,
            &retention,
            Precision::Nanoseconds,
            Timestamp(0),
            &bytes,
            &mut points,
        );
        taken += points.len();
        ingest.write(points);
    }
    assert!(taken > 1_000, "some of it is right: {taken}");
    world.write("healthy,n=7 v=1 7");
    world.settle();
    assert!(world.ids().contains(&"7".to_owned()), "{:?}", world.ids());
    for id in ["healthy", "all"] {
        let status = world.master.status(id).unwrap();
        assert!(status.is_executing, "{status:?}");
    }
}
