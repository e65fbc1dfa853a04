//! What runs.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{BatchRef, FieldValue, Group, GroupKey, Point, Series, Shape, Str};
use levada_template::{MapLike, Template, Value};

use super::Sideload;
use super::files::{Tables, read_folder};
use crate::runtime::services::SideloadSource;
use crate::runtime::{Node, Out, Reader, Services, StateError, Step, Writer};

/// What runs.
pub(super) struct Running {
    source: String,
    templates: Vec<Template>,
    fields: Vec<(Str, FieldValue)>,
    tags: Vec<(Str, Str)>,
    tables: Tables,
    known: HashMap<u64, Arc<Loaded>, RandomState>,
    shapes: HashMap<u64, Arc<Layout>, RandomState>,
    points: Vec<Point>,
}

/// What the points of a series get.
struct Loaded {
    /// With the tags that were loaded.
    series: Arc<Series>,
    /// One per field of the node.
    values: Vec<FieldValue>,
    /// What did not fit its type.
    problems: Vec<String>,
    /// Why the templates gave no keys; the points pass as they are.
    failure: Option<String>,
}

/// The fields of a point with those that are loaded.
struct Layout {
    shape: Arc<Shape>,
    /// The place of each field of the node.
    places: Vec<usize>,
}

/// Series that are remembered.
const SERIES_MAX: usize = 100_000;
/// Shapes that are remembered.
const SHAPES_MAX: usize = 10_000;

/// Gives the tables of a source; files are read here.
pub(super) fn tables(source: &str, services: &dyn Services) -> Result<Tables, String> {
    match services.sideload(source)? {
        SideloadSource::Folder(folder) => read_folder(&folder),
        SideloadSource::Tables(tables) => Ok(tables),
    }
}

// === impl Running ===

impl Running {
    pub(super) fn new(spec: &Sideload, templates: Vec<Template>, tables: Tables) -> Self {
        let fields = spec.fields.0.iter();
        let tags = spec.tags.0.iter();
        Running {
            source: spec.source.0.clone(),
            templates,
            fields: fields.map(|(name, value)| (name.as_str().into(), value.clone())).collect(),
            tags: tags.map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect(),
            tables,
            known: HashMap::default(),
            shapes: HashMap::default(),
            points: Vec::new(),
        }
    }

    fn loaded(&mut self, series: &Arc<Series>) -> Arc<Loaded> {
        if let Some(loaded) = self.known.get(&series.id) {
            return Arc::clone(loaded);
        }
        if self.known.len() >= SERIES_MAX {
            self.known.clear();
        }
        let loaded = Arc::new(self.find(series));
        self.known.insert(series.id, Arc::clone(&loaded));
        loaded
    }

    fn find(&self, series: &Arc<Series>) -> Loaded {
        let mut loaded = Loaded {
            series: Arc::clone(series),
            values: Vec::with_capacity(self.fields.len()),
            problems: Vec::new(),
            failure: None,
        };
        let mut keys = Vec::with_capacity(self.templates.len());
        for template in &self.templates {
            let mut key = String::new();
            match template.execute(&Value::Map(&Tags(series)), &mut key) {
                Ok(()) => keys.push(key),
                Err(error) => {
                    loaded.failure = Some(error.to_string());
                    return loaded;
                }
            }
        }
        for (name, default) in &self.fields {
            let value = match self.look_up(&keys, name) {
                None => default.clone(),
                Some(found) => convert(found, default).unwrap_or_else(|| {
                    loaded.problems.push(problem(name, found, default));
                    default.clone()
                }),
            };
            loaded.values.push(value);
        }
        if !self.tags.is_empty() {
            let own = series.tags().map(|(key, value)| (Str::clone(key), Str::clone(value)));
            let more = self.tags.iter().map(|(name, default)| {
                let found = self.look_up(&keys, name).map(as_text);
                (Str::clone(name), found.unwrap_or_else(|| Str::clone(default)))
            });
            let (database, retention) =
                (Str::clone(&series.database), Str::clone(&series.retention));
            let name = Str::clone(&series.name);
            loaded.series = Series::new(database, retention, name, own.chain(more).collect());
        }
        loaded
    }

    /// The first key that has the name wins.
    fn look_up(&self, keys: &[String], name: &str) -> Option<&FieldValue> {
        keys.iter().find_map(|key| self.tables.get(key)?.get(name))
    }

    fn layout(&mut self, shape: &Arc<Shape>) -> Arc<Layout> {
        if self.shapes.len() >= SHAPES_MAX {
            self.shapes.clear();
        }
        let fields = &self.fields;
        let known = self.shapes.entry(shape.id).or_insert_with(|| {
            let mut names = shape.names.to_vec();
            let places = fields.iter().map(|(name, _)| {
                names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(Str::clone(name));
                    names.len() - 1
                })
            });
            let places = places.collect();
            let is_same = names.len() == shape.names.len();
            let shape = if is_same { Arc::clone(shape) } else { Shape::new(names.into()) };
            Arc::new(Layout { shape, places })
        });
        Arc::clone(known)
    }

    /// Gives the point with what is loaded; `None` when it passes as it is.
    fn enrich(&mut self, point: &Point, out: &mut Out<'_>) -> Option<Point> {
        let loaded = self.loaded(&point.series);
        if let Some(cause) = &loaded.failure {
            out.error("failed to evaluate order template", cause, &[]);
            return None;
        }
        for cause in &loaded.problems {
            out.error("failed to load key", cause, &[]);
        }
        let layout = self.layout(&point.shape);
        let mut values = point.values.clone();
        for (place, value) in layout.places.iter().zip(&loaded.values) {
            match values.get_mut(*place) {
                Some(old) => *old = value.clone(),
                None => values.push(value.clone()),
            }
        }
        Some(Point {
            series: Arc::clone(&loaded.series),
            shape: Arc::clone(&layout.shape),
            values,
            time: point.time,
        })
    }

    /// A tag that is a dimension decides the group.
    fn regroup(&self, point: &Point, group: &Arc<Group>, out: &mut Out<'_>) -> Option<Arc<Group>> {
        let dimensions = &group.key.dimensions;
        if !self.tags.iter().any(|(name, _)| dimensions.contains(name)) {
            return Some(Arc::clone(group));
        }
        let by_name = group.key.name.is_some();
        out.ctx.group(GroupKey::of(&point.series, dimensions, by_name))
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
        let Some(point) = self.enrich(point, out) else { return out.point(point, group) };
        match self.regroup(&point, group, out) {
            Some(group) => out.point(&point, &group),
            None => {
                out.error("too many groups", &point.series.name, &[]);
                Ok(())
            }
        }
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        let mut points = std::mem::take(&mut self.points);
        for point in batch.points {
            let enriched = self.enrich(point, out);
            points.push(enriched.unwrap_or_else(|| point.clone()));
        }
        let result = out.batch(BatchRef { points: &points, ..batch });
        points.clear();
        self.points = points;
        result
    }

    fn reload(&mut self, services: &dyn Services) -> Result<(), String> {
        self.tables = tables(&self.source, services)?;
        self.known.clear();
        Ok(())
    }

    fn forget(&mut self, _slot: u32) {}

    fn cardinality(&self) -> usize {
        0
    }

    // The tables are read when the task starts.
    fn save(&self, _writer: &mut Writer<'_>) {}

    fn load(&mut self, _reader: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}

/// Converts to the type of the default.
///
/// - Source: kapacitor reference §5.16; an integer is an i64 here (U-12).
fn convert(found: &FieldValue, default: &FieldValue) -> Option<FieldValue> {
    Some(match (default, found) {
        (FieldValue::Int(_), FieldValue::Int(number)) => FieldValue::Int(*number),
        (FieldValue::Int(_), FieldValue::Float(number)) => FieldValue::Int(integral(*number)?),
        (FieldValue::Int(_), FieldValue::Str(text)) => FieldValue::Int(text.parse().ok()?),
        (FieldValue::Float(_), FieldValue::Float(number)) => FieldValue::Float(*number),
        (FieldValue::Float(_), FieldValue::Int(number)) => FieldValue::Float(*number as f64),
        (FieldValue::Float(_), FieldValue::Str(text)) => FieldValue::Float(text.parse().ok()?),
        (FieldValue::Bool(_), FieldValue::Bool(flag)) => FieldValue::Bool(*flag),
        (FieldValue::Bool(_), FieldValue::Str(text)) => FieldValue::Bool(match &**text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => true,
            "0" | "f" | "F" | "FALSE" | "false" | "False" => false,
            _ => return None,
        }),
        (FieldValue::Str(_), found) => FieldValue::Str(as_text(found)),
        _ => return None,
    })
}

fn integral(number: f64) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    let fits = number.fract() == 0.0 && (-BOUND..BOUND).contains(&number);
    fits.then_some(number as i64)
}

fn as_text(value: &FieldValue) -> Str {
    match value {
        FieldValue::Str(text) => Str::clone(text),
        FieldValue::Float(number) => {
            let mut text = String::new();
            levada_template::go::float::print(&mut text, *number);
            text.into()
        }
        FieldValue::Int(number) | FieldValue::Duration(number) => number.to_string().into(),
        FieldValue::UInt(number) => number.to_string().into(),
        FieldValue::Bool(flag) => flag.to_string().into(),
        FieldValue::Bytes(bytes) => String::from_utf8_lossy(bytes).into(),
        FieldValue::Null => Str::default(),
    }
}

fn problem(name: &str, found: &FieldValue, default: &FieldValue) -> String {
    let (value, wanted) = (as_text(found), default.go_type());
    format!("{name:?}: cannot convert {} {value:?} to {wanted}", found.go_type())
}

/// The tags of a series, for templates.
struct Tags<'s>(&'s Series);

impl MapLike for Tags<'_> {
    fn type_name(&self) -> &'static str {
        "models.Tags"
    }

    fn element_type(&self) -> &'static str {
        "string"
    }

    fn len(&self) -> usize {
        self.0.values.len()
    }

    fn get(&self, key: &str) -> Option<Value<'_>> {
        self.0.tag(key).map(|value| Value::text(&**value))
    }

    fn entry(&self, index: usize) -> (&str, Value<'_>) {
        (&self.0.keys.names[index], Value::text(&*self.0.values[index]))
    }
}
