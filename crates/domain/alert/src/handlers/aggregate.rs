//! `aggregate`: sends one event for all of an interval to another topic.

use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use levada_model::{Str, Timestamp};
use levada_template::{StructLike, Template, Value};

use super::deps::HandlerDeps;
use super::kind::{Kind, Place, Rule, Shape, StartError, Trouble};
use super::spec::HandlerSpec;
use crate::event::{Details, Event, EventData, HOPS_MAX};
use crate::level::Level;
use crate::topics::{Handler, HandlerError, WeakTopics};

/// Events of one interval whose messages and points are kept; further ones are counted only. Ours.
const EVENTS_MAX: usize = 10_000;

pub(super) static KIND: Kind = Kind {
    option_kind: "aggregate",
    summary: "sends one event for all of an interval to another topic",
    rules: &[
        Rule::text("id", "id").at(Place::Options),
        Rule::new(Shape::Duration, "interval", "interval").at(Place::Options),
        Rule::text("topic", "topic").at(Place::Options),
        Rule::text("message", "message")
            .at(Place::Options)
            .default("Received {{ .Count }} events in the last {{.Interval}}."),
    ],
    check,
    ..Kind::starting(start)
};

struct Aggregate {
    topics: WeakTopics,
    topic: Str,
    id: Str,
    interval: i64,
    message: Template,
    gathered: Mutex<Gathered>,
}

/// The events of an interval.
#[derive(Default)]
struct Gathered {
    count: i64,
    level: Level,
    time: Timestamp,
    duration: i64,
    hops: u8,
    messages: Vec<Str>,
    data: Vec<EventData>,
}

/// What the message sees.
struct Summary {
    count: i64,
    interval: i64,
}

fn check(spec: &HandlerSpec) -> Result<(), Trouble> {
    // Differs: upstream crashes without an interval.
    if spec.duration("interval").is_none_or(|interval| interval <= 0) {
        return Err(Trouble::define("aggregate interval must be positive"));
    }
    if spec.text("topic").is_none() {
        return Err(Trouble::define("aggregate topic must not be empty"));
    }
    message(spec).map(drop)
}

fn message(spec: &HandlerSpec) -> Result<Template, Trouble> {
    let text = spec.text("message").unwrap_or_default();
    Template::text("message", text).map_err(|error| Trouble::enable(error.to_string()))
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let Some(topics) = deps.topics.clone() else {
        return Err(Trouble::enable("there are no topics to publish to").into());
    };
    // Differs: upstream leaves the ID empty, and the state of such an event cannot be stored.
    let id = spec.text("id").map_or_else(|| deps.handler_id.clone(), Str::from);
    if id.is_empty() {
        return Err(Trouble::enable("aggregate id must not be empty").into());
    }
    Ok(Arc::new(Aggregate {
        topics,
        topic: spec.text("topic").unwrap_or_default().into(),
        id,
        interval: spec.duration("interval").unwrap_or_default(),
        message: message(spec)?,
        gathered: Mutex::default(),
    }))
}

// === impl Gathered ===

impl Gathered {
    fn add(&mut self, event: &Event) {
        self.level = self.level.max(event.level);
        self.time = if self.count == 0 { event.time } else { self.time.max(event.time) };
        self.duration = self.duration.max(event.duration);
        self.hops = self.hops.max(event.hops);
        self.count += 1;
        if self.messages.len() < EVENTS_MAX {
            self.messages.push(event.message.clone());
            self.data.push(event.data.clone());
        }
    }
}

impl Aggregate {
    fn event(&self, gathered: Gathered) -> Result<Event, HandlerError> {
        let mut message = String::new();
        let summary = Summary { count: gathered.count, interval: self.interval };
        let rendered = self.message.execute(&Value::Struct(&summary), &mut message);
        rendered.map_err(|error| HandlerError::new(error.to_string()))?;
        let messages = gathered.messages;
        Ok(Event {
            id: self.id.clone(),
            message: message.into(),
            details: Details::lazy(move || messages.join("\n")),
            time: gathered.time,
            duration: gathered.duration,
            level: gathered.level,
            previous_level: Level::Ok,
            is_recoverable: false,
            task: "".into(),
            category: "".into(),
            group: "".into(),
            data: EventData::Many(gathered.data.into()),
            hops: gathered.hops + 1,
        })
    }
}

#[async_trait]
impl Handler for Aggregate {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        if event.hops >= HOPS_MAX {
            return Err(HandlerError::new(format!(
                "event was published {HOPS_MAX} times; the topics form a circle"
            )));
        }
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner).add(event);
        Ok(())
    }

    fn interval(&self) -> Option<Duration> {
        Some(Duration::from_nanos(self.interval.unsigned_abs()))
    }

    async fn tick(&self) -> Result<(), HandlerError> {
        let gathered = take(&mut *self.gathered.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(topics) = self.topics.upgrade().filter(|_| gathered.count > 0) else {
            return Ok(());
        };
        topics.room(&self.topic).await;
        let published = topics.publish(&self.topic, self.event(gathered)?);
        published.error_text(&self.id).map_or(Ok(()), |text| Err(HandlerError::new(text)))
    }
}

impl StructLike for Summary {
    fn type_name(&self) -> &'static str {
        "alert.aggregateData"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Count", "Interval"]
    }

    fn field(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "Count" => Some(Value::Int(self.count)),
            "Interval" => Some(Value::Duration(self.interval)),
            _ => None,
        }
    }
}
