//! `eval`: computes fields and tags from expressions.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{BatchRef, FieldValue, Group, GroupKey, Point, Series, Shape, Str, Values};
use levada_tick::lambda::{Evaluator, Program, State, Value as Result_};
use levada_tick::script::{CallError, Value};

use super::derived::{Memo, Scratch};
use super::predicate::{SHARED, has_inner_lambda};
use crate::property::types::{lambda_arguments, text, text_arguments};
use crate::property::{Lambdas, PropertyCall, Strings};
use crate::runtime::{Node, Out, PerGroup, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{Edge, EdgeRule, Kind, Set, Spec};
use crate::spec_json;

/// `|eval(lambda: …, …)`
#[derive(Clone, Debug, Default)]
pub struct Eval {
    expressions: Lambdas,
    names: Strings,
    tags: Strings,
    /// `keep()` was called.
    keeps: bool,
    kept: Strings,
}

crate::properties! {
    Eval {
        "lambdas" => expressions,
        "as" => names,
        "tags" => tags,
        "keepFields" => keeps,
        "keepList" => kept,
    }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "eval",
    type_name: "EvalNode",
    desc: "eval",
    json_type: "eval",
    summary: "computes fields and tags from expressions",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        let expressions = Lambdas(lambda_arguments(args)?);
        builder.add(parent, Box::new(Eval { expressions, ..Eval::default() }))
    },
    empty: || Box::new(Eval::default()),
};

/// Shapes and series that are remembered; both come and go with the data.
const CACHED_MAX: usize = 10_000;
const SERIES_MAX: usize = 1_000_000;

struct Running {
    expressions: Vec<Expression>,
    /// Which results become tags, in the order of their names.
    tags: Vec<usize>,
    keep: Keep,
    /// The results of the point at hand; texts of an earlier one are replaced.
    results: Vec<Result_>,
    layouts: Memo<Arc<Layout>>,
    series: HashMap<u64, Derived, RandomState>,
    changed: Vec<Point>,
    made: Scratch,
    /// The groups that came by.
    seen: PerGroup<()>,
    seed: u64,
}

struct Expression {
    name: Str,
    evaluator: Evaluator,
    states: PerGroup<State>,
    none: State,
    is_stateful: bool,
    /// All groups have one state (U-3).
    is_shared: bool,
    /// The earlier results that it names, in upstream's way: a field or tag of that name takes their place (U-2).
    overwrites: Vec<usize>,
}

enum Keep {
    /// Results only.
    Results,
    /// All fields and all results.
    All,
    /// These, results before fields.
    List(Vec<Str>),
}

/// Where the fields of an output come from, for one shape of input.
#[derive(Debug)]
struct Layout {
    shape: Arc<Shape>,
    sources: Vec<Source>,
    /// A name of `keep` that the shape lacks.
    missing: Option<Str>,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Field(usize),
    Result(usize),
    /// The tag of a name of `keep` that an expression names.
    Tag(usize),
}

/// The series that a series became last, by the values its new tags had.
struct Derived {
    values: Vec<Str>,
    series: Arc<Series>,
    group: Arc<Group>,
    /// The group before; another one means the entry is out of date.
    old_slot: u32,
}

// === impl Eval ===

impl Eval {
    fn programs(&self) -> Result<Vec<Program>, String> {
        let compile = |(index, expression): (usize, &Arc<levada_tick::syntax::Node>)| {
            Program::compile(expression)
                .map_err(|error| format!("Failed to compile {index} expression: {error}"))
        };
        self.expressions.0.iter().enumerate().map(compile).collect()
    }
}

impl Spec for Eval {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn has_property(&self, name: &str) -> bool {
        ["as", "tags", "keep"].iter().any(|known| crate::property::is_same_name(known, name))
    }

    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<Set, CallError> {
        let texts = Strings(text_arguments(args)?);
        if crate::property::is_same_name("as", name) {
            self.names = texts;
        } else if crate::property::is_same_name("tags", name) {
            self.tags = texts;
        } else {
            self.keeps = true;
            self.kept = texts;
        }
        Ok(Set::Method)
    }

    fn read(&self, name: &str) -> Option<Value> {
        let property = crate::property::find::<Self>(name)?;
        Some((property.get)(self).read())
    }

    fn args(&self) -> Vec<Value> {
        self.expressions.0.iter().map(|expression| Value::Lambda(Arc::clone(expression))).collect()
    }

    fn calls(&self) -> Vec<PropertyCall> {
        let call = |name, texts: &Strings| PropertyCall {
            name,
            args: texts.0.iter().map(|one| text(one)).collect(),
            nested: Vec::new(),
        };
        let mut calls = Vec::new();
        if !self.names.0.is_empty() {
            calls.push(call("as", &self.names));
        }
        if !self.tags.0.is_empty() {
            calls.push(call("tags", &self.tags));
        }
        if self.keeps {
            calls.push(call("keep", &self.kept));
        }
        calls
    }

    spec_json!();

    fn boxed_clone(&self) -> Box<dyn Spec> {
        Box::new(self.clone())
    }

    fn validate(&self) -> Result<(), String> {
        let (names, expressions) = (self.names.0.len(), self.expressions.0.len());
        if names != expressions {
            return Err(format!(
                "must specify same number of expressions and .as() names: got {names} as names, and {expressions} expressions."
            ));
        }
        match self.tags.0.iter().find(|tag| !self.names.0.contains(tag)) {
            Some(tag) => {
                Err(format!("invalid tag name {tag:?}, name is not present is .as() names"))
            }
            None => Ok(()),
        }
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        self.programs().map(|_| ())
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        let is_1_8 = ctx.compat.is_1_8;
        let names: Vec<Str> = self.names.0.iter().map(|name| Str::from(name.as_str())).collect();
        let expressions: Vec<Expression> = self
            .programs()?
            .into_iter()
            .enumerate()
            .map(|(index, program)| Expression {
                name: names.get(index).cloned().unwrap_or_default(),
                is_stateful: program.is_stateful(),
                is_shared: is_1_8 && has_inner_lambda(&self.expressions.0[index]),
                overwrites: match is_1_8 {
                    true => (0..index)
                        .filter(|earlier| program.references().contains(&names[*earlier]))
                        .collect(),
                    false => Vec::new(),
                },
                none: program.state(ctx.seed),
                evaluator: Evaluator::with_earlier(Arc::new(program), &names[..index]),
                states: PerGroup::default(),
            })
            .collect();
        let mut tags: Vec<usize> = (0..names.len())
            .filter(|index| self.tags.0.iter().any(|tag| **tag == *names[*index]))
            // Of two results with one name the later one counts.
            .filter(|index| !names[index + 1..].contains(&names[*index]))
            .collect();
        tags.sort_by(|one, other| names[*one].cmp(&names[*other]));
        let keep = match (self.keeps, self.kept.0.is_empty()) {
            (false, _) => Keep::Results,
            (true, true) => Keep::All,
            (true, false) => Keep::List(self.kept.0.iter().map(|k| k.as_str().into()).collect()),
        };
        Ok(Box::new(Running {
            results: Vec::with_capacity(expressions.len()),
            expressions,
            tags,
            keep,
            layouts: Memo::new(CACHED_MAX),
            series: HashMap::default(),
            changed: Vec::new(),
            made: Scratch::default(),
            seen: PerGroup::default(),
            seed: ctx.seed,
        }))
    }
}

// === impl Running ===

impl Running {
    /// Evaluates everything for a point; `false` when the point is to be dropped.
    fn evaluate(&mut self, point: &Point, slot: u32, out: &mut Out<'_>) -> bool {
        self.results.clear();
        for index in 0..self.expressions.len() {
            if !self.expressions[index].overwrites.is_empty() {
                self.overwrite(index, point);
            }
            let expression = &mut self.expressions[index];
            let state = if expression.is_stateful {
                let slot = if expression.is_shared { SHARED } else { slot };
                let program = expression.evaluator.program();
                let seed = self.seed ^ u64::from(slot);
                expression.states.entry(slot, || program.state(seed))
            } else {
                &mut expression.none
            };
            match expression.evaluator.value(point, &self.results, &out.ctx.env, state) {
                Ok(value) => self.results.push(value),
                Err(error) => {
                    complain(&error.to_string(), out);
                    return false;
                }
            }
        }
        for index in &self.tags {
            let result = &self.results[*index];
            if !matches!(result, Result_::Str(_)) {
                let got = result.go_type();
                let cause = format!("result of a tag expression must be of type string, got {got}");
                complain(&cause, out);
                return false;
            }
        }
        true
    }

    /// Puts the fields and tags of the input that an expression names in the place of earlier results (U-2).
    fn overwrite(&mut self, index: usize, point: &Point) {
        for earlier in &self.expressions[index].overwrites {
            let name = &self.expressions[*earlier].name;
            let field = point.shape.position(name).map(|at| &point.values[at]);
            let of_input = match field {
                Some(FieldValue::Float(number)) => Some(Result_::Float(*number)),
                Some(FieldValue::Int(number)) => Some(Result_::Int(*number)),
                Some(FieldValue::Bool(flag)) => Some(Result_::Bool(*flag)),
                Some(FieldValue::Str(text)) => Some(Result_::Str(Str::clone(text))),
                Some(FieldValue::Duration(nanos)) => Some(Result_::Duration(*nanos)),
                Some(_) => None,
                None => point.series.tag(name).map(|text| Result_::Str(Str::clone(text))),
            };
            if let Some(value) = of_input {
                self.results[*earlier] = value;
            }
        }
    }

    /// The series and the group with the new tags.
    fn retag(
        &mut self,
        point: &Point,
        group: &Arc<Group>,
        moves_group: bool,
        out: &mut Out<'_>,
    ) -> Option<(Arc<Series>, Arc<Group>)> {
        let value_of = |index: &usize| match &self.results[*index] {
            Result_::Str(text) => Str::clone(text),
            _ => Str::default(),
        };
        if let Some(derived) = self.series.get(&point.series.id) {
            let is_same = derived.old_slot == group.slot
                && self.tags.iter().zip(&derived.values).all(|(index, known)| {
                    matches!(&self.results[*index], Result_::Str(text) if **text == **known)
                });
            if is_same {
                return Some((Arc::clone(&derived.series), Arc::clone(&derived.group)));
            }
        }
        let values: Vec<Str> = self.tags.iter().map(value_of).collect();
        let mut tags: Vec<(Str, Str)> =
            point.series.tags().map(|(key, value)| (Str::clone(key), Str::clone(value))).collect();
        for (index, value) in self.tags.iter().zip(&values) {
            let name = &self.expressions[*index].name;
            tags.retain(|(known, _)| known != name);
            tags.push((Str::clone(name), Str::clone(value)));
        }
        let old = &point.series;
        let series = Series::new(
            Str::clone(&old.database),
            Str::clone(&old.retention),
            Str::clone(&old.name),
            tags,
        );
        let new_group = if moves_group {
            let mut key = GroupKey::of(&series, &group.key.dimensions, false);
            key.name.clone_from(&group.key.name);
            if key == group.key { Some(Arc::clone(group)) } else { out.ctx.group(key) }
        } else {
            Some(Arc::clone(group))
        };
        let Some(new_group) = new_group else {
            out.error("too many groups", &series.name, &[]);
            return None;
        };
        if self.series.len() >= SERIES_MAX {
            self.series.clear();
        }
        let derived = Derived {
            values,
            series: Arc::clone(&series),
            group: Arc::clone(&new_group),
            old_slot: group.slot,
        };
        self.series.insert(old.id, derived);
        Some((series, new_group))
    }

    #[inline]
    fn layout(&mut self, shape: &Shape) -> &Arc<Layout> {
        let Running { expressions, tags, keep, layouts, .. } = self;
        layouts.get(shape.id, || Arc::new(Layout::new(expressions, tags, keep, shape)))
    }

    /// Gives on the output for a point whose tags stay, unless it is dropped.
    #[inline]
    fn give(&mut self, point: &Point, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        if !self.evaluate(point, group.slot, out) {
            return Ok(());
        }
        let Running { expressions, tags, keep, layouts, results, made, .. } = self;
        let make = || Arc::new(Layout::new(expressions, tags, keep, &point.shape));
        let layout = layouts.get(point.shape.id, make);
        let made = made.begin(Arc::clone(&point.series), &layout.shape, point.time);
        if let Err(name) = layout.put(point, keep, results, &mut made.values) {
            complain_missing(name, out);
            return Ok(());
        }
        out.point(made, group)
    }

    /// The output for a point, or nothing when it is dropped.
    fn output(
        &mut self,
        point: &Point,
        group: &Arc<Group>,
        moves_group: bool,
        out: &mut Out<'_>,
    ) -> Option<(Point, Arc<Group>)> {
        if !self.evaluate(point, group.slot, out) {
            return None;
        }
        let layout = Arc::clone(self.layout(&point.shape));
        let mut values = Values::new();
        if let Err(name) = layout.put(point, &self.keep, &self.results, &mut values) {
            complain_missing(name, out);
            return None;
        }
        let shape = Arc::clone(&layout.shape);
        let (series, group) = if self.tags.is_empty() {
            (Arc::clone(&point.series), Arc::clone(group))
        } else {
            self.retag(point, group, moves_group, out)?
        };
        Some((Point { series, shape, values, time: point.time }, group))
    }
}

// === impl Layout ===

impl Layout {
    fn new(expressions: &[Expression], tags: &[usize], keep: &Keep, shape: &Shape) -> Self {
        let last_result =
            |name: &str| expressions.iter().rposition(|expression| *expression.name == *name);
        let mut names: Vec<Str> = Vec::new();
        let mut sources = Vec::new();
        let mut missing = None;
        let mut add = |name: &Str, source: Source| {
            if !names.contains(name) {
                names.push(Str::clone(name));
                sources.push(source);
            }
        };
        match keep {
            Keep::Results => {
                for (index, expression) in expressions.iter().enumerate() {
                    let is_last = last_result(&expression.name) == Some(index);
                    if is_last && !tags.contains(&index) {
                        add(&expression.name, Source::Result(index));
                    }
                }
            }
            Keep::All => {
                for (at, name) in shape.names.iter().enumerate() {
                    add(name, last_result(name).map_or(Source::Field(at), Source::Result));
                }
                for expression in expressions {
                    if let Some(index) = last_result(&expression.name) {
                        add(&expression.name, Source::Result(index));
                    }
                }
            }
            Keep::List(kept) => {
                let is_named = |name: &Str| {
                    let mut programs = expressions.iter().map(|e| e.evaluator.program());
                    programs.any(|program| program.references().contains(name))
                };
                for (index_kept, name) in kept.iter().enumerate() {
                    match (last_result(name), shape.position(name)) {
                        (Some(index), _) => add(name, Source::Result(index)),
                        (None, Some(at)) => add(name, Source::Field(at)),
                        // What an expression names is bound, and a tag is bound as a text.
                        (None, None) if is_named(name) => add(name, Source::Tag(index_kept)),
                        (None, None) => missing = missing.or_else(|| Some(Str::clone(name))),
                    }
                }
            }
        }
        Layout { shape: Shape::new(names.into()), sources, missing }
    }

    /// Puts the values of the output into `values`; the error is a field to be kept that is missing.
    #[inline]
    fn put<'l>(
        &'l self,
        point: &Point,
        keep: &'l Keep,
        results: &[Result_],
        values: &mut Values,
    ) -> Result<(), &'l Str> {
        if let Some(name) = &self.missing {
            return Err(name);
        }
        values.reserve(self.sources.len());
        for source in &self.sources {
            values.push(match source {
                Source::Field(at) => point.values[*at].clone(),
                Source::Result(at) => results[*at].clone().into_field().unwrap_or(FieldValue::Null),
                Source::Tag(at) => {
                    let Keep::List(kept) = keep else { continue };
                    let text = point.series.tag(&kept[*at]).ok_or(&kept[*at])?;
                    FieldValue::Str(Str::clone(text))
                }
            });
        }
        Ok(())
    }
}

/// Reports a problem; of a quiet node it is not even counted.
#[cold]
fn complain(cause: &str, out: &mut Out<'_>) {
    if !out.is_quiet() {
        out.error("error evaluating expression", cause, &[]);
    }
}

#[cold]
fn complain_missing(name: &Str, out: &mut Out<'_>) {
    complain(&format!("cannot keep field {name:?}, field does not exist"), out);
}

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        self.seen.entry(group.slot, || ());
        if self.tags.is_empty() {
            return self.give(point, group, out);
        }
        match self.output(point, group, true, out) {
            Some((point, group)) => out.point(&point, &group),
            None => Ok(()),
        }
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        self.seen.entry(batch.group.slot, || ());
        let mut changed = std::mem::take(&mut self.changed);
        for point in batch.points {
            if let Some((point, _)) = self.output(point, batch.group, false, out) {
                changed.push(point);
            }
        }
        let result = out.batch(BatchRef { points: &changed, ..batch });
        changed.clear();
        self.changed = changed;
        result
    }

    fn forget(&mut self, slot: u32) {
        self.seen.remove(slot);
        for expression in self.expressions.iter_mut().filter(|expression| !expression.is_shared) {
            expression.states.remove(slot);
        }
        self.series.retain(|_, derived| derived.old_slot != slot && derived.group.slot != slot);
    }

    fn cardinality(&self) -> usize {
        self.seen.len()
    }

    fn save(&self, writer: &mut Writer<'_>) {
        for expression in &self.expressions {
            writer.states(&expression.states);
        }
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        for expression in &mut self.expressions {
            let program = Arc::clone(expression.evaluator.program());
            expression.states = reader.states_of(&program)?;
        }
        Ok(())
    }
}
