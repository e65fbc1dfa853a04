//! Points between the engine and the messages of functions.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_codec::udf::{Begin, End, Fields, OptionValue, Point as WirePoint, Request, Tags};
use levada_model::{
    BatchRef, FieldValue, Group, GroupKey, Point, Series, Shape, Str, Timestamp, Values,
};
use levada_tick::script::Value;

use super::link::Given;
use crate::engine::OwnedBatch;

/// Series and shapes of one function that are remembered.
const REMEMBERED: usize = 10_000;

/// Turns an argument of an option into what the function is told.
pub(crate) fn option_value(value: &Value) -> Option<OptionValue> {
    Some(match value {
        Value::Bool(flag) => OptionValue::Bool(*flag),
        Value::Int(number) => OptionValue::Int(*number),
        Value::Float(number) => OptionValue::Double(*number),
        Value::Str(text) => OptionValue::String(text.to_string()),
        Value::Duration(nanos) => OptionValue::Duration(*nanos),
        _ => return None,
    })
}

/// Appends the message of a point of a stream; gives the fields that the messages have no place for.
pub(crate) fn wire_point<'p>(
    point: &'p Point,
    group: &Group,
    out: &mut Vec<u8>,
) -> Option<(&'p Str, &'p FieldValue)> {
    let series = &*point.series;
    let (fields, lost) = wire_fields(point);
    let message = WirePoint {
        time: point.time.0,
        name: Str::clone(&series.name),
        database: Str::clone(&series.database),
        retention: Str::clone(&series.retention),
        group: Str::clone(&group.id),
        dimensions: group.key.dimensions.to_vec(),
        tags: wire_tags(series.tags()),
        fields,
        by_name: group.key.name.is_some(),
    };
    Request::Point(message).append(out);
    lost
}

/// Appends the messages of a batch; gives the first field that the messages have no place for.
pub(crate) fn wire_batch<'p>(
    batch: BatchRef<'p>,
    out: &mut Vec<u8>,
) -> Option<(&'p Str, &'p FieldValue)> {
    let key = &batch.group.key;
    let tags = wire_tags(key.tags());
    let begin = Begin {
        name: Str::clone(batch.name),
        group: Str::clone(&batch.group.id),
        tags: tags.clone(),
        size: batch.points.len() as i64,
        by_name: key.name.is_some(),
    };
    Request::Begin(begin).append(out);
    let mut lost = None;
    for point in batch.points {
        let (fields, lost_here) = wire_fields(point);
        lost = lost.or(lost_here);
        let message = WirePoint {
            time: point.time.0,
            group: Str::clone(&batch.group.id),
            tags: wire_tags(point.series.tags()),
            fields,
            ..WirePoint::default()
        };
        Request::Point(message).append(out);
    }
    let end = End {
        name: Str::clone(batch.name),
        group: Str::clone(&batch.group.id),
        tmax: batch.time.0,
        tags,
        by_name: key.name.is_some(),
    };
    Request::End(end).append(out);
    lost
}

fn wire_tags<'t>(tags: impl Iterator<Item = (&'t Str, &'t Str)>) -> Tags {
    tags.map(|(name, value)| (Str::clone(name), Str::clone(value))).collect()
}

/// The fields in the order of their names; a null is left out as if the point did not have it.
fn wire_fields(point: &Point) -> (Fields, Option<(&Str, &FieldValue)>) {
    let (mut fields, mut lost) = (Fields::with_capacity(point.values.len()), None);
    for (name, value) in point.fields() {
        let value = match value {
            FieldValue::Float(_)
            | FieldValue::Int(_)
            | FieldValue::Str(_)
            | FieldValue::Bool(_) => value.clone(),
            FieldValue::UInt(number) if i64::try_from(*number).is_ok() => {
                FieldValue::Int(*number as i64)
            }
            FieldValue::Null => continue,
            FieldValue::UInt(_) | FieldValue::Bytes(_) | FieldValue::Duration(_) => {
                lost = lost.or(Some((name, value)));
                continue;
            }
        };
        fields.push((Str::clone(name), value));
    }
    (fields, lost)
}

/// Makes points of messages; remembers series and shapes, so that the nodes behind know them again.
#[derive(Default)]
pub(super) struct Converter {
    series: HashMap<SeriesName, Arc<Series>, RandomState>,
    shapes: HashMap<Vec<Str>, Arc<Shape>, RandomState>,
    dimensions: Option<Arc<[Str]>>,
}

/// Database, retention policy, measurement, tags.
type SeriesName = (Str, Str, Str, Tags);

// === impl Converter ===

impl Converter {
    /// Makes a point of a stream, and its group, of what its dimensions say.
    pub(super) fn point(&mut self, message: WirePoint) -> Given {
        let WirePoint {
            time, name, database, retention, dimensions, tags, fields, by_name, ..
        } = message;
        let dimensions = self.dimensions(dimensions);
        let point = self.make(time, (database, retention, name, tags), fields);
        let key = GroupKey::of(&point.series, &dimensions, by_name);
        Given::Point(point, key)
    }

    /// Makes a point of a batch.
    pub(super) fn point_of(&mut self, begin: &Begin, message: WirePoint) -> Point {
        let WirePoint { time, tags, fields, .. } = message;
        let empty = || Str::from("");
        self.make(time, (empty(), empty(), Str::clone(&begin.name), tags), fields)
    }

    /// Makes a batch: its group are the tags of its end, and whether the name belongs to it is said by its begin.
    pub(super) fn batch(&mut self, begin: &Begin, points: Vec<Point>, end: End) -> Given {
        let tags = unique(end.tags);
        let (names, values): (Vec<Str>, Vec<Str>) = tags.into_iter().unzip();
        let key = GroupKey {
            name: begin.by_name.then(|| Str::clone(&begin.name)),
            dimensions: self.dimensions(names),
            values: values.into(),
        };
        let name = Str::clone(&begin.name);
        Given::Batch(OwnedBatch { name, key, time: Timestamp(end.tmax), points })
    }

    fn make(&mut self, time: i64, series: SeriesName, fields: Fields) -> Point {
        let fields = unique(fields);
        let (names, values): (Vec<Str>, Values) = fields.into_iter().unzip();
        Point {
            series: self.series(series),
            shape: self.shape(names),
            values,
            time: Timestamp(time),
        }
    }

    fn series(&mut self, name: SeriesName) -> Arc<Series> {
        if let Some(known) = self.series.get(&name) {
            return Arc::clone(known);
        }
        if self.series.len() >= REMEMBERED {
            self.series.clear();
        }
        let (database, retention, measurement, tags) = name.clone();
        let series = Series::new(database, retention, measurement, tags);
        self.series.insert(name, Arc::clone(&series));
        series
    }

    fn shape(&mut self, names: Vec<Str>) -> Arc<Shape> {
        if let Some(known) = self.shapes.get(&names) {
            return Arc::clone(known);
        }
        if self.shapes.len() >= REMEMBERED {
            self.shapes.clear();
        }
        let shape = Shape::new(names.clone().into());
        self.shapes.insert(names, Arc::clone(&shape));
        shape
    }

    fn dimensions(&mut self, mut names: Vec<Str>) -> Arc<[Str]> {
        names.sort();
        names.dedup();
        match &self.dimensions {
            Some(known) if known[..] == names[..] => Arc::clone(known),
            _ => {
                let names: Arc<[Str]> = names.into();
                self.dimensions = Some(Arc::clone(&names));
                names
            }
        }
    }
}

/// Sorts by name; of two with one name the last stays, as it does in a map.
fn unique<T>(mut entries: Vec<(Str, T)>) -> Vec<(Str, T)> {
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    let mut kept: Vec<(Str, T)> = Vec::with_capacity(entries.len());
    for entry in entries {
        match kept.last_mut() {
            Some(last) if last.0 == entry.0 => *last = entry,
            _ => kept.push(entry),
        }
    }
    kept
}
