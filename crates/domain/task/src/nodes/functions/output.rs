//! The points that functions give.

use std::sync::Arc;

use levada_model::{FieldValue, Group, Point, Series, Shape, Str, Timestamp, Values};
use smallvec::smallvec;

use super::spec::InfluxQl;
use crate::nodes::derived::{GroupSeries, Memo, SERIES_MAX, SHAPES_MAX};

/// Makes the points that a function gives.
#[derive(Debug)]
pub(super) struct Output {
    field: Str,
    result: Str,
    /// The shape of points that have the result and nothing else.
    alone: Arc<Shape>,
    keys: GroupSeries,
    renames: Memo<Rename>,
    /// The series of selected points under the name of their group.
    renamed: Memo<Option<Arc<Series>>>,
}

/// How the fields of a selected point become those of the result.
#[derive(Clone, Debug)]
struct Rename {
    shape: Arc<Shape>,
    /// The value that moves, and where it goes.
    replaced: Option<(usize, usize)>,
}

/// The name of a group and its series.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) name: Str,
    series: Option<Arc<Series>>,
}

// === impl Identity ===

impl Identity {
    pub(super) fn new(name: &Str) -> Self {
        Identity { name: Str::clone(name), series: None }
    }

    /// Takes another name.
    pub(super) fn rename(&mut self, name: &Str) {
        if *self.name != **name {
            self.name = Str::clone(name);
            self.series = None;
        }
    }
}

// === impl Output ===

impl Output {
    pub(super) fn new(definition: &InfluxQl) -> Self {
        let result = Str::from(definition.result());
        Output {
            field: Str::from(definition.field()),
            alone: Shape::new(Box::from([Str::clone(&result)])),
            result,
            keys: GroupSeries::default(),
            renames: Memo::new(SHAPES_MAX),
            renamed: Memo::new(SERIES_MAX),
        }
    }

    /// A point with the tags of the group and the result alone.
    pub(super) fn of_group(
        &mut self,
        identity: &mut Identity,
        group: &Group,
        value: FieldValue,
        time: Timestamp,
    ) -> Point {
        let name = &identity.name;
        let series = identity.series.get_or_insert_with(|| self.keys.make(name, group));
        let values: Values = smallvec![value];
        Point { series: Arc::clone(series), shape: Arc::clone(&self.alone), values, time }
    }

    /// A point with the tags of the group and of a point, and the result alone.
    pub(super) fn of_point(
        &mut self,
        name: &Str,
        group: &Group,
        point: &Point,
        value: FieldValue,
        time: Timestamp,
    ) -> Point {
        let has_all = group.key.dimensions.iter().all(|name| point.series.tag(name).is_some());
        let series = if has_all {
            self.series_of(name, point)
        } else {
            // Rare: a dimension that the point has no tag for; the group has it empty.
            let own = point.series.tags().map(|(key, value)| (key.clone(), value.clone()));
            let tags = group.key.tags().map(|(key, value)| (key.clone(), value.clone()));
            let (database, retention) = (Str::from(""), Str::from(""));
            Series::new(database, retention, Str::clone(name), tags.chain(own).collect())
        };
        Point { series, shape: Arc::clone(&self.alone), values: smallvec![value], time }
    }

    /// A point with everything that the selected one has, the field renamed.
    pub(super) fn of_selected(&mut self, name: &Str, point: &Point, time: Timestamp) -> Point {
        let series = self.series_of(name, point);
        let (field, result) = (&self.field, &self.result);
        let rename = self.renames.get(point.shape.id, || Rename::new(&point.shape, field, result));
        let mut values = point.values.clone();
        if let Some((from, to)) = rename.replaced {
            values.swap(from, to);
            values.remove(from);
        }
        Point { series, shape: Arc::clone(&rename.shape), values, time }
    }

    /// The series of a point under another name, without a database.
    fn series_of(&mut self, name: &Str, point: &Point) -> Arc<Series> {
        let series = &point.series;
        let is_same = |known: &Series| {
            known.name == *name && known.database.is_empty() && known.retention.is_empty()
        };
        if is_same(series) {
            return Arc::clone(series);
        }
        let make = || {
            let (keys, values) = (Arc::clone(&series.keys), series.values.clone());
            Series::with_keys(Str::from(""), Str::from(""), Str::clone(name), keys, values)
        };
        match self.renamed.get(series.id, || Some(make())) {
            Some(known) if is_same(known) => Arc::clone(known),
            // Two groups of different names have the series.
            _ => make(),
        }
    }
}

// === impl Rename ===

impl Rename {
    fn new(shape: &Arc<Shape>, field: &Str, result: &Str) -> Self {
        let unchanged = Rename { shape: Arc::clone(shape), replaced: None };
        if field == result {
            return unchanged;
        }
        let Some(from) = shape.position(field) else { return unchanged };
        let mut names = shape.names.to_vec();
        match shape.position(result) {
            // A field of that name is overwritten.
            Some(to) => {
                names.remove(from);
                Rename { shape: Shape::new(names.into()), replaced: Some((from, to)) }
            }
            None => {
                names[from] = Str::clone(result);
                Rename { shape: Shape::new(names.into()), replaced: None }
            }
        }
    }
}
