//! What an alert tells topics and handlers.

mod stored;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use levada_model::{Batch, FieldValue, Point, Str, Timestamp};

use crate::info::{AlertInfo, ServerInfo};
use crate::json::{write_int, write_key, write_text, write_time};
use crate::level::Level;
use crate::rows::{Row, write_result};
pub(crate) use stored::StoredEvent;

/// How often an event may be published again by `publish` and `aggregate` handlers. Ours: upstream has no loop protection.
pub const HOPS_MAX: u8 = 16;

/// One event. Cloning copies counters, no text.
#[derive(Clone, Debug)]
pub struct Event {
    /// What the event is about: the rendered `.id()`.
    pub id: Str,
    /// The rendered `.message()`.
    pub message: Str,
    /// The rendered `.details()`, made when somebody reads it.
    pub details: Details,
    /// The time of the point, or of the batch.
    pub time: Timestamp,
    /// Nanoseconds since the group was last OK.
    pub duration: i64,
    /// The level now.
    pub level: Level,
    /// The level that the *topic* knew before; it is set there.
    pub previous_level: Level,
    /// Whether a recovery may follow.
    pub is_recoverable: bool,
    /// The task.
    pub task: Str,
    /// The category that inhibitors name.
    pub category: Str,
    /// The group as templates show it: `host=a`, or `nil`.
    pub group: Str,
    /// The points.
    pub data: EventData,
    /// How often it was published again.
    pub hops: u8,
}

/// The points of an event.
#[derive(Clone, Debug, Default)]
pub enum EventData {
    /// No points.
    #[default]
    None,
    /// One point of a stream.
    Point(Arc<Point>),
    /// A batch, and the place of the point whose fields the event shows.
    Batch(Arc<Batch>, usize),
    /// The points of several events.
    Many(Arc<[EventData]>),
}

/// A text that is made when it is first read, once for all who share it.
#[derive(Clone)]
pub struct Details(Arc<Lazy>);

struct Lazy {
    text: OnceLock<Str>,
    /// Taken when the text is made, so that what it holds is let go.
    make: Mutex<Option<Make>>,
    /// For default details the server that they name: the event says the rest.
    server: Option<Arc<ServerInfo>>,
}

type Make = Box<dyn FnOnce() -> String + Send>;

// === impl Details ===

impl Details {
    /// Keeps a way to make the text.
    pub fn lazy(make: impl FnOnce() -> String + Send + 'static) -> Self {
        Details::made_by(Box::new(make), None)
    }

    /// Keeps a way to make the default text, which [`AlertInfo::of_event`] gives again of the same event.
    pub fn default_lazy(
        server: Arc<ServerInfo>,
        make: impl FnOnce() -> String + Send + 'static,
    ) -> Self {
        Details::made_by(Box::new(make), Some(server))
    }

    fn made_by(make: Make, server: Option<Arc<ServerInfo>>) -> Self {
        Details(Arc::new(Lazy { text: OnceLock::new(), make: Mutex::new(Some(make)), server }))
    }

    /// Gives the server that default details name; nothing for others.
    fn default_server(&self) -> Option<&Arc<ServerInfo>> {
        self.0.server.as_ref()
    }

    /// Gives the text, and lets go of what made it.
    pub fn text(&self) -> &Str {
        self.0.text.get_or_init(|| {
            let make = self.0.make.lock().unwrap_or_else(PoisonError::into_inner).take();
            make.map_or_else(|| Str::from(""), |make| make().into())
        })
    }

    /// Says whether the text is there.
    pub fn is_made(&self) -> bool {
        self.0.text.get().is_some()
    }
}

impl From<Str> for Details {
    fn from(text: Str) -> Self {
        Details(Arc::new(Lazy { text: OnceLock::from(text), make: Mutex::new(None), server: None }))
    }
}

impl From<&str> for Details {
    fn from(text: &str) -> Self {
        Details::from(Str::from(text))
    }
}

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.text.get() {
            Some(text) => write!(f, "{text:?}"),
            None => f.write_str("(not made yet)"),
        }
    }
}

// === impl EventData ===

impl EventData {
    /// Gives the rows.
    pub fn rows(&self) -> Vec<Row<'_>> {
        match self {
            EventData::None => Vec::new(),
            EventData::Point(point) => vec![Row::Point(point)],
            EventData::Batch(batch, _) => vec![Row::Batch((**batch).as_ref())],
            EventData::Many(parts) => parts.iter().flat_map(EventData::rows).collect(),
        }
    }

    /// Gives the first row.
    fn first(&self) -> Option<Row<'_>> {
        match self {
            EventData::None => None,
            EventData::Point(point) => Some(Row::Point(point)),
            EventData::Batch(batch, _) => Some(Row::Batch((**batch).as_ref())),
            EventData::Many(parts) => parts.iter().find_map(EventData::first),
        }
    }

    /// Appends `{"series":[…]}`, without points `{"series":null}`.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_result(self.rows().into_iter().map(Some), out);
    }

    /// Gives what [`EventData::write`] writes.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Gives the same as a text.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(&self.to_json()).into_owned()
    }
}

// === impl Event ===

impl Event {
    /// Gives the measurement; nothing for an event of several.
    pub fn name(&self) -> &str {
        match &self.data {
            EventData::Many(_) => "",
            data => data.first().map_or("", |row| &**row.name()),
        }
    }

    /// Gives the tags in the order of their keys: those of the point or of the batch.
    pub fn tags(&self) -> Box<dyn Iterator<Item = (&Str, &Str)> + '_> {
        match (&self.data, self.data.first()) {
            (EventData::Many(_), _) | (_, None) => Box::new(std::iter::empty()),
            (_, Some(row)) => row.tags(),
        }
    }

    /// Gives a tag.
    pub fn tag(&self, name: &str) -> Option<&Str> {
        match &self.data {
            EventData::Point(point) => point.series.tag(name),
            EventData::Batch(batch, _) => batch.group.key.tag(name),
            EventData::None | EventData::Many(_) => None,
        }
    }

    /// Gives the point whose fields the event shows.
    pub fn point(&self) -> Option<&Point> {
        match &self.data {
            EventData::Point(point) => Some(point),
            EventData::Batch(batch, index) => batch.points.get(*index),
            EventData::None | EventData::Many(_) => None,
        }
    }

    /// Gives the fields in the order of their names.
    pub fn fields(&self) -> impl Iterator<Item = (&Str, &FieldValue)> {
        self.point().into_iter().flat_map(Point::fields)
    }

    /// Gives the default details, which name this server; nothing for an event that shows no point.
    fn default_details(&self, server: &ServerInfo) -> Option<String> {
        AlertInfo::of_event(self, server).map(|info| info.default_details())
    }

    /// Appends the event as one JSON line: what handlers send.
    ///
    /// Source: reference §7.5.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        write_key("id", out);
        write_text(&self.id, out);
        out.push(b',');
        write_key("message", out);
        write_text(&self.message, out);
        out.push(b',');
        write_key("details", out);
        write_text(self.details.text(), out);
        out.push(b',');
        write_key("time", out);
        write_time(self.time, out);
        out.push(b',');
        write_key("duration", out);
        write_int(self.duration, out);
        out.push(b',');
        write_key("level", out);
        write_text(self.level.as_str(), out);
        out.push(b',');
        write_key("data", out);
        self.data.write(out);
        out.push(b',');
        write_key("previousLevel", out);
        write_text(self.previous_level.as_str(), out);
        out.push(b',');
        write_key("recoverable", out);
        out.extend_from_slice(if self.is_recoverable { b"true" } else { b"false" });
        out.extend_from_slice(b"}\n");
    }

    /// Gives the event as one JSON line.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        self.write_json(&mut out);
        out
    }
}

#[cfg(test)]
pub(crate) mod tests;
