//! The points that functions give.

use std::sync::Arc;

use levada_model::{FieldValue, Group, Point, Series, Shape, Str, Timestamp};
use smallvec::smallvec;

use super::spec::InfluxQl;
use crate::nodes::derived::{Memo, Renamed, SHAPES_MAX};
use crate::nodes::group_series::GroupSeries;

/// Makes the points that a function gives.
#[derive(Debug)]
pub(super) struct Output {
    field: Str,
    result: Str,
    /// The shape of points that have the result and nothing else.
    alone: Arc<Shape>,
    groups: GroupSeries,
    renames: Memo<Rename>,
    /// The series of selected points under the name of their group.
    renamed: Renamed,
}

/// How the fields of a selected point become those of the result.
#[derive(Clone, Debug)]
struct Rename {
    shape: Arc<Shape>,
    /// The value that moves, and where it goes.
    replaced: Option<(usize, usize)>,
}

// === impl Output ===

impl Output {
    pub(super) fn new(definition: &InfluxQl) -> Self {
        let result = Str::from(definition.result());
        Output {
            field: Str::from(definition.field()),
            alone: Shape::new(Box::from([Str::clone(&result)])),
            result,
            groups: GroupSeries::default(),
            renames: Memo::new(SHAPES_MAX),
            renamed: Renamed::new(),
        }
    }

    /// A point with the tags of the group and the result alone.
    pub(super) fn of_group(
        &mut self,
        name: &Str,
        group: &Group,
        value: FieldValue,
        time: Timestamp,
    ) -> Point {
        let series = self.groups.of(name, group);
        Point { series, shape: Arc::clone(&self.alone), values: smallvec![value], time }
    }

    /// Forgets a group.
    pub(super) fn forget(&mut self, slot: u32) {
        self.groups.forget(slot);
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
            self.renamed.series(name, &point.series)
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
        let series = self.renamed.series(name, &point.series);
        let (field, result) = (&self.field, &self.result);
        let rename = self.renames.get(point.shape.id, || Rename::new(&point.shape, field, result));
        let mut values = point.values.clone();
        if let Some((from, to)) = rename.replaced {
            values.swap(from, to);
            values.remove(from);
        }
        Point { series, shape: Arc::clone(&rename.shape), values, time }
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
