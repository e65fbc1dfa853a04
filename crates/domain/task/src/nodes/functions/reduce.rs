//! Functions that make one result of many points.
//!
//! A reduction spans a batch, a window that is folded, or, on streams, the points of a group with one time. Its type
//! follows from the first point that it can use.

use std::sync::Arc;

use levada_model::{BatchRef, FieldValue, Group, Point, Str, Timestamp};

use super::output::Output;
use super::trouble::{Trouble, Troubles, Type, Words};
use super::{Arguments, Start};
use crate::nodes::derived::FieldAt;
use crate::runtime::{Context, Node, Out, PerGroup, Reader, StateError, Step, Writer};
use crate::spec::Edge;

/// A function on many points: what it knows of them so far.
pub(super) trait Reduction: Sized + Send + 'static {
    /// What of the points the result may need.
    const KEEPS: Keeps;

    /// The result of a batch without usable points.
    const EMPTY: Option<FieldValue> = None;

    /// Begins with the type of a value, which is added after that; `None` when it does not work on the type.
    fn begin(arguments: &Arguments, value: &FieldValue) -> Option<Self>;

    /// Gives the type of its values.
    fn value_type(&self) -> Type;

    /// Adds a value; `index` numbers the usable points.
    fn add(&mut self, value: &FieldValue, time: Timestamp, index: usize) -> Added;

    /// Gives the result.
    fn finish(self, arguments: &Arguments) -> Finished;

    /// Appends its state.
    fn save(&self, writer: &mut Writer<'_>);

    /// Reads its state.
    fn load(arguments: &Arguments, reader: &mut Reader<'_>) -> Result<Self, StateError>;
}

/// What of the points the result may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Nothing.
    Nothing,
    /// The point that was selected last.
    Selected,
    /// The values, which the reduction keeps itself.
    Values,
    /// Every usable point.
    All,
}

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It counts.
    Taken,
    /// Its point is the selected one now.
    Selected,
    /// It has another type.
    Wrong,
}

/// A result.
#[derive(Debug)]
pub(super) enum Finished {
    /// There is none.
    Nothing,
    /// One value.
    Value(FieldValue),
    /// The point that was selected last.
    Selected,
    /// The usable point of this index.
    Point(usize),
    /// A batch.
    Items(Vec<Item>),
    /// There is none, and this is why.
    Failed(String),
}

/// A point of a batch that is a result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) value: FieldValue,
    pub(super) time: Timestamp,
    /// Whether the time stays in any case.
    pub(super) keeps_time: bool,
    /// The point whose tags it has; those of the group otherwise.
    pub(super) index: Option<usize>,
}

/// Makes the node of a function.
pub(super) fn start<R: Reduction>(start: Start<'_>) -> Box<dyn Node> {
    let Start { definition, wants } = start;
    let is_batch = wants == Edge::Batch;
    Box::new(Running::<R> {
        shared: Shared {
            field: FieldAt::new(definition.field()),
            arguments: definition.arguments().clone(),
            uses_point_times: definition.uses_point_times(),
            output: Output::new(definition),
            words: Words {
                function: definition.function().kind.desc,
                field: definition.field().to_owned(),
                aggregate: if is_batch {
                    "failed to aggregate point in batch"
                } else {
                    "failed to aggregate point"
                },
            },
            points: Vec::new(),
        },
        is_batch,
        groups: PerGroup::default(),
        held: 0,
    })
}

struct Running<R> {
    shared: Shared,
    is_batch: bool,
    groups: PerGroup<State<R>>,
    /// Points or values kept from item to item.
    held: usize,
}

/// What all groups share.
struct Shared {
    field: FieldAt,
    arguments: Arguments,
    uses_point_times: bool,
    output: Output,
    words: Words,
    /// Room for the points of a batch.
    points: Vec<Point>,
}

/// What is known of a group.
struct State<R> {
    name: Str,
    /// The name is not that of a point that was folded before the first window closed.
    is_named: bool,
    open: Open<R>,
}

/// A reduction that goes on from item to item: of the points of one time, or of a window that is folded.
struct Open<R> {
    reduction: Option<R>,
    /// Usable points.
    count: usize,
    /// In a box: most functions select nothing, and there is one per group.
    selected: Option<Box<Point>>,
    kept: Vec<Point>,
    /// On streams.
    time: Option<Timestamp>,
    troubles: Troubles,
}

/// Where the points of a reduction are.
struct Points<'p> {
    selected: Option<&'p Point>,
    all: &'p [Point],
    /// The places of the usable ones in `all`; empty when all of them are.
    usable: &'p [u32],
}

// === impl Open ===

impl<R> Default for Open<R> {
    fn default() -> Self {
        Open {
            reduction: None,
            count: 0,
            selected: None,
            kept: Vec::new(),
            time: None,
            troubles: Troubles::default(),
        }
    }
}

impl<R> Open<R> {
    /// Begins anew, with the room it has.
    fn clear(&mut self) {
        self.reduction = None;
        self.count = 0;
        self.selected = None;
        self.kept.clear();
        self.troubles.clear();
    }
}

// === impl State ===

impl<R> State<R> {
    fn rename(&mut self, name: &Str) {
        if *self.name != **name {
            self.name = Str::clone(name);
        }
    }

    fn new(name: &Str, is_named: bool) -> Self {
        State { name: Str::clone(name), is_named, open: Open::default() }
    }
}

// === impl Points ===

impl<'p> Points<'p> {
    fn at(&self, index: usize) -> Option<&'p Point> {
        let place = match self.usable.get(index) {
            Some(place) => *place as usize,
            None => index,
        };
        self.all.get(place)
    }
}

// === impl Shared ===

impl Shared {
    /// Adds a point to a reduction, which it may begin.
    #[inline]
    fn add<R: Reduction>(
        &mut self,
        reduction: &mut Option<R>,
        point: &Point,
        index: usize,
    ) -> Result<Added, Trouble> {
        let value = self.field.value(point);
        let (running, value) = match (reduction.as_mut(), value) {
            (Some(running), Some(value)) => (running, value),
            (None, Some(value)) => {
                let begun = R::begin(&self.arguments, value)
                    .ok_or_else(|| Trouble::NotFor(Type::of(value)))?;
                (reduction.insert(begun), value)
            }
            (Some(_), None) => return Err(Trouble::Missing),
            (None, None) => return Err(Trouble::NoField),
        };
        match running.add(value, point.time, index) {
            Added::Wrong => {
                Err(Trouble::Wrong { got: Type::of(value), expected: running.value_type() })
            }
            added => Ok(added),
        }
    }

    /// Gives the result of a reduction.
    fn emit(
        &mut self,
        name: &Str,
        group: &Arc<Group>,
        finished: Finished,
        points: &Points<'_>,
        time: Timestamp,
        out: &mut Out<'_>,
    ) -> Step {
        let selected = match finished {
            Finished::Nothing => return Ok(()),
            Finished::Value(value) => {
                return out.point(&self.output.of_group(name, group, value, time), group);
            }
            Finished::Items(items) => {
                return self.emit_items(name, group, items, points, time, out);
            }
            Finished::Failed(cause) => {
                out.error("failed to emit the result", &cause, &[]);
                return Ok(());
            }
            Finished::Selected => points.selected,
            Finished::Point(index) => points.at(index),
        };
        let Some(point) = selected else { return Ok(()) };
        let time = if self.uses_point_times { point.time } else { time };
        out.point(&self.output.of_selected(name, point, time), group)
    }

    fn emit_items(
        &mut self,
        name: &Str,
        group: &Arc<Group>,
        items: Vec<Item>,
        points: &Points<'_>,
        time: Timestamp,
        out: &mut Out<'_>,
    ) -> Step {
        let mut given = std::mem::take(&mut self.points);
        let mut latest = time;
        for item in items {
            let keeps_time = self.uses_point_times || item.keeps_time;
            let time = if keeps_time { item.time } else { time };
            latest = latest.max(time);
            let point = item.index.and_then(|index| points.at(index));
            given.push(match point {
                Some(point) => self.output.of_point(name, group, point, item.value, time),
                None => self.output.of_group(name, group, item.value, time),
            });
        }
        let result = out.batch(BatchRef { name, group, time: latest, points: &given });
        given.clear();
        self.points = given;
        result
    }
}

fn empty<R: Reduction>() -> Finished {
    R::EMPTY.map_or(Finished::Nothing, Finished::Value)
}

// === impl Running ===

impl<R: Reduction> Running<R> {
    /// Each usable point takes memory until its result is given.
    const HOLDS: bool = matches!(R::KEEPS, Keeps::Values | Keeps::All);

    /// Adds a point to what is open.
    #[inline]
    fn add(
        shared: &mut Shared,
        held: &mut usize,
        open: &mut Open<R>,
        point: &Point,
        ctx: &mut Context,
    ) -> Result<(), Trouble> {
        if Self::HOLDS && !ctx.hold(1) {
            return Err(Trouble::TooMany);
        }
        let added = shared.add(&mut open.reduction, point, open.count);
        match added {
            Ok(added) => {
                open.count += 1;
                *held += usize::from(Self::HOLDS);
                if R::KEEPS == Keeps::All {
                    open.kept.push(point.clone());
                } else if R::KEEPS == Keeps::Selected && added == Added::Selected {
                    match &mut open.selected {
                        Some(selected) => **selected = point.clone(),
                        none => *none = Some(Box::new(point.clone())),
                    }
                }
                Ok(())
            }
            Err(trouble) => {
                ctx.let_go(usize::from(Self::HOLDS));
                Err(trouble)
            }
        }
    }

    /// Drops what is open.
    fn clear(held: &mut usize, open: &mut Open<R>, ctx: &mut Context) {
        if Self::HOLDS {
            *held -= open.count;
            ctx.let_go(open.count);
        }
        open.clear();
    }

    /// Gives the result of what is open, and opens the next.
    fn emit(
        shared: &mut Shared,
        held: &mut usize,
        state: &mut State<R>,
        group: &Arc<Group>,
        time: Timestamp,
        empty: Finished,
        out: &mut Out<'_>,
    ) -> Step {
        if !state.open.troubles.is_empty() {
            state.open.troubles.report(&shared.words, out);
        }
        let reduction = state.open.reduction.take();
        let finished = reduction.map_or(empty, |reduction| reduction.finish(&shared.arguments));
        let points =
            Points { selected: state.open.selected.as_deref(), all: &state.open.kept, usable: &[] };
        let result = shared.emit(&state.name, group, finished, &points, time, out);
        Running::clear(held, &mut state.open, out.ctx);
        result
    }

    /// Gives the result of the points of one time, if there are any.
    fn flush(
        shared: &mut Shared,
        held: &mut usize,
        state: &mut State<R>,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let Some(time) = state.open.time.take() else { return Ok(()) };
        Running::emit(shared, held, state, group, time, Finished::Nothing, out)
    }
}

impl<R: Reduction> Node for Running<R> {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let Running { shared, groups, held, .. } = self;
        let state = groups.entry(group.slot, || State::new(&point.series.name, true));
        if state.open.time != Some(point.time) {
            Running::flush(shared, held, state, group, out)?;
            state.open.time = Some(point.time);
        }
        if state.open.reduction.is_none() {
            state.rename(&point.series.name);
        }
        if let Err(trouble) = Running::add(shared, held, &mut state.open, point, out.ctx) {
            shared.words.report(trouble, out);
        }
        Ok(())
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        let Running { shared, groups, .. } = self;
        let state = groups.entry(batch.group.slot, || State::new(batch.name, true));
        let mut reduction: Option<R> = None;
        let mut selected = None;
        let mut usable: Vec<u32> = Vec::new();
        let mut count = 0;
        for (place, point) in batch.points.iter().enumerate() {
            match shared.add(&mut reduction, point, count) {
                Ok(added) => {
                    if added == Added::Selected {
                        selected = Some(point);
                    }
                    if R::KEEPS == Keeps::All && (place != count || !usable.is_empty()) {
                        // From the first point that was not usable on, places and numbers differ.
                        if usable.is_empty() {
                            usable.extend(0..count as u32);
                        }
                        usable.push(place as u32);
                    }
                    count += 1;
                }
                Err(trouble) => shared.words.report(trouble, out),
            }
        }
        let finished =
            reduction.map_or(empty::<R>(), |reduction| reduction.finish(&shared.arguments));
        let points = Points { selected, all: batch.points, usable: &usable };
        shared.emit(&state.name, batch.group, finished, &points, batch.time, out)
    }

    fn folds(&self) -> bool {
        self.is_batch && R::KEEPS != Keeps::All
    }

    #[inline]
    fn fold(&mut self, point: &Point, group: &Arc<Group>, is_first: bool, ctx: &mut Context) {
        let Running { shared, groups, held, .. } = self;
        let state = groups.entry(group.slot, || State::new(&point.series.name, false));
        if is_first && (state.open.count > 0 || !state.open.troubles.is_empty()) {
            // Only after a restart that the window did not survive.
            Running::clear(held, &mut state.open, ctx);
        }
        if let Err(trouble) = Running::add(shared, held, &mut state.open, point, ctx) {
            state.open.troubles.add(trouble);
        }
    }

    fn close(&mut self, batch: BatchRef<'_>, is_empty: bool, out: &mut Out<'_>) -> Step {
        let Running { shared, groups, held, .. } = self;
        let state = groups.entry(batch.group.slot, || State::new(batch.name, true));
        if !state.is_named {
            state.rename(batch.name);
            state.is_named = true;
        }
        if is_empty {
            Running::clear(held, &mut state.open, out.ctx);
        }
        Running::emit(shared, held, state, batch.group, batch.time, empty::<R>(), out)
    }

    /// Gives what a stream's groups hold for older times.
    fn watermark(&mut self, time: Timestamp, out: &mut Out<'_>) -> Step {
        let Running { shared, groups, held, .. } = self;
        for (slot, state) in groups.iter_mut() {
            if state.open.time.is_none_or(|open| open >= time) {
                continue;
            }
            let Some(group) = out.ctx.groups.at(slot).map(Arc::clone) else { continue };
            Running::flush(shared, held, state, &group, out)?;
        }
        Ok(())
    }

    fn delete(&mut self, _input: usize, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        let before = self.held;
        self.forget(group.slot);
        out.ctx.let_go(before - self.held);
        out.delete(group)
    }

    fn restored(&mut self, out: &mut Out<'_>) {
        out.ctx.held += self.held;
    }

    fn forget(&mut self, slot: u32) {
        self.shared.output.forget(slot);
        if let Some(state) = self.groups.remove(slot)
            && Self::HOLDS
        {
            self.held -= state.open.count;
        }
    }

    fn cardinality(&self) -> usize {
        self.groups.len()
    }

    fn buffered(&self) -> usize {
        self.held
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.per_group(&self.groups, |writer, state| {
            let open = &state.open;
            writer.text(&state.name);
            writer.bool(state.is_named);
            writer.option(open.reduction.as_ref(), |writer, reduction| reduction.save(writer));
            writer.uint(open.count as u64);
            writer.option(open.selected.as_deref(), |writer, point| writer.point(point));
            writer.list(open.kept.iter(), |writer, point| writer.point(point));
            writer.option(open.time, |writer, time| writer.time(time));
            open.troubles.save(writer);
        });
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        let arguments = &self.shared.arguments;
        let mut held = 0;
        self.groups = reader.per_group(|reader, _| {
            let name = reader.str()?;
            let is_named = reader.bool()?;
            let open = Open {
                reduction: reader.option(|reader| R::load(arguments, reader))?,
                // Damaged bytes must not make counters overflow.
                count: u32::try_from(reader.uint()?).map_err(|_| StateError::Short)? as usize,
                selected: reader.option(Reader::point)?.map(Box::new),
                kept: reader.list(Reader::point)?,
                time: reader.option(Reader::time)?,
                troubles: Troubles::load(reader)?,
            };
            if Self::HOLDS {
                held += open.count;
            }
            Ok(State { name, is_named, open })
        })?;
        self.held = held;
        Ok(())
    }
}
