//! `gateway`: writes the event as a point to the gateway of the same process.
//!
//! ```text
//! alert,host=a,level=CRITICAL,task=cpu id="cpu:host=a",message="…",details="…",duration=60000000000i,… 1700000000000000000
//! ```
//! - The event counts as handled when every destination has the point in its queue, as durable as that queue makes it.
//! - Ours: upstream has no such handler.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use levada_codec::line_protocol::{FieldValue, LineError, PointWriter};
use levada_model::Category;

use super::deps::HandlerDeps;
use super::kind::{Kind, Rule, StartError, Trouble};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("gateway"),
    option_kind: "gateway",
    summary: "writes the event as a point to the gateway",
    rules: &[
        Rule::text("category", "category").default("keyevent"),
        Rule::text("measurement", "measurement").default("alert"),
        Rule::text("destination", "destination"),
    ],
    check,
    ..Kind::starting(start)
};

/// Events that are written at once. Ours: each write may wait for a disk.
const EVENTS_MAX: usize = 256;

/// Takes the points of events; the gateway is another domain, so this one says what it needs.
#[async_trait]
pub trait EventPoints: Send + Sync {
    /// Takes lines whose times are nanoseconds; returns when they are as durable as their queues make them.
    ///
    /// - `destination`: empty for what the rules of the gateway say.
    async fn write(
        &self,
        destination: &str,
        category: Category,
        lines: Bytes,
    ) -> Result<(), HandlerError>;
}

/// There is no gateway in this process.
pub struct NoGateway;

struct Gateway {
    category: Category,
    measurement: String,
    destination: String,
    points: Arc<dyn EventPoints>,
}

fn check(spec: &HandlerSpec) -> Result<(), Trouble> {
    category(spec).map(|_| ())
}

fn category(spec: &HandlerSpec) -> Result<Category, Trouble> {
    let name = spec.text("category").unwrap_or_default();
    let is_real = |one: &Category| !matches!(one, Category::Unknown | Category::DynamicDataway);
    let found = Category::of_name(name).or_else(|| Category::of_alias(name)).filter(is_real);
    found.ok_or_else(|| {
        let known: Vec<&str> =
            Category::ALL.into_iter().filter(is_real).map(Category::name).collect();
        Trouble::enable(format!("unknown category {name:?}; known: {}", known.join(", ")))
    })
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    Ok(Arc::new(Gateway {
        category: category(spec)?,
        measurement: spec.owned("measurement"),
        destination: spec.owned("destination"),
        points: Arc::clone(&deps.gateway),
    }))
}

// === impl Gateway ===

impl Gateway {
    /// Appends the line of an event.
    fn push(&self, event: &Event, out: &mut Vec<u8>) -> Result<(), LineError> {
        let own = [
            ("alert_category", &*event.category),
            ("level", event.level.as_str()),
            ("task", &*event.task),
        ];
        let mut tags: Vec<(String, &str)> = own
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        for (key, value) in event.tags() {
            let is_own = own.iter().any(|(known, _)| *known == &**key);
            // Nothing of the event goes missing, and no key is there twice.
            let key = if is_own { format!("tag_{key}") } else { key.to_string() };
            if !value.is_empty() && !tags.iter().any(|(known, _)| *known == key) {
                tags.push((key, value));
            }
        }
        tags.sort_unstable();
        let mut point = PointWriter::begin(out, &self.measurement)?;
        // A tag that no line can carry, such as one that ends in a backslash, is a field: an alert never stays here for that.
        let mut others = Vec::new();
        for (key, value) in &tags {
            if point.tag(key, value).is_err() {
                others.push((key, value));
            }
        }
        point.field("id", FieldValue::Str(&event.id))?;
        point.field("message", FieldValue::Str(&event.message))?;
        let details = event.details.text();
        if !details.is_empty() {
            point.field("details", FieldValue::Str(details))?;
        }
        point.field("duration", FieldValue::Int(event.duration))?;
        point.field("previous_level", FieldValue::Str(event.previous_level.as_str()))?;
        point.field("recoverable", FieldValue::Bool(event.is_recoverable))?;
        if !event.name().is_empty() {
            point.field("name", FieldValue::Str(event.name()))?;
        }
        for (key, value) in others {
            if let Err(error) = point.field(key, FieldValue::Str(value)) {
                tracing::warn!(event = %event.id, %error, "a tag of an alert has a name that no line can carry");
            }
        }
        point.finish(Some(event.time.0))
    }

    async fn write(&self, events: &[&Event]) -> Result<(), HandlerError> {
        let mut lines = Vec::new();
        for event in events {
            self.push(event, &mut lines).map_err(|error| {
                HandlerError::new("failed to make a point of the event")
                    .with("error", error.to_string())
                    .finally()
            })?;
        }
        self.points.write(&self.destination, self.category, lines.into()).await
    }
}

#[async_trait]
impl Handler for Gateway {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.write(&[event]).await
    }

    fn events_max(&self) -> usize {
        EVENTS_MAX
    }

    async fn handle_all(&self, events: &[&Event]) -> Result<(), HandlerError> {
        self.write(events).await
    }
}

#[async_trait]
impl EventPoints for NoGateway {
    async fn write(&self, _: &str, _: Category, _: Bytes) -> Result<(), HandlerError> {
        let text = "no gateway runs in this process; name its destinations in the section `[gateway]` of levada.toml";
        Err(HandlerError::new(text).finally())
    }
}
