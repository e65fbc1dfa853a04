#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;

use levada_model::{FieldValue, Series, Shape, Str};
use proptest::prelude::*;
use smallvec::smallvec;

use super::*;

/// Thresholds that stand for the expressions of a script: matches above, may be left below.
#[derive(Clone, Copy, Default)]
struct Bounds {
    levels: [Option<f64>; 4],
    resets: [Option<f64>; 4],
}

impl Bounds {
    fn info(mut self, above: f64) -> Self {
        self.levels[1] = Some(above);
        self
    }

    fn warn(mut self, above: f64) -> Self {
        self.levels[2] = Some(above);
        self
    }

    fn crit(mut self, above: f64) -> Self {
        self.levels[3] = Some(above);
        self
    }

    fn resets(mut self, info: f64, warn: f64, crit: f64) -> Self {
        self.resets = [None, Some(info), Some(warn), Some(crit)];
        self
    }

    fn ask(&self, value: f64, what: Ask) -> Option<Result<bool, ()>> {
        match what {
            Ask::Level(level) => self.levels[level as usize].map(|bound| Ok(value > bound)),
            Ask::Reset(level) => self.resets[level as usize].map(|bound| Ok(value < bound)),
        }
    }
}

fn seconds(time: i64) -> Timestamp {
    Timestamp(time * 1_000_000_000)
}

fn text(decision: Decision) -> Option<String> {
    let report = decision.report()?;
    let (at, duration) = (report.time.0 / 1_000_000_000, report.duration / 1_000_000_000);
    Some(format!("{} @{at} dur={duration}s", report.level))
}

/// Sends values one per second through a group, and gives what is reported.
fn run(settings: &DecisionSettings, bounds: Bounds, start: i64, values: &[f64]) -> Vec<String> {
    let mut state = AlertState::new(settings);
    let decisions = values
        .iter()
        .zip(start..)
        .map(|(value, time)| state.point(settings, seconds(time), |what| bounds.ask(*value, what)));
    decisions.filter_map(text).collect()
}

const LEVELS_INPUT: &[f64] = &[61.0, 73.0, 64.0, 85.0, 62.0, 56.0, 47.0, 40.0];

/// Name, settings, expressions, time of the first value, values, events.
type Case = (&'static str, DecisionSettings, Bounds, i64, &'static [f64], &'static [&'static str]);

/// Examples of the reference, §14.
#[test]
fn the_examples_of_the_reference() {
    let plain = DecisionSettings::default;
    let changes = || DecisionSettings { state_changes_only: true, ..plain() };
    let levels = Bounds::default().info(60.0).warn(70.0).crit(80.0);
    let crit = |above| Bounds::default().crit(above);
    let all: &'static [f64] = LEVELS_INPUT;
    let cases: Vec<Case> = vec![
        (
            "E95",
            plain(),
            levels,
            1,
            all,
            &[
                "INFO @1 dur=0s",
                "WARNING @2 dur=1s",
                "INFO @3 dur=2s",
                "CRITICAL @4 dur=3s",
                "INFO @5 dur=4s",
                "OK @6 dur=5s",
            ],
        ),
        (
            "E96",
            plain(),
            levels.resets(50.0, 60.0, 70.0),
            1,
            all,
            &[
                "INFO @1 dur=0s",
                "WARNING @2 dur=1s",
                "WARNING @3 dur=2s",
                "CRITICAL @4 dur=3s",
                "INFO @5 dur=4s",
                "INFO @6 dur=5s",
                "OK @7 dur=6s",
            ],
        ),
        (
            "E97",
            plain(),
            crit(80.0),
            4,
            &[85.0, 62.0, 56.0],
            &["CRITICAL @4 dur=0s", "OK @5 dur=1s"],
        ),
        ("E98", changes(), crit(60.0), 1, all, &["CRITICAL @1 dur=0s", "OK @6 dur=5s"]),
        (
            "E99",
            DecisionSettings { silence: 2_000_000_000, ..changes() },
            crit(60.0),
            1,
            all,
            &["CRITICAL @1 dur=0s", "CRITICAL @3 dur=2s", "CRITICAL @5 dur=4s", "OK @6 dur=5s"],
        ),
        (
            "E100",
            DecisionSettings { no_recoveries: true, ..plain() },
            crit(80.0),
            1,
            all,
            &["CRITICAL @4 dur=0s"],
        ),
        (
            "E137",
            DecisionSettings { no_recoveries: true, ..changes() },
            crit(5.0),
            1,
            &[9.0, 9.0, 1.0, 9.0],
            &["CRITICAL @1 dur=0s", "CRITICAL @4 dur=0s"],
        ),
    ];
    for (name, settings, bounds, start, values, expected) in cases {
        assert_eq!(settings.check(), Ok(()), "{name}");
        assert_eq!(run(&settings, bounds, start, values), expected, "{name}");
    }
}

const FLAPPING_INPUT: &[f64] =
    &[0.0, 100.0, 0.0, 100.0, 0.0, 100.0, 0.0, 100.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];

fn flapping() -> DecisionSettings {
    let flapping = Some(Flapping { low: 0.25, high: 0.5 });
    DecisionSettings { flapping, history: 5, ..DecisionSettings::default() }
}

#[test]
fn e107_flapping_with_the_formula_of_upstream() {
    let settings = flapping().with_compat_1_8();
    let events = run(&settings, Bounds::default().crit(60.0), 0, FLAPPING_INPUT);
    assert_eq!(events, ["CRITICAL @1 dur=0s", "OK @2 dur=1s"]);
}

#[test]
fn e107_with_the_intended_formula_u_21_and_the_late_recovery_u_33() {
    // Two changes in a row weigh 2.1 / 4 > 0.5. Flapping ends when only the oldest change is left: 0.8 / 4 < 0.25.
    let events = run(&flapping(), Bounds::default().crit(60.0), 0, FLAPPING_INPUT);
    assert_eq!(events, ["CRITICAL @1 dur=0s", "OK @11 dur=10s"]);
    let forgetful = DecisionSettings { forgets_changes: true, ..flapping() };
    let events = run(&forgetful, Bounds::default().crit(60.0), 0, FLAPPING_INPUT);
    assert_eq!(events, ["CRITICAL @1 dur=0s"], "Compat: the recovery is lost");
}

#[test]
fn a_recovery_that_nobody_wants_is_not_reported_when_flapping_ends() {
    let settings = DecisionSettings { no_recoveries: true, ..flapping() };
    let events = run(&settings, Bounds::default().crit(60.0), 0, FLAPPING_INPUT);
    assert_eq!(events, ["CRITICAL @1 dur=0s"]);
}

#[test]
fn with_state_changes_only_a_change_while_flapping_is_reported_when_it_ends() {
    let settings = DecisionSettings { state_changes_only: true, ..flapping() };
    let bounds = Bounds::default().warn(60.0).crit(90.0);
    let values = [70.0, 100.0, 70.0, 100.0, 100.0, 100.0, 100.0, 100.0];
    let events = run(&settings, bounds, 1, &values);
    // Calm again at 7, three equal levels after the last change.
    assert_eq!(events, ["WARNING @1 dur=0s", "CRITICAL @7 dur=6s"]);
}

#[test]
fn thresholds_and_bounds_are_checked() {
    let with = |low, high| DecisionSettings {
        flapping: Some(Flapping { low, high }),
        ..DecisionSettings::default()
    };
    let text = "alert flap thresholds are percentages and should be between 0 and 1";
    assert_eq!(with(0.0, 1.0).check(), Ok(()));
    for (low, high) in [(2.0, 3.0), (0.2, 1.1), (1.1, 0.2), (-0.1, 0.5), (f64::NAN, 0.5)] {
        assert_eq!(with(low, high).check().unwrap_err().to_string(), text);
    }
    let long = |history| DecisionSettings { history, ..DecisionSettings::default() };
    assert_eq!(long(HISTORY_MAX).check(), Ok(()));
    assert_eq!(long(HISTORY_MAX + 1).check(), Err(SettingsError::History(HISTORY_MAX + 1)));
    let silent = DecisionSettings { silence: -1, ..DecisionSettings::default() };
    assert_eq!(silent.check(), Err(SettingsError::Silence));
}

/// E104: `crit(lambda: count() >= 3)` over three groups of one point each.
#[test]
fn e104_expressions_that_count() {
    let settings = DecisionSettings::default();
    let run = |group_of: fn(&str) -> &str| {
        let mut counts: HashMap<&str, u32> = HashMap::new();
        let mut events = Vec::new();
        for (time, group) in (1..).zip(["x", "y", "z"]) {
            let mut state = AlertState::new(&settings);
            let decision = state.point::<()>(&settings, seconds(time), |what| match what {
                Ask::Level(Level::Critical) => {
                    let count = counts.entry(group_of(group)).or_default();
                    *count += 1;
                    Some(Ok(*count >= 3))
                }
                _ => None,
            });
            events.extend(text(decision).map(|text| format!("{group} {text}")));
        }
        events
    };
    assert_eq!(run(|_| "all"), ["z CRITICAL @3 dur=0s"], "Compat: one state for all groups");
    assert_eq!(run(|group| group), [""; 0], "U-6: a state per group");
}

/// The order of the questions is part of the behaviour: expressions count.
#[test]
fn questions_are_asked_in_order() {
    let asked = |current, answers: fn(Ask) -> Option<Result<bool, ()>>| {
        let mut asked = Vec::new();
        let level = level_for(current, |what| {
            asked.push(match what {
                Ask::Level(level) => format!("{level}"),
                Ask::Reset(level) => format!("reset {level}"),
            });
            answers(what)
        });
        format!("{} = {level}", asked.join(", "))
    };
    let no = |_| Some(Ok(false));
    assert_eq!(asked(Level::Ok, no), "CRITICAL, WARNING, INFO = OK");
    assert_eq!(asked(Level::Info, no), "CRITICAL, WARNING, INFO, reset INFO = INFO");
    assert_eq!(asked(Level::Warning, no), "CRITICAL, WARNING, reset WARNING = WARNING");
    let leave = |what| match what {
        Ask::Level(_) => Some(Ok(false)),
        Ask::Reset(_) => Some(Ok(true)),
    };
    assert_eq!(
        asked(Level::Critical, leave),
        "CRITICAL, reset CRITICAL, CRITICAL, WARNING, INFO = OK",
        "the current level is asked twice"
    );
    let broken = |what| match what {
        Ask::Level(Level::Info) => Some(Ok(true)),
        _ => Some(Err(())),
    };
    assert_eq!(
        asked(Level::Warning, broken),
        "CRITICAL, WARNING, reset WARNING, WARNING, INFO = INFO",
        "a broken level does not match, a broken reset lets go"
    );
    let absent = |_| None;
    assert_eq!(
        asked(Level::Critical, absent),
        "CRITICAL, reset CRITICAL, CRITICAL, WARNING, INFO = OK"
    );
    assert_eq!(Ask::Level(Level::Info).error_text(), "error evaluating expression for level");
    assert_eq!(
        Ask::Reset(Level::Info).error_text(),
        "error evaluating reset expression for current level"
    );
}

fn points(values: &[(i64, f64)]) -> Vec<Point> {
    let empty = || Str::from("");
    let series = Series::new(empty(), empty(), "cpu".into(), vec![("host".into(), "a".into())]);
    let shape = Shape::new(Box::from([Str::from("value")]));
    let point = |&(time, value): &(i64, f64)| Point {
        series: series.clone(),
        shape: shape.clone(),
        values: smallvec![FieldValue::Float(value)],
        time: seconds(time),
    };
    values.iter().map(point).collect()
}

fn run_batches(
    settings: &DecisionSettings,
    bounds: Bounds,
    batches: &[(i64, &[(i64, f64)])],
) -> Vec<String> {
    let mut state = AlertState::new(settings);
    let mut events = Vec::new();
    for (time, values) in batches {
        let decision = state.batch(settings, seconds(*time), &points(values), |point, what| {
            let value = point.field("value").and_then(FieldValue::as_number).unwrap();
            bounds.ask(value, what)
        });
        let index = decision.report().map(|report| report.index);
        events.extend(text(decision).zip(index).map(|(text, index)| format!("{text} [{index}]")));
    }
    events
}

#[test]
fn batches_of_the_examples() {
    let windows: &[(i64, &[(i64, f64)])] = &[
        (5, &[(0, 10.0), (1, 70.0), (2, 95.0)]),
        (11, &[(6, 70.0), (7, 75.0)]),
        (13, &[]),
        (16, &[(11, 10.0)]),
    ];
    let bounds = Bounds::default().warn(60.0).crit(90.0);
    let e105 = ["CRITICAL @2 dur=0s [2]", "WARNING @6 dur=4s [0]", "OK @16 dur=14s [0]"];
    assert_eq!(run_batches(&DecisionSettings::default(), bounds, windows), e105, "E105");
    let all = DecisionSettings { all: true, ..DecisionSettings::default() };
    let e106 = ["WARNING @11 dur=0s [0]", "OK @16 dur=5s [0]"];
    assert_eq!(run_batches(&all, bounds, windows), e106, "E106");
    let changes = DecisionSettings { state_changes_only: true, ..DecisionSettings::default() };
    let batches: &[(i64, &[(i64, f64)])] = &[
        (5, &[(1, 1.0), (2, 4.0), (4, 9.0)]),
        (65, &[(61, 9.0), (62, 2.0)]),
        (125, &[(121, 1.0), (122, 4.0), (123, 3.0)]),
    ];
    let e126 = ["CRITICAL @4 dur=0s [2]", "OK @125 dur=121s [0]"];
    assert_eq!(run_batches(&changes, Bounds::default().crit(8.0), batches), e126, "E126");
}

#[test]
fn batches_recover_even_while_flapping() {
    let settings = flapping();
    let mut state = AlertState::new(&settings);
    let events: Vec<String> = (1..=6)
        .filter_map(|time| {
            let level = if time % 2 == 1 { Level::Critical } else { Level::Ok };
            text(state.batch_of(&settings, seconds(time), level, 0))
        })
        .collect();
    assert!(state.is_flapping());
    assert_eq!(events, ["CRITICAL @1 dur=0s", "OK @2 dur=1s", "OK @4 dur=3s", "OK @6 dur=5s"]);
}

#[test]
fn inhibitors_follow_what_is_reported() {
    let settings = DecisionSettings { no_recoveries: true, ..DecisionSettings::default() };
    let mut state = AlertState::new(&settings);
    let mut go = |time, level| state.point_of(&settings, seconds(time), level).inhibits();
    assert_eq!(go(1, Level::Ok), None);
    assert_eq!(go(2, Level::Info), Some(true));
    assert_eq!(go(3, Level::Ok), Some(false), "the silent recovery lifts them");
    assert_eq!(go(4, Level::Ok), None);
}

#[test]
fn a_restored_state_is_no_change() {
    let settings = DecisionSettings { state_changes_only: true, ..DecisionSettings::default() };
    let mut state = AlertState::new(&settings);
    state.restore(Level::Ok, seconds(50));
    assert_eq!(state, AlertState::new(&settings));
    state.restore(Level::Critical, seconds(100));
    assert_eq!(state.point_of(&settings, seconds(110), Level::Critical), Decision::Drop);
    let recovery = state.point_of(&settings, seconds(130), Level::Ok);
    assert_eq!(text(recovery).as_deref(), Some("OK @130 dur=30s"));
    assert_eq!(recovery.report().map(|report| report.previous), Some(Level::Critical));
}

#[test]
fn an_idle_group_is_small() {
    const { assert!(AlertState::SIZE <= 56) };
    let settings = DecisionSettings { history: 64, ..flapping() };
    let mut out = Vec::new();
    AlertState::new(&settings).encode(&mut out);
    assert!(out.len() <= 40, "{}", out.len());
}

/// The two formulas, computed from lists.
fn slow_ratios(newest_first: &[Level]) -> (f64, f64) {
    let length = newest_first.len();
    let changes = length - 1;
    let weight = |index: usize| 0.8 + index as f64 * 0.4 / changes as f64;
    let oldest_first: Vec<Level> = newest_first.iter().rev().copied().collect();
    let pairs = oldest_first.windows(2).enumerate().filter(|(_, pair)| pair[0] != pair[1]);
    let intended: f64 = pairs.map(|(index, _)| weight(index)).sum();
    let mut ring = vec![newest_first[0]];
    ring.extend(oldest_first[..changes].iter());
    let differs = |index: usize| ring[index] != ring[(index + length - 1) % length];
    let literal: f64 = (0..changes).filter(|index| differs(*index)).map(weight).sum();
    (intended / changes as f64, literal / changes as f64)
}

fn any_level() -> impl Strategy<Value = Level> {
    (0u8..4).prop_map(Level::from_bits)
}

fn any_settings() -> impl Strategy<Value = DecisionSettings> {
    let flapping = proptest::option::of((0.0..0.5, 0.2..1.0));
    let switches: [_; 5] = std::array::from_fn(|_| any::<bool>());
    (0usize..100, flapping, 0i64..4, switches).prop_map(|(history, flapping, silence, switches)| {
        DecisionSettings {
            history,
            flapping: flapping.map(|(low, high)| Flapping { low, high }),
            state_changes_only: switches[0],
            silence,
            no_recoveries: switches[1],
            all: switches[2],
            is_literal_flapping: switches[3],
            forgets_changes: switches[4],
        }
    })
}

proptest! {
    #[test]
    fn ratios_are_those_of_the_formulas(
        length in 2usize..150,
        levels in proptest::collection::vec(any_level(), 150..200),
    ) {
        let mut history = History::new(length);
        levels.iter().for_each(|level| history.push(*level));
        let newest_first: Vec<Level> = levels.iter().rev().take(length).copied().collect();
        let (intended, literal) = slow_ratios(&newest_first);
        prop_assert!((history.ratio() - intended).abs() < 1e-9);
        prop_assert!((history.literal_ratio() - literal).abs() < 1e-9);
    }

    #[test]
    fn a_restored_checkpoint_goes_on_as_if_nothing_happened(
        settings in any_settings(),
        levels in proptest::collection::vec((any_level(), any::<bool>()), 1..120),
        cut in 0usize..120,
    ) {
        let mut whole = AlertState::new(&settings);
        let mut parts = AlertState::new(&settings);
        for (at, (level, is_batch)) in levels.iter().enumerate() {
            if at == cut {
                let mut bytes = Vec::new();
                parts.encode(&mut bytes);
                bytes.extend_from_slice(b"next");
                let mut rest = &bytes[..];
                parts = AlertState::decode(&settings, &mut rest).unwrap();
                prop_assert_eq!(rest, b"next");
                prop_assert_eq!(&parts, &whole);
            }
            let time = Timestamp(at as i64);
            let go = |state: &mut AlertState| match is_batch {
                true => state.batch_of(&settings, time, *level, 0),
                false => state.point_of(&settings, time, *level),
            };
            let (one, other) = (go(&mut whole), go(&mut parts));
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn while_calm_the_level_is_the_reported_one(
        settings in any_settings(),
        levels in proptest::collection::vec(any_level(), 1..200),
    ) {
        let settings = DecisionSettings { forgets_changes: false, ..settings };
        let mut state = AlertState::new(&settings);
        for (at, level) in levels.into_iter().enumerate() {
            state.point_of(&settings, Timestamp(at as i64), level);
            prop_assert!(state.is_flapping || state.reported == state.level());
        }
    }

    #[test]
    fn damaged_checkpoints_are_refused_or_read_but_never_panic(
        settings in any_settings(),
        mut bytes in proptest::collection::vec(any::<u8>(), 0..80),
        is_versioned: bool,
    ) {
        if let (true, Some(first)) = (is_versioned, bytes.first_mut()) {
            *first = VERSION;
        }
        if let Ok(mut state) = AlertState::decode(&settings, &mut &bytes[..]) {
            state.point_of(&settings, Timestamp(i64::MAX), Level::Critical);
            state.point_of(&settings, Timestamp(i64::MIN), Level::Ok);
        }
    }

    #[test]
    fn a_history_of_another_length_keeps_its_newest_levels(
        lengths in (2usize..130, 2usize..130),
        levels in proptest::collection::vec(any_level(), 130..140),
    ) {
        let mut history = History::new(lengths.0);
        levels.iter().for_each(|level| history.push(*level));
        let mut bytes = Vec::new();
        history.encode(&mut bytes);
        let other = History::decode(lengths.1, &mut &bytes[..]).unwrap();
        for age in 0..lengths.1 {
            let expected = if age < lengths.0 { history.at(age) } else { Level::Ok };
            prop_assert_eq!(other.at(age), expected);
        }
    }
}

#[test]
fn other_versions_are_refused() {
    let settings = DecisionSettings::default();
    let mut bytes = Vec::new();
    AlertState::new(&settings).encode(&mut bytes);
    bytes[0] = 9;
    let error = AlertState::decode(&settings, &mut &bytes[..]).unwrap_err();
    assert_eq!(error.to_string(), "unknown version 9 of an alert state");
    bytes[0] = VERSION;
    for length in 0..bytes.len() {
        assert_eq!(
            AlertState::decode(&settings, &mut &bytes[..length]),
            Err(StateError::Damaged),
            "{length}"
        );
    }
}
