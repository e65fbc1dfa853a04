//! Laws that hold for any script and any points: scripts are made from a grammar of nodes and expressions.

use std::sync::Arc;

use levada_model::{Point, Series, Shape, Str, Timestamp, Values};
use levada_task::actor::Actor;
use levada_task::definition::{DefineOptions, Definition, define};
use levada_task::dry_run::Unconfigured;
use levada_task::engine::cell::Shard;
use levada_task::pipeline::start::StartOptions;
use levada_task::runtime::context::{Compat, Limits};
use levada_tick::lambda::Env;
use proptest::prelude::*;
use proptest::sample::select;

use crate::notation::Record;

/// The time of the first point, and of the clock at the start.
const FIRST: Timestamp = Timestamp(1_000_000_000_000);

// === Scripts ===

pub(crate) fn condition() -> impl Strategy<Value = String> {
    let simple = select(vec![
        "TRUE",
        "\"v\" > 3.0",
        "\"v\" <= 6.0",
        "\"w\" % 2 == 0",
        "10 / \"w\" > 2",
        "count() % 2 == 0",
        "sigma(\"v\") > 0.8",
        "spread(\"v\") >= 2.0",
        "isPresent(\"w\")",
        "\"h\" == 'a'",
        "\"i\" != ''",
        "\"s\" =~ /^a/",
        "strLength(\"s\") > 1",
        "if(\"v\" > 4.0, TRUE, count() > 2)",
        "abs(\"v\" - 5.0) < 2.0",
    ]);
    simple.prop_map(str::to_owned).prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

fn value() -> impl Strategy<Value = &'static str> {
    select(vec![
        "\"v\" * 2.0",
        "\"w\" + 1",
        "count()",
        "sigma(\"v\")",
        "string(\"v\")",
        "float(\"w\")",
        "max(\"v\", 3.0)",
        "\"s\" + 'x'",
        "\"v\" > 2.0",
    ])
}

/// A node that takes points and gives points.
fn stream_node() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => condition().prop_map(|c| format!("|where(lambda: {c})")),
        3 => value().prop_map(|v| format!("|eval(lambda: {v}).as('r').keep()")),
        1 => (value(), value()).prop_map(|(a, b)| {
            format!("|eval(lambda: {a}, lambda: {b}).as('v', 'w').keep('v', 'w')")
        }),
        2 => condition().prop_map(|c| format!("|stateCount(lambda: {c})")),
        2 => condition().prop_map(|c| format!("|stateDuration(lambda: {c}).unit(1s)")),
        2 => condition().prop_map(|c| {
            format!("|alert().topic('t').crit(lambda: {c}).warn(lambda: \"v\" > 1.0).stateChangesOnly()")
        }),
        1 => Just("|alert().topic('t').crit(lambda: \"v\" > 4.0).flapping(0.2, 0.6).history(5)".to_owned()),
        6 => select(vec![
            "|derivative('v').unit(1s).nonNegative()",
            "|changeDetect('w')",
            "|sample(2)",
            "|shift(1s)",
            "|default().field('w', 7).tag('i', 'd')",
            "|delete().field('w')",
            "|log().prefix('between')",
            "|cumulativeSum('v')",
            "|movingAverage('v', 2)",
            "|difference('v')",
            "|elapsed('v', 1s)",
            "|flatten().on('i')",
            "|flatten().on('i').tolerance(2s)",
            "|combine(lambda: \"v\" > 3.0, lambda: TRUE).as('a', 'b').tolerance(2s)",
        ]).prop_map(str::to_owned),
    ]
}

/// A window and what comes behind it, which gives points again.
fn window() -> impl Strategy<Value = String> {
    let window = select(vec![
        "|window().period(4s).every(4s)",
        "|window().period(6s).every(2s)",
        "|window().period(4s).every(3s).align()",
        "|window().period(4s).every(2s).fillPeriod()",
        "|window().period(4s)",
        "|window().periodCount(3).everyCount(3)",
        "|window().periodCount(4).everyCount(2).fillPeriod()",
    ]);
    (window, behind_window()).prop_map(|(window, behind)| format!("{window}{behind}"))
}

fn function() -> impl Strategy<Value = &'static str> {
    select(vec![
        "|count('v')",
        "|sum('v').as('v')",
        "|mean('v').as('v')",
        "|median('v')",
        "|mode('v')",
        "|spread('v')",
        "|stddev('v')",
        "|min('v').as('v')",
        "|max('v').usePointTimes()",
        "|first('v').as('v')",
        "|last('w')",
        "|percentile('v', 50.0)",
        "|distinct('v')|trickle()",
        "|top(2, 'v', 'h')|trickle()",
        "|bottom(1, 'v')|trickle()",
    ])
}

fn behind_window() -> impl Strategy<Value = String> {
    let inside = prop_oneof![
        6 => Just(String::new()),
        1 => condition().prop_map(|c| format!("|where(lambda: {c})")),
        1 => Just("|sample(1)".to_owned()),
        1 => Just("|log().prefix('batch')".to_owned()),
        1 => Just("|shift(-1s)".to_owned()),
        1 => Just("|eval(lambda: \"v\" + 1.0).as('v').keep()".to_owned()),
    ];
    let back = prop_oneof![4 => function(), 1 => Just("|trickle()")];
    (inside, back).prop_map(|(inside, back)| format!("{inside}{back}"))
}

fn source() -> impl Strategy<Value = String> {
    let measurement = select(vec!["", ".measurement('m')", ".measurement('n')"]);
    let grouping = select(vec![".groupBy('h')", ".groupBy('h')", ".groupBy('h', 'i')", ""]);
    (measurement, grouping).prop_map(|(m, g)| format!("stream|from(){m}{g}"))
}

fn chain() -> impl Strategy<Value = String> {
    let nodes = prop::collection::vec(prop_oneof![5 => stream_node(), 2 => window()], 0..4);
    nodes.prop_map(|nodes| nodes.concat())
}

/// A script without timers: one chain, one with a branch, or two that come together.
pub(crate) fn script() -> impl Strategy<Value = String> {
    let end = "|log().prefix('end')\n";
    prop_oneof![
        3 => (source(), chain()).prop_map(move |(source, chain)| format!("{source}{chain}{end}")),
        1 => (source(), chain(), chain(), chain()).prop_map(move |(source, one, two, three)| {
            format!("var a = {source}{one}\na{two}{end}a{three}|log().prefix('other')\n")
        }),
        2 => (source(), chain(), chain(), both(), chain()).prop_map(
            move |(source, one, two, both, after)| {
                format!("var s = {source}\nvar a = s{one}\nvar b = s{two}\na{both}{after}{end}")
            }
        ),
        1 => (source(), chain(), regroup(), chain()).prop_map(move |(source, one, regroup, two)| {
            format!("{source}{one}{regroup}{two}{end}")
        }),
    ]
}

fn both() -> impl Strategy<Value = &'static str> {
    select(vec![
        "|join(b).as('a', 'b')",
        "|join(b).as('a', 'b').tolerance(2s).fill('null')",
        "|join(b).as('a', 'b').fill(0.0).streamName('j')",
        "|union(b)",
        "|union(b).rename('u')",
    ])
}

fn regroup() -> impl Strategy<Value = &'static str> {
    select(vec!["|groupBy('i')", "|groupBy(*)", "|groupBy('h', 'i').byMeasurement()", "|groupBy()"])
}

// === Points ===

#[derive(Clone, Debug)]
pub(crate) struct Made {
    name: &'static str,
    h: &'static str,
    i: Option<&'static str>,
    v: Option<u8>,
    w: Option<i8>,
    s: Option<&'static str>,
    step: u8,
}

fn made() -> impl Strategy<Value = Made> {
    (
        select(vec!["m", "m", "n"]),
        select(vec!["a", "b", "c", "d"]),
        prop::option::weighted(0.8, select(vec!["x", "y"])),
        prop::option::weighted(0.95, 0..10u8),
        prop::option::weighted(0.7, -3..4i8),
        prop::option::weighted(0.5, select(vec!["a", "ab", "b"])),
        select(vec![0, 0, 1, 1, 1, 2, 5]),
    )
        .prop_map(|(name, h, i, v, w, s, step)| Made { name, h, i, v, w, s, step })
}

/// Points whose series and shapes are shared as the parser shares them.
pub(crate) fn points(made: &[Made]) -> Vec<Point> {
    let mut series = std::collections::BTreeMap::<(&str, &str, Option<&str>), Arc<Series>>::new();
    let mut shapes = std::collections::BTreeMap::<Vec<&str>, Arc<Shape>>::new();
    let mut seconds = 0;
    let mut points = Vec::new();
    for one in made {
        seconds += i64::from(one.step);
        let series = series.entry((one.name, one.h, one.i)).or_insert_with(|| {
            let mut tags = vec![(Str::from("h"), Str::from(one.h))];
            tags.extend(one.i.map(|i| (Str::from("i"), Str::from(i))));
            Series::new("db".into(), "rp".into(), one.name.into(), tags)
        });
        let mut names = Vec::new();
        let mut values = Values::new();
        if let Some(s) = one.s {
            names.push("s");
            values.push(levada_model::FieldValue::Str(s.into()));
        }
        if let Some(v) = one.v {
            names.push("v");
            values.push(levada_model::FieldValue::Float(f64::from(v)));
        }
        if let Some(w) = one.w {
            names.push("w");
            values.push(levada_model::FieldValue::Int(i64::from(w)));
        }
        if names.is_empty() {
            continue;
        }
        let shape = shapes.entry(names.clone()).or_insert_with(|| {
            Shape::new(names.iter().map(|name| Str::from(*name)).collect::<Vec<_>>().into())
        });
        points.push(Point {
            series: Arc::clone(series),
            shape: Arc::clone(shape),
            values,
            time: Timestamp(FIRST.0 + seconds * 1_000_000_000),
        });
    }
    points
}

pub(crate) fn feed() -> impl Strategy<Value = Vec<Made>> {
    prop::collection::vec(made(), 1..40)
}

// === Runs ===

pub(crate) struct Run {
    pub(crate) actor: Actor,
    pub(crate) record: Record,
    /// What topics know of levels: it outlives a task, as it does in a server.
    services: Unconfigured,
}

impl Run {
    pub(crate) fn start(definition: &Definition) -> Self {
        Run::start_with(definition, Unconfigured::default())
    }

    /// Starts the task anew in the same surroundings.
    pub(crate) fn again(&self, definition: &Definition) -> Self {
        Run::start_with(definition, self.services.clone())
    }

    fn start_with(definition: &Definition, services: Unconfigured) -> Self {
        let record = Record::default();
        let actor = Actor::start(
            &definition.pipeline,
            &StartOptions {
                task: "tid".into(),
                dbrps: &[("db".into(), "rp".into())],
                services: &services,
                limits: &Limits::default(),
                compat: Compat::default(),
                seed: 1,
            },
            Box::new(record.clone()),
            Env::at(FIRST),
            FIRST,
        );
        Run { actor: actor.expect("it starts"), record, services }
    }

    pub(crate) fn feed(&mut self, points: &[Point]) {
        self.actor.replay(points).expect("no failure");
    }

    fn finish(mut self) -> Vec<String> {
        self.actor.finish().expect("no failure");
        self.record.lines()
    }
}

pub(crate) fn defined(script: &str) -> Definition {
    define(script, &DefineOptions::default()).unwrap_or_else(|error| panic!("{script}{error}"))
}

fn run(script: &str, points: &[Point]) -> Vec<String> {
    let mut run = Run::start(&defined(script));
    run.feed(points);
    run.finish()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// So many cases, unless the environment asks for another number.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    match std::env::var("PROPTEST_CASES") {
        Ok(_) => ProptestConfig::default(),
        Err(_) => ProptestConfig { cases, ..ProptestConfig::default() },
    }
}

// === Laws ===

proptest! {
    #![proptest_config(config(30))]

    #[test]
    fn a_formatted_script_is_the_same_pipeline(script in script()) {
        let formatted = levada_tick::syntax::format(&script).unwrap();
        prop_assert_eq!(
            defined(&script).pipeline.to_json(),
            defined(&formatted).pipeline.to_json(),
            "{}", formatted
        );
        prop_assert_eq!(levada_tick::syntax::format(&formatted).unwrap(), formatted);
    }

    #[test]
    fn a_script_made_from_the_pipeline_does_the_same(script in script(), feed in feed()) {
        let written = defined(&script).pipeline.to_script().unwrap();
        let points = points(&feed);
        // Names of nodes, which problems have, follow the numbers of the nodes.
        let shown = |script: &str| {
            let lines = run(script, &points).into_iter();
            lines.filter(|line| !line.starts_with("E ")).collect::<Vec<_>>()
        };
        prop_assert_eq!(sorted(shown(&written)), sorted(shown(&script)), "{}", written);
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn a_restart_anywhere_changes_nothing(script in script(), feed in feed(), at in any::<prop::sample::Index>()) {
        let points = points(&feed);
        let definition = defined(&script);
        let cut = at.index(points.len() + 1);
        let mut first = Run::start(&definition);
        first.feed(&points[..cut]);
        let saved = first.actor.save();
        let mut second = first.again(&definition);
        let fresh = second.actor.load(&saved).unwrap();
        prop_assert!(fresh.is_empty(), "{fresh:?} began anew");
        prop_assert_eq!(second.actor.context().held, first.actor.context().held, "points held");
        second.feed(&points[cut..]);
        let mut lines = first.record.lines();
        lines.extend(second.finish());
        prop_assert_eq!(lines, run(&script, &points), "cut at {}", cut);
    }

    #[test]
    fn shards_together_give_what_one_gives(script in script(), feed in feed()) {
        let points = points(&feed);
        let definition = defined(&script);
        let Some(dimensions) = definition.pipeline.shard_dimensions() else { return Ok(()) };
        let whole = sorted(run(&script, &points));
        for count in [2, 3] {
            let mut lines = Vec::new();
            let mut seen = 0;
            for index in 0..count {
                let mut shard = Shard::new(index, count, Arc::clone(&dimensions));
                let mut own = Run::start(&definition);
                for point in points.iter().filter(|point| shard.takes(&point.series)) {
                    own.feed(std::slice::from_ref(point));
                    seen += 1;
                }
                lines.extend(own.finish());
            }
            prop_assert_eq!(seen, points.len(), "each point belongs to one");
            prop_assert_eq!(sorted(lines), whole.clone(), "{} shards", count);
        }
    }

    #[test]
    fn a_window_that_is_folded_gives_what_one_that_is_kept_gives(
        source in source(),
        before in chain(),
        window in select(vec![
            "|window().period(4s).every(4s)",
            "|window().period(6s).every(2s)",
            "|window().period(2s).every(5s)",
            "|window().period(4s).every(3s).align()",
            "|window().period(4s).every(2s).fillPeriod()",
            "|window().period(4s)",
            "|window().periodCount(3).everyCount(3)",
            "|window().periodCount(4).everyCount(2).fillPeriod()",
        ]),
        function in function(),
        feed in feed(),
        at in any::<prop::sample::Index>(),
    ) {
        let points = points(&feed);
        let chain = format!("{source}{before}{window}");
        let folded = format!("{chain}{function}|log().prefix('end')\n");
        // A second child, which gives nothing, and is linked last so that the others keep their names.
        let kept = format!("var w = {chain}\nw{function}|log().prefix('end')\nw|where(lambda: FALSE)\n");
        let wanted = run(&kept, &points);
        prop_assert_eq!(run(&folded, &points), wanted.clone(), "{}", folded);
        // And over a restart.
        let definition = defined(&folded);
        let mut first = Run::start(&definition);
        let cut = at.index(points.len() + 1);
        first.feed(&points[..cut]);
        let mut second = first.again(&definition);
        prop_assert!(second.actor.load(&first.actor.save()).unwrap().is_empty());
        second.feed(&points[cut..]);
        let mut lines = first.record.lines();
        lines.extend(second.finish());
        prop_assert_eq!(lines, wanted, "cut at {}", cut);
    }
}
