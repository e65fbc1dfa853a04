//! What running tasks do outside.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use levada_model::{Point, Str};

use super::alerts::TopicAlerts;
use super::routes::{Ingest, Routes};
use crate::capture::problem_text;
use crate::effect::{Answer, Effect, Effects, HttpPost, LogItem, Logged, NodeName, Write};

/// More loopbacks than this and a point is dropped.
///
/// - Source: kapacitor reference §12 (ingress).
pub const HOPS_MAX: u8 = 16;

/// Where requests of httpPost go; none blocks.
pub trait Requests: Send + Sync {
    /// Takes a request of the node at `place`; the answer comes back through the inbox of the task.
    fn request(&self, node: &NodeName, request: HttpPost) -> Result<Option<Answer>, Str>;
}

/// Where points of influxDBOut go; none blocks.
pub trait Writes: Send + Sync {
    /// Takes a point.
    fn write(&self, node: &NodeName, write: &Write<'_>) -> Result<(), Str>;
}

/// The effects of one running task.
pub struct LiveEffects {
    task: Str,
    alerts: TopicAlerts,
    loopback: Mutex<Ingest>,
    /// Loopbacks of the points that the task works on.
    hops: Arc<AtomicU8>,
    requests: Option<Arc<dyn Requests>>,
    writes: Option<Arc<dyn Writes>>,
}

// === impl LiveEffects ===

impl LiveEffects {
    /// Makes the effects of a task.
    pub fn new(
        task: Str,
        alerts: TopicAlerts,
        routes: &Routes,
        hops: Arc<AtomicU8>,
        requests: Option<Arc<dyn Requests>>,
        writes: Option<Arc<dyn Writes>>,
    ) -> Self {
        LiveEffects { task, alerts, loopback: Mutex::new(routes.ingest()), hops, requests, writes }
    }

    fn loop_back(&self, database: &str, retention: &str, point: &Point) -> Result<(), Str> {
        let hops = self.hops.load(Ordering::Relaxed);
        if hops >= HOPS_MAX {
            let text = format!("the point came back {HOPS_MAX} times, so it is not sent again");
            return Err(text.into());
        }
        let series = &point.series;
        let mut point = point.clone();
        if *series.database != *database || *series.retention != *retention {
            point.series = levada_model::Series::with_keys(
                database.into(),
                retention.into(),
                Str::clone(&series.name),
                Arc::clone(&series.keys),
                series.values.clone(),
            );
        }
        let mut ingest = self.loopback.lock().unwrap_or_else(PoisonError::into_inner);
        // The worker that is to make room in the queue is the one that is here, so it must not wait.
        let written = ingest.write_back(vec![point], hops + 1);
        if written.dropped > 0 { Err("the queue of a task is full".into()) } else { Ok(()) }
    }

    fn log(&self, node: &NodeName, item: &LogItem<'_>) {
        let (task, node, prefix) = (&*self.task, &*node.name, item.prefix);
        let text = logged_text(&item.data);
        match item.level {
            "DEBUG" => tracing::debug!(task, node, prefix, "{text}"),
            "WARN" => tracing::warn!(task, node, prefix, "{text}"),
            "ERROR" => tracing::error!(task, node, prefix, "{text}"),
            _ => tracing::info!(task, node, prefix, "{text}"),
        }
    }
}

impl Effects for LiveEffects {
    fn effect(&mut self, node: &NodeName, effect: Effect<'_>) -> Result<Option<Answer>, Str> {
        match effect {
            Effect::Alert { event, topic, has_handlers } => {
                let mut published = None;
                let topics = self.alerts.topics();
                if has_handlers {
                    let own = self.alerts.anonymous(&self.task, &node.name);
                    topics.wait_for_room(&own);
                    published = Some(topics.publish(&own, (**event).clone()));
                }
                if let Some(topic) = topic {
                    topics.wait_for_room(topic);
                    let named = topics.publish(topic, (**event).clone());
                    published = Some(published.map_or(named, |own| own.and(named)));
                }
                match published.and_then(|published| published.error_text(&event.id)) {
                    Some(text) => Err(text.into()),
                    None => Ok(None),
                }
            }
            Effect::HttpPost(request) => match &self.requests {
                Some(requests) => requests.request(node, request),
                None => Err("requests of tasks are not served here".into()),
            },
            Effect::Write(write) => match &self.writes {
                Some(writes) => writes.write(node, &write).map(|()| None),
                None => Err("no InfluxDB is configured".into()),
            },
            Effect::Log(item) => {
                self.log(node, &item);
                Ok(None)
            }
            Effect::Loopback { database, retention, point } => {
                self.loop_back(database, retention, point).map(|()| None)
            }
            Effect::Problem(problem) => {
                let (task, node) = (&*self.task, &*node.name);
                tracing::warn!(task, node, "{}", problem_text(&problem));
                Ok(None)
            }
        }
    }
}

/// A point or a batch as the log shows it.
fn logged_text(data: &Logged<'_>) -> String {
    let mut text = Vec::new();
    match data {
        Logged::Point(point, _) => write_lossy(point, &mut text),
        Logged::Batch(batch) => {
            text.extend_from_slice(format!("batch {} {}", batch.name, batch.group.id).as_bytes());
            for point in batch.points {
                text.extend_from_slice(b"; ");
                write_lossy(point, &mut text);
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn write_lossy(point: &Point, out: &mut Vec<u8>) {
    let before = out.len();
    let nanos = levada_codec::line_protocol::Precision::Nanoseconds;
    if levada_codec::line_protocol::write_point(point, nanos, out).is_err() {
        // What line protocol cannot carry is still shown.
        out.truncate(before);
        out.extend_from_slice(format!("{} {:?}", point.series.name, point.values).as_bytes());
    }
    while out.last() == Some(&b'\n') {
        out.pop();
    }
}
