//! `flatten`: makes one point of the points of a group and time, tags becoming part of the names of fields.

mod names;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::time::round;
use levada_model::{BatchRef, Group, Point, Shape, Str, Timestamp, Values};
use levada_tick::script::Value;
use smallvec::SmallVec;

use self::names::Namer;
use super::group_series::GroupSeries;
use super::prefix::Delimiter;
use crate::property::types::exactly;
use crate::property::{Nanos, OptionalFlag, Strings};
use crate::runtime::{
    Barrier, Node, Out, PerGroup, Reader, StartContext, StateError, Step, Writer,
};
use crate::spec::{EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// `|flatten()`
#[derive(Clone, Debug, Default)]
pub struct Flatten {
    on: Strings,
    delimiter: Delimiter,
    tolerance: Nanos,
    drops_names: OptionalFlag,
}

crate::properties! {
    Flatten {
        "on" => on,
        "delimiter" => delimiter,
        "tolerance" => tolerance,
        "dropOriginalFieldName" => drops_names,
    }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "flatten",
    type_name: "FlattenNode",
    desc: "flatten",
    json_type: "flatten",
    summary: "makes one point of the points of a group and time",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        exactly::<0>(args)?;
        builder.add(parent, Box::new(Flatten::default()))
    },
    empty: || Box::new(Flatten::default()),
};

/// Parts of all remembered recipes together.
const RECIPE_PARTS_MAX: usize = 1_000_000;

struct Running {
    tolerance: i64,
    namer: Namer,
    recipes: Recipes,
    series: GroupSeries,
    groups: PerGroup<Bucket>,
    rows: Vec<Point>,
    /// Points let go by [`Node::forget`].
    released: usize,
}

/// The points of one group and time.
struct Bucket {
    group: Arc<Group>,
    /// The measurement of the group's first point.
    name: Str,
    time: Timestamp,
    parts: Vec<Part>,
    /// How many points count against the bound of the task.
    held: usize,
}

/// The fields of one point under their new names.
struct Part {
    shape: Arc<Shape>,
    values: Values,
}

/// How parts of certain shapes become one point.
struct Recipe {
    shape: Arc<Shape>,
    /// Part and place.
    picks: Box<[(u32, u32)]>,
}

#[derive(Default)]
struct Recipes {
    known: HashMap<SmallVec<[u64; 8]>, Arc<Recipe>, RandomState>,
    parts: usize,
    key: SmallVec<[u64; 8]>,
}

// === impl Flatten ===

impl Spec for Flatten {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn validate(&self) -> Result<(), String> {
        if self.tolerance.0 < 0 {
            return Err("tolerance must not be negative".to_owned());
        }
        Ok(())
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        Ok(Box::new(Running {
            tolerance: self.tolerance.0,
            namer: Namer::new(&self.on.0, &self.delimiter.0, self.drops_names.0),
            recipes: Recipes::default(),
            series: GroupSeries::default(),
            groups: PerGroup::default(),
            rows: Vec::new(),
            released: 0,
        }))
    }
}

// === impl Recipes ===

impl Recipes {
    /// Gives how the parts become one point; of two fields with one name the later one counts.
    fn of(&mut self, parts: &[Part]) -> Arc<Recipe> {
        self.key.clear();
        self.key.extend(parts.iter().map(|part| part.shape.id));
        if let Some(known) = self.known.get(self.key.as_slice()) {
            return Arc::clone(known);
        }
        let mut places: HashMap<&Str, usize, RandomState> = HashMap::default();
        let (mut names, mut picks): (Vec<Str>, Vec<(u32, u32)>) = (Vec::new(), Vec::new());
        for (index, part) in parts.iter().enumerate() {
            for (place, name) in part.shape.names.iter().enumerate() {
                let pick = (index as u32, place as u32);
                match places.get(name) {
                    Some(at) => picks[*at] = pick,
                    None => {
                        places.insert(name, names.len());
                        names.push(Str::clone(name));
                        picks.push(pick);
                    }
                }
            }
        }
        let recipe = Arc::new(Recipe { shape: Shape::new(names.into()), picks: picks.into() });
        self.parts += parts.len().max(recipe.picks.len());
        if self.parts > RECIPE_PARTS_MAX {
            self.known.clear();
            self.parts = 0;
        }
        self.known.insert(self.key.clone(), Arc::clone(&recipe));
        recipe
    }
}

// === impl Bucket ===

impl Bucket {
    /// Makes one point of what is there, and begins anew; nothing when there is nothing.
    fn take(&mut self, recipes: &mut Recipes, series: &mut GroupSeries) -> Option<Point> {
        if self.parts.is_empty() {
            return None;
        }
        let series = series.of(&self.name, &self.group);
        let time = self.time;
        // A single part is the point already.
        let point = if let [only] = self.parts.as_mut_slice() {
            let values = mem::take(&mut only.values);
            Point { series, shape: Arc::clone(&only.shape), values, time }
        } else {
            let recipe = recipes.of(&self.parts);
            let pick = |(part, place): &(u32, u32)| {
                self.parts[*part as usize].values[*place as usize].clone()
            };
            let values = recipe.picks.iter().map(pick).collect();
            Point { series, shape: Arc::clone(&recipe.shape), values, time }
        };
        self.parts.clear();
        Some(point)
    }
}

// === impl Running ===

impl Running {
    /// Gives the point of a group that is due.
    fn flush(&mut self, slot: u32, out: &mut Out<'_>) -> Step {
        let Some(bucket) = self.groups.get_mut(slot) else { return Ok(()) };
        out.ctx.let_go(mem::take(&mut bucket.held));
        let group = Arc::clone(&bucket.group);
        match bucket.take(&mut self.recipes, &mut self.series) {
            Some(point) => out.point(&point, &group),
            None => Ok(()),
        }
    }

    /// Gives the bucket of a group; one without data has the time of what comes now.
    fn bucket(&mut self, group: &Arc<Group>, name: &Str, time: Timestamp) -> &mut Bucket {
        self.groups.entry(group.slot, || Bucket {
            group: Arc::clone(group),
            name: Str::clone(name),
            time,
            parts: Vec::new(),
            held: 0,
        })
    }
}

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        let time = round(point.time, self.tolerance);
        if self.bucket(group, &point.series.name, time).time != time {
            self.flush(group.slot, out)?;
            self.bucket(group, &point.series.name, time).time = time;
        }
        let Some(part) = self.namer.part(point, out) else { return Ok(()) };
        if !out.ctx.hold(1) {
            out.error("too many buffered points", &group.id, &[]);
            return Ok(());
        }
        let bucket = self.bucket(group, &point.series.name, time);
        bucket.held += 1;
        bucket.parts.push(part);
        Ok(())
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        let mut rows = mem::take(&mut self.rows);
        let mut bucket = Bucket {
            group: Arc::clone(batch.group),
            name: Str::clone(batch.name),
            time: batch.time,
            parts: Vec::new(),
            held: 0,
        };
        for point in batch.points {
            let time = round(point.time, self.tolerance);
            if time != bucket.time {
                rows.extend(bucket.take(&mut self.recipes, &mut self.series));
                bucket.time = time;
            }
            bucket.parts.extend(self.namer.part(point, out));
        }
        rows.extend(bucket.take(&mut self.recipes, &mut self.series));
        let step = out.batch(BatchRef { points: &rows, ..batch });
        rows.clear();
        self.rows = rows;
        step
    }

    fn barrier(&mut self, _input: usize, barrier: &Barrier, out: &mut Out<'_>) -> Step {
        let slot = barrier.group.slot;
        if self.groups.get(slot).is_some_and(|bucket| barrier.time > bucket.time) {
            self.flush(slot, out)?;
        }
        out.barrier(barrier)
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
        self.series.forget(slot);
    }

    fn restored(&mut self, out: &mut Out<'_>) {
        out.ctx.held += self.buffered();
    }

    fn watermark(&mut self, time: Timestamp, out: &mut Out<'_>) -> Step {
        // What is not older than `time` may still round to a bucket that began before it.
        let time = round(time, self.tolerance);
        let mut due: Vec<(Timestamp, Str, u32)> = self
            .groups
            .iter()
            .filter(|(_, bucket)| bucket.time < time && !bucket.parts.is_empty())
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
        writer.per_group(&self.groups, |writer, bucket| {
            writer.text(&bucket.name);
            writer.time(bucket.time);
            writer.uint(bucket.held as u64);
            writer.list(bucket.parts.iter(), |writer, part| {
                writer.shape(&part.shape);
                for value in &part.values {
                    writer.value(value);
                }
            });
        });
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.groups = reader.per_group(|reader, group| {
            let (name, time) = (reader.str()?, reader.time()?);
            let held = usize::try_from(reader.uint()?).unwrap_or(usize::MAX);
            let parts = reader.list(|reader| {
                let shape = reader.shape()?;
                let mut values = Values::new();
                for _ in 0..shape.names.len() {
                    values.push(reader.value()?);
                }
                Ok(Part { shape, values })
            })?;
            let held = held.min(parts.len());
            Ok(Bucket { group: Arc::clone(group), name, time, parts, held })
        })?;
        Ok(())
    }
}
