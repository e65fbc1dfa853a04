//! `httpOut`: serves the last item of each group.

use std::sync::Arc;

use levada_alert::rows::{Row, write_result};
use levada_model::{Batch, BatchRef, FieldValue, Group, Point};
use levada_tick::script::Value;

use crate::property::Text;
use crate::property::types::{exactly, text, text_argument};
use crate::runtime::node::Served;
use crate::runtime::{
    Barrier, Node, Out, PerGroup, Reader, StartContext, StateError, Step, Writer,
};
use crate::spec::{EdgeRule, Kind, Spec};
use crate::spec_json;

/// `|httpOut('endpoint')`
#[derive(Clone, Debug, Default)]
pub struct HttpOut {
    endpoint: Text,
}

crate::properties! { HttpOut { "endpoint" => endpoint } }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "httpOut",
    type_name: "HTTPOutNode",
    desc: "http_out",
    json_type: "httpOut",
    summary: "serves the last item of each group",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        let [endpoint] = exactly::<1>(args)?;
        let endpoint = Text(text_argument(endpoint)?);
        builder.add(parent, Box::new(HttpOut { endpoint }))
    },
    empty: || Box::new(HttpOut::default()),
};

struct Running {
    endpoint: String,
    groups: PerGroup<Entry>,
    /// Counts the groups that came, so that they are served in this order.
    created: u64,
}

/// What is served of one group.
struct Entry {
    created: u64,
    last: Last,
}

enum Last {
    /// Only a barrier has come.
    Nothing,
    Point(Point),
    Batch(Batch),
}

const NOTHING: u64 = 0;
const POINT: u64 = 1;
const BATCH: u64 = 2;

// === impl HttpOut ===

impl HttpOut {
    /// Gives the end of the path that it serves.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint.0
    }
}

impl Spec for HttpOut {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    // The endpoint is an argument and no property.
    fn has_property(&self, _name: &str) -> bool {
        false
    }

    fn set(
        &mut self,
        name: &str,
        _args: Vec<Value>,
    ) -> Result<crate::spec::Set, levada_tick::script::CallError> {
        Err(levada_tick::script::CallError::Call(format!("no property {name}")))
    }

    fn read(&self, _name: &str) -> Option<Value> {
        None
    }

    fn calls(&self) -> Vec<crate::property::PropertyCall> {
        Vec::new()
    }

    fn boxed_clone(&self) -> Box<dyn Spec> {
        Box::new(self.clone())
    }

    spec_json!();

    fn args(&self) -> Vec<Value> {
        vec![text(&self.endpoint.0)]
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        Ok(Box::new(Running {
            endpoint: self.endpoint.0.clone(),
            groups: PerGroup::default(),
            created: 0,
        }))
    }
}

// === impl Last ===

impl Last {
    fn points(&self) -> &[Point] {
        match self {
            Last::Nothing => &[],
            Last::Point(point) => std::slice::from_ref(point),
            Last::Batch(batch) => &batch.points,
        }
    }

    fn row(&self) -> Option<Row<'_>> {
        match self {
            Last::Nothing => None,
            Last::Point(point) => Some(Row::Point(point)),
            Last::Batch(batch) => Some(Row::Batch(batch.as_ref())),
        }
    }

    /// The points that count as held back: those of batches, for one point per group is state like any other.
    fn held(&self) -> usize {
        match self {
            Last::Batch(batch) => batch.points.len(),
            Last::Nothing | Last::Point(_) => 0,
        }
    }
}

// === impl Running ===

impl Running {
    fn entry(&mut self, slot: u32) -> &mut Entry {
        let created = &mut self.created;
        self.groups.entry(slot, || {
            *created += 1;
            Entry { created: *created, last: Last::Nothing }
        })
    }

    fn in_order(&self) -> Vec<(u32, &Entry)> {
        let mut entries: Vec<_> = self.groups.iter().collect();
        entries.sort_unstable_by_key(|(_, entry)| entry.created);
        entries
    }

    fn body(&self) -> Result<Vec<u8>, String> {
        let entries = self.in_order();
        for (_, entry) in &entries {
            let values = entry.last.points().iter().flat_map(|point| &point.values);
            if let Some(problem) = values.filter_map(unsupported).next() {
                return Err(format!("json: unsupported value: {problem}"));
            }
        }
        let mut body = Vec::new();
        write_result(entries.iter().map(|(_, entry)| entry.last.row()), &mut body);
        Ok(body)
    }
}

/// Names a value that JSON does not know, as Go does.
fn unsupported(value: &FieldValue) -> Option<&'static str> {
    match value {
        FieldValue::Float(number) if number.is_nan() => Some("NaN"),
        FieldValue::Float(number) if *number == f64::INFINITY => Some("+Inf"),
        FieldValue::Float(number) if *number == f64::NEG_INFINITY => Some("-Inf"),
        _ => None,
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
        self.entry(group.slot).last = Last::Point(point.clone());
        out.point(point, group)
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        let entry = self.entry(batch.group.slot);
        out.ctx.let_go(entry.last.held());
        if out.ctx.hold(batch.points.len()) {
            entry.last = Last::Batch(batch.to_owned());
        } else {
            // What is no longer the last item is not served as if it were.
            entry.last = Last::Nothing;
            out.error("too many buffered points", "the batch is not served", &[]);
        }
        out.batch(batch)
    }

    fn barrier(&mut self, _input: usize, barrier: &Barrier, out: &mut Out<'_>) -> Step {
        // Upstream: a group that begins with a barrier is there, as null.
        self.entry(barrier.group.slot);
        out.barrier(barrier)
    }

    fn delete(&mut self, _input: usize, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        if let Some(entry) = self.groups.remove(group.slot) {
            out.ctx.let_go(entry.last.held());
        }
        out.delete(group)
    }

    fn forget(&mut self, slot: u32) {
        self.groups.remove(slot);
    }

    fn restored(&mut self, out: &mut Out<'_>) {
        out.ctx.held += self.buffered();
    }

    fn cardinality(&self) -> usize {
        self.groups.len()
    }

    fn buffered(&self) -> usize {
        self.groups.iter().map(|(_, entry)| entry.last.held()).sum()
    }

    fn served(&self) -> Option<Served> {
        Some(Served { endpoint: self.endpoint.clone(), body: self.body() })
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.uint(self.created);
        writer.per_group(&self.groups, |writer, entry| {
            writer.uint(entry.created);
            match &entry.last {
                Last::Nothing => writer.uint(NOTHING),
                Last::Point(point) => {
                    writer.uint(POINT);
                    writer.point(point);
                }
                Last::Batch(batch) => {
                    writer.uint(BATCH);
                    writer.text(&batch.name);
                    writer.time(batch.time);
                    writer.list(batch.points.iter(), Writer::point);
                }
            }
        });
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.created = reader.uint()?;
        self.groups = reader.per_group(|reader, group| {
            let created = reader.uint()?;
            let last = match reader.uint()? {
                NOTHING => Last::Nothing,
                POINT => Last::Point(reader.point()?),
                BATCH => Last::Batch(Batch {
                    name: reader.str()?,
                    group: Arc::clone(group),
                    time: reader.time()?,
                    points: reader.list(Reader::point)?,
                }),
                value => return Err(StateError::Unknown { what: "item", value }),
            };
            Ok(Entry { created, last })
        })?;
        Ok(())
    }
}
