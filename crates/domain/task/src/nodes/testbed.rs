//! Runs a few nodes in tests: input as lines, output as lines in the form of the reference's examples.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use levada_model::{
    Batch, BatchRef, FieldValue, Group, GroupKey, Point, Series, Shape, Str, Timestamp,
};
use levada_tick::lambda::Env;
use levada_tick::script::{ObjectId, Objects, Value};

use proptest::strategy::Strategy;

use crate::actor::Actor;
use crate::capture::problem_text;
use crate::effect::{Answer, Effect, Effects, NodeName};
use crate::pipeline::start::StartOptions;
use crate::pipeline::{Builder, NodeIndex, Pipeline, TaskType};
use crate::property::types::text;
use crate::runtime::context::{Compat, Limits};
use crate::runtime::services::{Endpoint, ServerInfo, Services, SideloadSource};
use crate::runtime::{Barrier, Node, Out, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

pub(super) type Lines = Arc<Mutex<Vec<String>>>;

/// Builds a pipeline.
pub(super) struct Bed {
    pub(super) builder: Builder,
    lines: Lines,
}

/// A running pipeline.
pub(super) struct Run {
    pub(super) actor: Actor,
    lines: Lines,
    series: HashMap<String, Arc<Series>>,
    shapes: HashMap<String, Arc<Shape>>,
}

/// How a pipeline is run.
#[derive(Clone, Default)]
pub(super) struct Options {
    pub(super) limits: Limits,
    pub(super) compat: Compat,
}

/// Makes barriers and deletes of points with fields of that name.
#[derive(Clone, Debug)]
struct Feed;
crate::properties! { Feed {} }

/// Writes down what reaches it.
#[derive(Clone, Debug)]
struct Sink(Lines);
crate::properties! { Sink {} }

struct Problems(Lines);
struct NoServices;

static FEED: Kind = kind("feed");
static SINK: Kind = kind("sink");

const fn kind(name: &'static str) -> Kind {
    Kind {
        name,
        type_name: "TestNode",
        desc: name,
        json_type: name,
        summary: "for tests",
        wants: EdgeRule::SameAsParent,
        provides: EdgeRule::SameAsParent,
        chain: |_, _, _, _| Err(crate::property::types::too_many()),
        empty: || Box::new(Feed),
    }
}

/// For builders whose last call is of no interest.
pub(super) fn ignore(_object: ObjectId) {}

pub(super) fn lambda(expression: &str) -> Value {
    Value::Lambda(Arc::new(levada_tick::syntax::parse_lambda(expression).unwrap()))
}

pub(super) fn texts(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|one| text(one)).collect()
}

/// Gives inputs of points, barriers and deletes of the measurements `a` and `b`, with times that mostly grow.
pub(super) fn inputs() -> impl Strategy<Value = String> {
    let line = (0_usize..2, 0_usize..2, 0_usize..3, 0_usize..12, 0_i64..4, 0_i64..9);
    proptest::collection::vec(line, 0..14).prop_map(|lines| {
        let mut now = 0;
        let mut text = String::new();
        for (name, host, port, kind, step, value) in lines {
            now += step - 1;
            let field = match kind {
                0 | 1 => "barrier".to_owned(),
                2 => "delete".to_owned(),
                _ => ["v", "w"][kind % 2].to_owned(),
            };
            let (name, host) = (["a", "b"][name], ["x", "y"][host]);
            let port = if port == 0 { String::new() } else { format!(",port={port}") };
            text.push_str(&format!("{name},host={host}{port} {field}={value} {};", now.max(0)));
        }
        text
    })
}

pub(super) const SECOND: i64 = 1_000_000_000;

// === impl Bed ===

impl Bed {
    pub(super) fn new(task_type: TaskType) -> Self {
        Bed { builder: Builder::new(task_type), lines: Lines::default() }
    }

    pub(super) fn stream() -> Self {
        Bed::new(TaskType::Stream)
    }

    pub(super) fn index(&self, object: ObjectId) -> NodeIndex {
        self.builder.node_argument(&Value::Object(object)).unwrap()
    }

    /// `stream|from().measurement(…).groupBy(…)`, then a node that makes barriers.
    pub(super) fn from(&mut self, measurement: &str, dimensions: &[&str]) -> ObjectId {
        let source = self.builder.source();
        let from = self.call(source, "from", vec![]);
        if !measurement.is_empty() {
            self.set(from, "measurement", texts(&[measurement]));
        }
        self.set(from, "groupBy", texts(dimensions));
        self.feed(from)
    }

    /// A node that stands for a query, or that makes barriers.
    pub(super) fn feed(&mut self, parent: ObjectId) -> ObjectId {
        let parent = self.index(parent);
        let index = self.builder.add(parent, Box::new(Feed)).unwrap();
        self.builder.object_of(index)
    }

    pub(super) fn query(&mut self) -> ObjectId {
        let source = self.builder.source();
        self.feed(source)
    }

    pub(super) fn call(&mut self, object: ObjectId, name: &str, args: Vec<Value>) -> ObjectId {
        self.builder.chain(object, name, args).unwrap()
    }

    pub(super) fn set(&mut self, object: ObjectId, name: &str, args: Vec<Value>) -> ObjectId {
        self.builder.property(object, name, args).unwrap()
    }

    pub(super) fn sink(&mut self, parent: ObjectId) {
        let parent = self.index(parent);
        self.builder.add(parent, Box::new(Sink(Arc::clone(&self.lines)))).unwrap();
    }

    pub(super) fn pipeline(self) -> (Pipeline, Lines) {
        (self.builder.into_pipeline(), self.lines)
    }
}

/// Builds, runs all lines, ends the input, and gives what came out.
pub(super) fn run(build: impl Fn(&mut Bed), input: &str) -> Vec<String> {
    let mut run = Run::start(build, &Options::default());
    run.feed(input);
    run.actor.finish().ok();
    run.take()
}

/// Checks that a run that is saved and restored before any line gives what an uninterrupted one gives.
pub(super) fn check_restarts(build: impl Fn(&mut Bed), input: &str) {
    let expected = run(&build, input);
    let lines = split(input);
    for cut in 0..=lines.len() {
        let mut first = Run::start(&build, &Options::default());
        first.feed(&lines[..cut].join(";"));
        let saved = first.actor.save();
        let mut second = Run::start(&build, &Options::default());
        let fresh = second.actor.load(&saved).unwrap();
        assert!(fresh.is_empty(), "{fresh:?} began anew");
        assert_eq!(second.actor.context().held, first.actor.context().held);
        second.feed(&lines[cut..].join(";"));
        second.actor.finish().ok();
        let mut all = first.take();
        all.extend(second.take());
        assert_eq!(all, expected, "cut before line {cut}");
    }
}

/// Checks that state that was damaged is refused or taken over, and that the task goes on either way.
pub(super) fn check_damage(build: impl Fn(&mut Bed), input: &str, damage: &[(usize, u8)]) {
    let mut first = Run::start(&build, &Options::default());
    first.feed(input);
    let mut saved = first.actor.save();
    for (at, byte) in damage {
        let at = at % saved.len();
        saved[at] = *byte;
    }
    let mut second = Run::start(&build, &Options::default());
    if second.actor.load(&saved).is_ok() {
        second.feed(input);
        second.actor.finish().ok();
        assert_eq!(second.actor.failure(), None);
    }
}

fn split(input: &str) -> Vec<&str> {
    input.split([';', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect()
}

// === impl Run ===

impl Run {
    pub(super) fn start(build: impl Fn(&mut Bed), options: &Options) -> Self {
        Run::try_start(build, options).unwrap()
    }

    pub(super) fn try_start(build: impl Fn(&mut Bed), options: &Options) -> Result<Self, String> {
        Run::of_type(TaskType::Stream, build, options)
    }

    pub(super) fn of_type(
        task_type: TaskType,
        build: impl Fn(&mut Bed),
        options: &Options,
    ) -> Result<Self, String> {
        let mut bed = Bed::new(task_type);
        build(&mut bed);
        let (pipeline, lines) = bed.pipeline();
        pipeline.validate()?;
        let start = StartOptions {
            task: Str::from("tid"),
            dbrps: &[],
            services: &NoServices,
            limits: &options.limits,
            compat: options.compat,
            seed: 1,
        };
        let effects = Box::new(Problems(Arc::clone(&lines)));
        let env = Env::at(Timestamp(0));
        let actor = Actor::start(&pipeline, &start, effects, env, Timestamp(0))?;
        Ok(Run { actor, lines, series: HashMap::new(), shapes: HashMap::new() })
    }

    pub(super) fn feed(&mut self, input: &str) {
        for line in split(input) {
            let point = self.point(line);
            self.actor.points(&[point]).ok();
        }
    }

    /// Gives a batch to the query that was made as the `query`th.
    pub(super) fn batch(&mut self, query: usize, name: &str, tags: &str, tmax: i64, points: &str) {
        let slots = self.actor.graph().slots();
        let mut places: Vec<usize> =
            (0..slots.len()).filter(|at| slots[*at].name.name.starts_with("feed")).collect();
        places.sort_by_key(|at| slots[*at].name.name[4..].parse::<u32>().unwrap());
        let (dimensions, values): (Vec<Str>, Vec<Str>) = tags
            .split(',')
            .filter_map(|tag| tag.split_once('='))
            .map(|(key, value)| (Str::from(key), Str::from(value)))
            .unzip();
        let key = GroupKey { name: None, dimensions: dimensions.into(), values: values.into() };
        let group = self.actor.group(key).unwrap();
        let points = split(points)
            .into_iter()
            .map(|line| {
                let comma = if tags.is_empty() { "" } else { "," };
                let more = if line.starts_with(',') { line.to_owned() } else { format!(" {line}") };
                self.point(&format!("{name}{comma}{tags}{more}"))
            })
            .collect();
        let time = Timestamp(tmax * SECOND);
        let batch = Batch { name: Str::from(name), group, time, points };
        self.actor.batch(places[query], batch.as_ref()).ok();
    }

    /// `name,tags fields time`, the time in seconds.
    pub(super) fn point(&mut self, line: &str) -> Point {
        let mut words = line.split(' ');
        let (head, fields, time) =
            (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let series = self.series.entry(head.to_owned()).or_insert_with(|| {
            let mut parts = head.split(',');
            let name = Str::from(parts.next().unwrap());
            let tags = parts.map(|tag| tag.split_once('=').unwrap());
            let tags = tags.map(|(key, value)| (Str::from(key), Str::from(value))).collect();
            Series::new(Str::from("db"), Str::from("rp"), name, tags)
        });
        let pairs: Vec<(&str, &str)> =
            fields.split(',').map(|field| field.split_once('=').unwrap()).collect();
        let names: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
        let shape = self
            .shapes
            .entry(names.join(","))
            .or_insert_with(|| Shape::new(names.iter().map(|name| Str::from(*name)).collect()));
        let value = |word: &str| match word.strip_suffix('i') {
            Some(number) => FieldValue::Int(number.parse().unwrap()),
            None => match word.strip_prefix('"') {
                Some(word) => FieldValue::Str(word.trim_end_matches('"').into()),
                None => FieldValue::Float(word.parse().unwrap()),
            },
        };
        Point {
            series: Arc::clone(series),
            shape: Arc::clone(shape),
            values: pairs.iter().map(|(_, word)| value(word)).collect(),
            time: Timestamp((time.parse::<f64>().unwrap() * SECOND as f64) as i64),
        }
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }
}

fn seconds(time: Timestamp) -> String {
    (time.0 as f64 / SECOND as f64).to_string()
}

fn fields(point: &Point) -> String {
    let show = |value: &FieldValue| match value {
        FieldValue::Int(number) => format!("{number}i"),
        FieldValue::Float(number) => number.to_string(),
        FieldValue::Str(text) => format!("{text:?}"),
        FieldValue::Null => "null".to_owned(),
        other => format!("{other:?}"),
    };
    let all: Vec<String> =
        point.fields().map(|(name, value)| format!("{name}={}", show(value))).collect();
    all.join(",")
}

fn show_group(group: &Group) -> String {
    let by_name = if group.key.name.is_some() { " byName" } else { "" };
    format!("group={:?}{by_name}", group.id)
}

// === impl Feed, Sink ===

impl Spec for Feed {
    fn kind(&self) -> &'static Kind {
        &FEED
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        Ok(Box::new(Feed))
    }
}

impl Node for Feed {
    fn point(&mut self, _: usize, point: &Point, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        if point.field("barrier").is_some() {
            return out.barrier(&Barrier { group: Arc::clone(group), time: point.time });
        }
        if point.field("delete").is_some() {
            return out.delete(group);
        }
        out.point(point, group)
    }

    fn batch(&mut self, _: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        if batch.points.iter().any(|point| point.field("barrier").is_some()) {
            let barrier = Barrier { group: Arc::clone(batch.group), time: batch.time };
            return out.barrier(&barrier);
        }
        if batch.points.iter().any(|point| point.field("delete").is_some()) {
            return out.delete(batch.group);
        }
        out.batch(batch)
    }

    fn forget(&mut self, _slot: u32) {}

    fn cardinality(&self) -> usize {
        0
    }

    fn save(&self, _writer: &mut Writer<'_>) {}

    fn load(&mut self, _reader: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}

impl Spec for Sink {
    fn kind(&self) -> &'static Kind {
        &SINK
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        Ok(Box::new(self.clone()))
    }
}

impl Sink {
    fn line(&self, line: String) -> Step {
        self.0.lock().unwrap().push(line);
        Ok(())
    }
}

impl Node for Sink {
    fn point(&mut self, _: usize, point: &Point, group: &Arc<Group>, _: &mut Out<'_>) -> Step {
        let mut head = point.series.name.to_string();
        for (key, value) in point.series.tags() {
            head.push_str(&format!(",{key}={value}"));
        }
        let (fields, time) = (fields(point), seconds(point.time));
        self.line(format!("P {head} {fields} {time} | {}", show_group(group)))
    }

    fn batch(&mut self, _: usize, batch: BatchRef<'_>, _: &mut Out<'_>) -> Step {
        let tags: Vec<String> =
            batch.group.key.tags().map(|(key, value)| format!("{key}={value}")).collect();
        let group = show_group(batch.group);
        let mut line = format!(
            "B {} {{{}}} tmax={} | {group}",
            batch.name,
            tags.join(","),
            seconds(batch.time)
        );
        for point in batch.points {
            line.push_str(&format!("; {} @{}", fields(point), seconds(point.time)));
        }
        self.line(line)
    }

    fn barrier(&mut self, _: usize, barrier: &Barrier, _: &mut Out<'_>) -> Step {
        self.line(format!("barrier {} {}", show_group(&barrier.group), seconds(barrier.time)))
    }

    fn delete(&mut self, _: usize, group: &Arc<Group>, _: &mut Out<'_>) -> Step {
        self.line(format!("delete {}", show_group(group)))
    }

    fn forget(&mut self, _slot: u32) {}

    fn cardinality(&self) -> usize {
        0
    }

    fn save(&self, _writer: &mut Writer<'_>) {}

    fn load(&mut self, _reader: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}

impl Effects for Problems {
    fn effect(&mut self, node: &NodeName, effect: Effect<'_>) -> Result<Option<Answer>, Str> {
        if let Effect::Problem(problem) = effect {
            self.0.lock().unwrap().push(format!("E {}: {}", node.name, problem_text(&problem)));
        }
        Ok(None)
    }
}

impl Services for NoServices {
    fn alerts(&self) -> std::sync::Arc<dyn crate::runtime::services::Alerts> {
        std::sync::Arc::new(crate::runtime::services::CapturedAlerts::default())
    }

    fn endpoint(&self, _name: &str) -> Option<Endpoint> {
        None
    }

    fn influxdb(&self, _cluster: &str) -> Result<(), String> {
        Ok(())
    }

    fn sideload(&self, source: &str) -> Result<SideloadSource, String> {
        Err(source.to_owned())
    }

    fn server(&self) -> ServerInfo {
        ServerInfo::default()
    }
}
