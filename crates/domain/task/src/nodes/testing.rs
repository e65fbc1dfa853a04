//! Runs short scripts over points, in the notation of the reference's examples.

#![expect(clippy::unwrap_used, reason = "tests")]

mod signal;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use levada_codec::line_protocol::{Limits as LineLimits, Parser, Precision};
use levada_model::{BatchRef, FieldValue, Group, GroupKey, Point, Series, Str, Timestamp};
use levada_tick::lambda::Env;
use levada_tick::script::{CallError, Value};
use levada_tick::syntax::{CallKind, Kind as Syntax, Node as Expression, Operator, parse};

use crate::actor::Actor;
use crate::effect::{Answer, Effect, Effects, Logged, NodeName};
use crate::nodes::{NODES, functions};
use crate::pipeline::start::StartOptions;
use crate::pipeline::{Builder, NodeIndex, Pipeline, TaskType};
use crate::property::is_same_name;
use crate::runtime::context::{Compat, Limits};
use crate::runtime::services::{Endpoint, ServerInfo, Services, SideloadSource};

/// A task under test.
pub(super) struct Task {
    pub(super) actor: Actor,
    /// What it was defined by, when that is known.
    pipeline: Option<Pipeline>,
    lines: Arc<Mutex<Vec<String>>>,
    parser: Parser,
}

struct NoServices;

struct Lines(Arc<Mutex<Vec<String>>>);

/// Runs a stream script over points; gives what its log nodes print and what goes wrong.
pub(super) fn run(script: &str, points: &str) -> Vec<String> {
    let mut task = Task::new(script);
    task.points(points);
    task.finish()
}

/// Runs calls over batches of the group `h=x` of the measurement `a`, each `tmax: v@time, …`.
pub(super) fn run_batches(calls: &str, batches: &[(i64, &str)]) -> Vec<String> {
    let mut task = Task::new(&format!("batch{calls}"));
    for (tmax, lines) in batches {
        task.batch("a", &[("h", "x")], *tmax, lines);
    }
    task.finish()
}

/// Runs a script over points with a save and a load in a new task after the first `cut`.
pub(super) fn run_interrupted(script: &str, points: &str, cut: usize) -> Vec<String> {
    let mut task = Task::new(script);
    let points = task.parse(points);
    let cut = cut.min(points.len());
    task.actor.points(&points[..cut]).unwrap();
    let mut lines = task.taken();
    let mut next = Task::new(script);
    assert!(next.load(&task.actor.save()).is_empty(), "{script}");
    next.actor.points(&points[cut..]).unwrap();
    lines.extend(next.finish());
    lines
}

/// Compares lines, one per line of `wanted`; a wanted line may leave ` | group="…"` out.
#[track_caller]
pub(super) fn check(what: &str, got: &[String], wanted: &str) {
    let wanted: Vec<&str> = wanted.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let shown: Vec<String> = got
        .iter()
        .enumerate()
        .map(|(at, line)| match wanted.get(at) {
            Some(wanted) if !wanted.contains(" | group=") => without_group(line),
            _ => line.clone(),
        })
        .collect();
    assert_eq!(shown, wanted, "{what}");
}

fn without_group(line: &str) -> String {
    let Some(at) = line.find(" | group=\"") else { return line.to_owned() };
    let rest = &line[at + 10..];
    let end = rest.find('"').map_or(rest.len(), |end| end + 1);
    format!("{}{}", &line[..at], &rest[end..])
}

/// Builds a pipeline; the error is that of a call or of the definition.
pub(super) fn define(script: &str) -> Result<Pipeline, String> {
    let program = parse(script).map_err(|error| format!("{error:?}"))?;
    let is_batch = script.starts_with("batch");
    let mut builder = Builder::new(if is_batch { TaskType::Batch } else { TaskType::Stream });
    let Syntax::Program(statements) = &program.kind else { panic!("not a program") };
    let mut names = HashMap::new();
    for statement in statements {
        evaluate(statement, &mut builder, &mut names).map_err(|error| match error {
            CallError::Call(text) | CallError::Message(text) | CallError::Bare(text) => text,
            other => format!("{other:?}"),
        })?;
    }
    let pipeline = builder.into_pipeline();
    pipeline.validate()?;
    Ok(pipeline)
}

fn evaluate(
    expression: &Expression,
    builder: &mut Builder,
    names: &mut HashMap<Str, NodeIndex>,
) -> Result<NodeIndex, CallError> {
    match &expression.kind {
        Syntax::Declaration { name, value } => {
            let Syntax::Identifier(name) = &name.kind else { panic!("not a name") };
            let index = evaluate(value, builder, names)?;
            names.insert(Arc::clone(name), index);
            Ok(index)
        }
        Syntax::Identifier(name) => Ok(names.get(name).copied().unwrap_or(NodeIndex(0))),
        Syntax::Chain { left, right, .. } => {
            let left = evaluate(left, builder, names)?;
            let Syntax::Call(call) = &right.kind else { panic!("not a call") };
            let args = call.args.iter().map(value).collect();
            if call.kind == CallKind::Property {
                if &*call.name == "quiet" {
                    builder.set_quiet(left);
                } else {
                    builder.spec_mut(left).set(&call.name, args)?;
                }
                return Ok(left);
            }
            let tests = [&signal::KIND, &signal::SHOWN];
            let known = NODES
                .iter()
                .chain(&tests)
                .find(|kind| is_same_name(kind.name, &call.name))
                .copied();
            let kind = known.or_else(|| functions::kind(&call.name)).expect("a known node");
            (kind.chain)(builder, left, &call.name, args)
        }
        other => panic!("not part of a test: {other:?}"),
    }
}

fn value(expression: &Expression) -> Value {
    match &expression.kind {
        Syntax::Int { value, .. } => Value::Int(*value),
        Syntax::Float(value) => Value::Float(*value),
        Syntax::Duration { nanos, .. } => Value::Duration(*nanos),
        Syntax::Bool(value) => Value::Bool(*value),
        Syntax::String { value, .. } => Value::Str(Arc::clone(value)),
        Syntax::Reference(name) => Value::Reference(Arc::clone(name)),
        Syntax::Star => Value::Star,
        Syntax::Lambda(lambda) => Value::Lambda(Arc::clone(lambda)),
        Syntax::Unary { operator: Operator::Minus, operand } => match value(operand) {
            Value::Int(number) => Value::Int(-number),
            Value::Float(number) => Value::Float(-number),
            Value::Duration(nanos) => Value::Duration(-nanos),
            other => other,
        },
        other => panic!("not part of a test: {other:?}"),
    }
}

/// Starts a task; the error is upstream's enable error.
pub(super) fn start(pipeline: &Pipeline, limits: &Limits) -> Result<Task, String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let options = options(limits);
    let effects = Box::new(Lines(Arc::clone(&lines)));
    let env = Env::at(Timestamp(0));
    let actor = Actor::start(pipeline, &options, effects, env, Timestamp(0))?;
    Ok(Task { actor, pipeline: None, lines, parser: Parser::new(LineLimits::default()) })
}

fn options(limits: &Limits) -> StartOptions<'_> {
    StartOptions {
        task: Str::from("tid"),
        dbrps: &[],
        services: &NoServices,
        limits,
        compat: Compat::default(),
        seed: 1,
    }
}

// === impl Task ===

impl Task {
    pub(super) fn new(script: &str) -> Task {
        let pipeline = define(script).expect(script);
        let task = start(&pipeline, &Limits::default()).expect(script);
        Task { pipeline: Some(pipeline), ..task }
    }

    /// Points as line protocol, times in seconds, separated by `;` or new lines.
    pub(super) fn points(&mut self, text: &str) {
        let points = self.parse(text);
        self.actor.points(&points).unwrap();
    }

    pub(super) fn parse(&mut self, text: &str) -> Vec<Point> {
        let mut points = Vec::new();
        let (database, retention) = (Str::from("db"), Str::from("rp"));
        for line in text.split([';', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
            let outcome = self.parser.parse(
                &database,
                &retention,
                Precision::Seconds,
                Timestamp(0),
                line.as_bytes(),
                &mut points,
            );
            assert_eq!(outcome.points, 1, "{line}");
        }
        points
    }

    /// A batch, its points as for [`Task::points`].
    pub(super) fn batch(&mut self, name: &str, tags: &[(&str, &str)], tmax: i64, points: &str) {
        let mut points = self.parse(points);
        for point in &mut points {
            let own = point.series.tags().map(|(key, value)| (key.clone(), value.clone()));
            let all = tags.iter().map(|(key, value)| (Str::from(*key), Str::from(*value)));
            let empty = Str::from("");
            let all = all.chain(own).collect();
            point.series = Series::new(empty.clone(), empty, Str::from(name), all);
        }
        let key = GroupKey {
            name: None,
            dimensions: tags.iter().map(|(key, _)| Str::from(*key)).collect(),
            values: tags.iter().map(|(_, value)| Str::from(*value)).collect(),
        };
        let group = self.actor.group(key).unwrap();
        let (name, time) = (Str::from(name), Timestamp(tmax * 1_000_000_000));
        let batch = BatchRef { name: &name, group: &group, time, points: &points };
        self.actor.batch(0, batch).unwrap();
    }

    /// Goes on with the state of another task; gives the nodes that begin anew.
    pub(super) fn load(&mut self, state: &[u8]) -> Vec<Str> {
        let limits = Limits::default();
        let remake = |place| match &self.pipeline {
            Some(pipeline) => pipeline.remake(place, &options(&limits)),
            None => Err("who made it is not known".to_owned()),
        };
        self.actor.load_or_remake(state, &remake).unwrap()
    }

    /// What was printed since the last call.
    pub(super) fn taken(&mut self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        self.actor.finish().unwrap();
        self.taken()
    }
}

// === impl Lines ===

impl Effects for Lines {
    fn effect(&mut self, node: &NodeName, effect: Effect<'_>) -> Result<Option<Answer>, Str> {
        let line = match effect {
            Effect::Log(item) => match item.data {
                Logged::Point(point, group) => {
                    let mut line = format!("P {}", point.series.name);
                    for (key, value) in point.series.tags() {
                        line.push_str(&format!(",{key}={value}"));
                    }
                    let (fields, time) = (fields(point), seconds(point.time));
                    format!("{line} {fields} {time} | {}", group_text(group))
                }
                Logged::Batch(batch) => batch_text(batch),
            },
            Effect::Problem(problem) => {
                let mut line = format!("E {}: {}: {}", node.name, problem.message, problem.cause);
                for (key, value) in problem.context {
                    line.push_str(&format!(" {key}={value}"));
                }
                line
            }
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
        Ok(None)
    }
}

fn batch_text(batch: BatchRef<'_>) -> String {
    let tags: Vec<_> = batch.group.key.tags().map(|(k, v)| format!("{k}={v}")).collect();
    let tags = tags.join(",");
    let mut line = format!(
        "B {} {{{tags}}} tmax={} | {}",
        batch.name,
        seconds(batch.time),
        group_text(batch.group)
    );
    for point in batch.points {
        let own: Vec<_> = point.series.tags().map(|(k, v)| format!("{k}={v}")).collect();
        let own = own.join(",");
        line.push_str("; ");
        if own != tags {
            line.push_str(&format!("{{{own}}} "));
        }
        line.push_str(&format!("{} @{}", fields(point), seconds(point.time)));
    }
    line
}

fn group_text(group: &Group) -> String {
    let by_name = if group.key.name.is_some() { " byName" } else { "" };
    format!("group={:?}{by_name}", &*group.id)
}

fn fields(point: &Point) -> String {
    let fields = point.fields().map(|(name, value)| match value {
        FieldValue::Float(number) => format!("{name}={number}"),
        FieldValue::Int(number) => format!("{name}={number}i"),
        FieldValue::Str(text) => format!("{name}={:?}", &**text),
        FieldValue::Bool(flag) => format!("{name}={flag}"),
        other => format!("{name}={other:?}"),
    });
    fields.collect::<Vec<_>>().join(",")
}

fn seconds(time: Timestamp) -> f64 {
    time.0 as f64 / 1e9
}

// === impl NoServices ===

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

    fn sideload(&self, _source: &str) -> Result<SideloadSource, String> {
        Err("there is no sideload here".to_owned())
    }

    fn server(&self) -> ServerInfo {
        ServerInfo::default()
    }
}
