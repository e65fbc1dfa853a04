//! Groups of points: the dimensions that a node computes by.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::point::{Point, Series};
use crate::value::Str;

/// What makes two points one group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupKey {
    /// The measurement when the grouping is by name, too.
    pub name: Option<Str>,
    /// The dimensions, sorted.
    pub dimensions: Arc<[Str]>,
    /// One value per dimension; empty where a point has no such tag.
    pub values: Box<[Str]>,
}

/// A group, interned once per task.
#[derive(Debug)]
pub struct Group {
    /// The place of the group in the tables of its task: small numbers, used again after the group is gone.
    pub slot: u32,
    /// What it stands for.
    pub key: GroupKey,
    /// The text that templates and JSON show: `host=a,region=b`, the measurement before it when grouped by name.
    pub id: Str,
}

// === impl GroupKey ===

impl GroupKey {
    /// Gives the key of all points together.
    pub fn ungrouped() -> Self {
        GroupKey { name: None, dimensions: Arc::from([]), values: Box::from([]) }
    }

    /// Gives the key of a series under some dimensions.
    pub fn of(series: &Series, dimensions: &Arc<[Str]>, by_name: bool) -> Self {
        let empty: Str = Arc::from("");
        let values = dimensions
            .iter()
            .map(|name| series.tag(name).cloned().unwrap_or_else(|| Arc::clone(&empty)))
            .collect();
        GroupKey {
            name: by_name.then(|| Arc::clone(&series.name)),
            dimensions: Arc::clone(dimensions),
            values,
        }
    }

    /// Gives the text of the group.
    ///
    /// Differs: nothing; values that hold `,` or `=` may give two groups one text, which is why the text is for display
    /// only.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(name) = &self.name {
            text.push_str(name);
            if !self.dimensions.is_empty() {
                text.push('\n');
            }
        }
        for (index, (name, value)) in self.tags().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(text, "{comma}{name}={value}").ok();
        }
        text
    }

    /// Gives dimensions and values.
    pub fn tags(&self) -> impl Iterator<Item = (&Str, &Str)> {
        self.dimensions.iter().zip(self.values.iter())
    }

    /// Gives the value of a dimension.
    pub fn tag(&self, name: &str) -> Option<&Str> {
        self.dimensions.iter().position(|known| &**known == name).map(|at| &self.values[at])
    }
}

/// Points of one group that belong together: what a window or a query gives.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The measurement.
    pub name: Str,
    /// Dimensions, tags and the `byName` flag of the batch.
    pub group: Arc<Group>,
    /// The time of the batch (`tmax`).
    pub time: crate::Timestamp,
    /// The points; each has all of its tags.
    pub points: Vec<Point>,
}

/// A batch whose points are somebody else's.
#[derive(Clone, Copy, Debug)]
pub struct BatchRef<'p> {
    /// The measurement.
    pub name: &'p Str,
    /// Dimensions, tags and the `byName` flag of the batch.
    pub group: &'p Arc<Group>,
    /// The time of the batch (`tmax`).
    pub time: crate::Timestamp,
    /// The points; each has all of its tags.
    pub points: &'p [Point],
}

// === impl Batch ===

impl Batch {
    /// Lends the batch.
    pub fn as_ref(&self) -> BatchRef<'_> {
        BatchRef { name: &self.name, group: &self.group, time: self.time, points: &self.points }
    }
}

impl BatchRef<'_> {
    /// Copies the points.
    pub fn to_owned(self) -> Batch {
        Batch {
            name: Arc::clone(self.name),
            group: Arc::clone(self.group),
            time: self.time,
            points: self.points.to_vec(),
        }
    }
}
