//! `combine`: points of one group and time, combined so that each fulfils one of the expressions.

mod series;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;

use levada_model::time::round;
use levada_model::{BatchRef, FieldValue, Group, Point, Str, Timestamp};
use levada_tick::lambda::Program;
use levada_tick::script::{CallError, Value};
use serde_json::{Map, Value as Json, json};

use self::series::CombinedSeries;
use super::predicate::{Predicate, has_inner_lambda};
use super::prefix::{Delimiter, Merger, PrefixProblem, find_problem};
use crate::property::types::{lambda_arguments, one_for_field, wrong_field};
use crate::property::{Lambdas, Nanos, PropertyType, Strings};
use crate::runtime::{Node, Out, PerGroup, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::spec_properties;

/// `|combine(lambda: …, …)`
#[derive(Clone, Debug, Default)]
pub struct Combine {
    expressions: Lambdas,
    names: Strings,
    delimiter: Delimiter,
    tolerance: Nanos,
    max: Max,
}

crate::properties! {
    Combine {
        "as" => names,
        "delimiter" => delimiter,
        "tolerance" => tolerance,
        "max" => max,
    }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "combine",
    type_name: "CombineNode",
    desc: "combine",
    json_type: "combine",
    summary: "combines points of one group and time",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::Fixed(Edge::Stream),
    chain: |builder, parent, _name, args| {
        let expressions = Lambdas(lambda_arguments(args)?);
        builder.add(parent, Box::new(Combine { expressions, ..Combine::default() }))
    },
    empty: || Box::new(Combine::default()),
};

/// The member of the JSON form that holds the arguments.
const LAMBDAS: &str = "lambdas";

/// How many combinations there may be; more end the task.
///
/// - Source of the default: kapacitor reference §5.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Max(i64);

struct Running {
    expressions: Vec<Predicate>,
    prefixes: Box<[String]>,
    tolerance: i64,
    max: i64,
    merger: Merger,
    series: CombinedSeries,
    groups: PerGroup<Bucket>,
    /// Emptied and used again: whether an expression holds for a point, by expression, then by point.
    holds: Vec<Option<bool>>,
    /// Points let go by [`Node::forget`].
    released: usize,
}

/// The points of one group and time.
struct Bucket {
    group: Arc<Group>,
    time: Timestamp,
    points: Vec<Point>,
    /// How many points count against the bound of the task.
    held: usize,
}

// === impl Max ===

impl Default for Max {
    fn default() -> Self {
        Max(1_000_000)
    }
}

impl PropertyType for Max {
    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<(), CallError> {
        match one_for_field(name, args)? {
            Value::Int(number) => self.0 = number,
            other => return Err(wrong_field(&other, "int64")),
        }
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        if *self == Max::default() { vec![] } else { vec![vec![Value::Int(self.0)]] }
    }

    fn json(&self) -> Json {
        json!(self.0)
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        self.0 = json.as_i64().ok_or_else(|| format!("wanted an integer, got {json}"))?;
        Ok(())
    }

    fn read(&self) -> Value {
        Value::Int(self.0)
    }
}

// === impl Combine ===

impl Combine {
    fn compile(&self) -> Result<Vec<Program>, String> {
        let compile = |(index, expression): (usize, &Arc<_>)| {
            Program::compile(expression)
                .map_err(|error| format!("Failed to compile {index} expression: {error}"))
        };
        self.expressions.0.iter().enumerate().map(compile).collect()
    }
}

impl Spec for Combine {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();

    fn args(&self) -> Vec<Value> {
        self.expressions.0.iter().map(|one| Value::Lambda(Arc::clone(one))).collect()
    }

    fn json(&self) -> Map<String, Json> {
        let mut json = crate::property::json(self);
        json.insert(LAMBDAS.to_owned(), self.expressions.json());
        json
    }

    fn load(&mut self, json: &Map<String, Json>) -> Result<(), String> {
        if let Some(expressions) = json.get(LAMBDAS) {
            self.expressions
                .load(expressions)
                .map_err(|problem| format!("{LAMBDAS}: {problem}"))?;
        }
        crate::property::load(self, json)
    }

    fn validate(&self) -> Result<(), String> {
        let names = &self.names.0;
        if names.is_empty() {
            return Err(
                "a call to combine.as() is required to specify the output stream prefixes."
                    .to_owned(),
            );
        }
        if names.len() != self.expressions.0.len() {
            return Err("number of prefixes specified by combine.as() must match the number of combine expressions".to_owned());
        }
        let delimiter = self.delimiter.0.as_str();
        match find_problem(names, |name| name.contains(delimiter)) {
            None => {}
            Some(PrefixProblem::Empty) => {
                return Err(
                    "must provide a prefix name for the combine node, see .as() property method"
                        .to_owned(),
                );
            }
            Some(PrefixProblem::Delimiter(name)) => {
                return Err(format!(
                    "cannot use name {name} as field prefix, it contains the delimiter character {delimiter}"
                ));
            }
            Some(PrefixProblem::Twice) => {
                return Err("cannot use the same prefix name see .as() property method".to_owned());
            }
        }
        if self.tolerance.0 < 0 {
            return Err("tolerance must not be negative".to_owned());
        }
        Ok(())
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        self.compile().map(|_| ())
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        let seed = ctx.seed;
        let is_1_8 = ctx.compat.is_1_8;
        let shares = self.expressions.0.iter().map(|one| is_1_8 && has_inner_lambda(one));
        let programs = self.compile()?.into_iter().zip(0..).zip(shares);
        Ok(Box::new(Running {
            expressions: programs
                .map(|((one, at), shares)| Predicate::new(one, seed ^ at).shared(shares))
                .collect(),
            prefixes: self
                .names
                .0
                .iter()
                .map(|name| format!("{name}{}", self.delimiter.0))
                .collect(),
            tolerance: self.tolerance.0,
            max: self.max.0,
            merger: Merger::new(&self.names.0, &self.delimiter.0),
            series: CombinedSeries::default(),
            groups: PerGroup::default(),
            holds: Vec::new(),
            released: 0,
        }))
    }
}

// === impl Running ===

impl Running {
    /// Combines what a group has collected, and begins anew.
    fn flush(&mut self, slot: u32, out: &mut Out<'_>) -> Step {
        let Some(bucket) = self.groups.get_mut(slot) else { return Ok(()) };
        out.ctx.let_go(mem::take(&mut bucket.held));
        let (group, time) = (Arc::clone(&bucket.group), bucket.time);
        let mut points = mem::take(&mut bucket.points);
        self.combine(&points, time, &group, out)?;
        points.clear();
        if let Some(bucket) = self.groups.get_mut(slot) {
            bucket.points = points;
        }
        Ok(())
    }

    /// Looks at all combinations of points, in the order of their places.
    fn combine(
        &mut self,
        points: &[Point],
        time: Timestamp,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let (count, size) = (points.len(), self.expressions.len());
        if count < size || size == 0 {
            return Ok(());
        }
        let total = combinations(count, size);
        if total > u64::try_from(self.max).unwrap_or(0) {
            return Err(out.fail(format!(
                "refusing to perform combination as total combinations {total} exceeds max combinations {}",
                self.max
            )));
        }
        self.holds.clear();
        self.holds.resize(count * size, None);
        let mut places: Vec<usize> = (0..size).collect();
        let mut picked: Vec<usize> = Vec::with_capacity(size);
        loop {
            if self.pick(points, &places, &mut picked, group, out) {
                self.give(points, &picked, time, group, out)?;
            }
            if !next_combination(&mut places, count) {
                return Ok(());
            }
        }
    }

    /// Takes for each expression the first point of the combination that it holds for and no earlier one took.
    fn pick(
        &mut self,
        points: &[Point],
        places: &[usize],
        picked: &mut Vec<usize>,
        group: &Group,
        out: &mut Out<'_>,
    ) -> bool {
        picked.clear();
        for expression in 0..self.expressions.len() {
            let mut free = places.iter().copied().filter(|place| !picked.contains(place));
            let found = free.find(|place| self.holds(expression, *place, points, group, out));
            match found {
                Some(place) => picked.push(place),
                None => return false,
            }
        }
        true
    }

    /// Says whether an expression holds for a point; each is asked once only, however many combinations there are.
    fn holds(
        &mut self,
        expression: usize,
        place: usize,
        points: &[Point],
        group: &Group,
        out: &mut Out<'_>,
    ) -> bool {
        let at = expression * points.len() + place;
        if let Some(known) = self.holds[at] {
            return known;
        }
        let result = self.expressions[expression].holds(&points[place], group.slot, &out.ctx.env);
        let holds = result.unwrap_or_else(|error| {
            out.error("error evaluating lambda expression", &error.to_string(), &[]);
            false
        });
        self.holds[at] = Some(holds);
        holds
    }

    fn give(
        &mut self,
        points: &[Point],
        picked: &[usize],
        time: Timestamp,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let part = |at: usize| &points[picked[at]];
        let name = &points[0].series.name;
        let series = self.series.of(name, group, &self.prefixes, part);
        let merged = self.merger.merged(|at| Some(&part(at).shape), &points[0].shape);
        let values = merged.values(|at| Some(&part(at).values), &FieldValue::Null);
        out.point(&Point { series, shape: Arc::clone(&merged.shape), values, time }, group)
    }

    fn take(&mut self, point: Point, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        let time = round(point.time, self.tolerance);
        let bucket = |groups: &mut PerGroup<Bucket>| -> Timestamp {
            let make = || Bucket { group: Arc::clone(group), time, points: Vec::new(), held: 0 };
            groups.entry(group.slot, make).time
        };
        if bucket(&mut self.groups) != time {
            self.flush(group.slot, out)?;
        }
        let is_held = out.ctx.hold(1);
        if let Some(bucket) = self.groups.get_mut(group.slot) {
            bucket.time = time;
            if is_held {
                bucket.held += 1;
                bucket.points.push(point);
                return Ok(());
            }
        }
        out.error("too many buffered points", &group.id, &[]);
        Ok(())
    }
}

/// Goes to the next combination of places below `count`, in the order of the places.
fn next_combination(places: &mut [usize], count: usize) -> bool {
    let size = places.len();
    let Some(at) = (0..size).rev().find(|at| places[*at] < count - size + at) else {
        return false;
    };
    places[at] += 1;
    for next in at + 1..size {
        places[next] = places[next - 1] + 1;
    }
    true
}

/// Counts the ways to choose `size` of `count`; the greatest number there is when there are more.
fn combinations(count: usize, size: usize) -> u64 {
    let size = size.min(count - size);
    let mut total: u128 = 1;
    for step in 0..size {
        // Each partial product is a number of combinations itself, so the division leaves nothing over.
        total = total * (count - step) as u128 / (step + 1) as u128;
        if total > u128::from(u64::MAX) {
            return u64::MAX;
        }
    }
    total as u64
}

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        self.take(point.clone(), group, out)
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        for point in batch.points {
            self.take(point.clone(), batch.group, out)?;
        }
        self.flush(batch.group.slot, out)
    }

    fn delete(&mut self, _input: usize, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        self.forget(group.slot);
        out.ctx.let_go(mem::take(&mut self.released));
        out.delete(group)
    }

    fn forget(&mut self, slot: u32) {
        if let Some(bucket) = self.groups.remove(slot) {
            self.released += bucket.held;
        }
        for expression in &mut self.expressions {
            expression.forget(slot);
        }
        self.series.forget(slot);
    }

    fn restored(&mut self, out: &mut Out<'_>) {
        out.ctx.held += self.buffered();
    }

    fn watermark(&mut self, time: Timestamp, out: &mut Out<'_>) -> Step {
        // What is not older than `time` may still round to what began before it.
        let time = round(time, self.tolerance);
        let mut due: Vec<(Timestamp, Str, u32)> = self
            .groups
            .iter()
            .filter(|(_, bucket)| bucket.time < time && !bucket.points.is_empty())
            .map(|(slot, bucket)| (bucket.time, Str::clone(&bucket.group.id), slot))
            .collect();
        due.sort_unstable();
        due.into_iter().try_for_each(|(.., slot)| self.flush(slot, out))
    }

    fn cardinality(&self) -> usize {
        self.groups.len()
    }

    fn buffered(&self) -> usize {
        self.groups.iter().map(|(_, bucket)| bucket.held).sum()
    }

    fn save(&self, writer: &mut Writer<'_>) {
        for expression in &self.expressions {
            expression.save(writer);
        }
        writer.per_group(&self.groups, |writer, bucket| {
            writer.time(bucket.time);
            writer.list(bucket.points.iter(), |writer, point| writer.point(point));
        });
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        for expression in &mut self.expressions {
            expression.load(reader)?;
        }
        self.groups = reader.per_group(|reader, group| {
            let time = reader.time()?;
            let points = reader.list(Reader::point)?;
            Ok(Bucket { group: Arc::clone(group), time, held: points.len(), points })
        })?;
        Ok(())
    }
}
