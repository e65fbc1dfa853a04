//! Effects as lines of JSON: what a dry run prints instead of doing it.

use std::sync::{Arc, Mutex, PoisonError};

use levada_alert::json;
use levada_model::{BatchRef, FieldValue, Group, Point, Series, Str};

use crate::effect::{Answer, Effect, Effects, HttpPost, LogItem, Logged, NodeName, Problem, Write};

/// Takes the lines of a dry run, in the order in which the effects happen.
pub trait Lines: Send {
    /// Takes a line without its end.
    fn line(&mut self, line: &[u8]);

    /// Takes a problem of a node, with its place, e.g. `eval2`.
    fn problem(&mut self, node: &str, text: &str);
}

/// Captures effects.
pub struct Capture<L> {
    lines: Arc<Mutex<L>>,
    buffer: Vec<u8>,
}

// === impl Capture ===

impl<L: Lines> Capture<L> {
    /// Captures into `lines`, which the caller shares.
    pub fn new(lines: Arc<Mutex<L>>) -> Self {
        Capture { lines, buffer: Vec::new() }
    }

    fn begin(&mut self, node: &NodeName, kind: &str) {
        self.buffer.clear();
        self.buffer.extend_from_slice(br#"{"node":"#);
        json::write_text(&node.name, &mut self.buffer);
        self.buffer.extend_from_slice(br#","kind":"#);
        json::write_text(kind, &mut self.buffer);
        self.buffer.extend_from_slice(br#","data":"#);
    }

    fn end(&mut self) {
        self.buffer.push(b'}');
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).line(&self.buffer);
    }

    fn http_post(&mut self, post: &HttpPost) {
        let out = &mut self.buffer;
        out.extend_from_slice(br#"{"url":"#);
        json::write_text(&post.url, out);
        out.extend_from_slice(br#","endpoint":"#);
        match &post.endpoint {
            Some(endpoint) => json::write_text(endpoint, out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(br#","headers":{"#);
        for (index, (name, value)) in post.headers.iter().enumerate() {
            comma(index, out);
            json::write_text(name, out);
            out.push(b':');
            json::write_text(value, out);
        }
        out.extend_from_slice(br#"},"body":"#);
        let body = post.body.trim_ascii_end();
        match serde_json::from_slice::<&serde_json::value::RawValue>(body) {
            Ok(_) => out.extend_from_slice(body),
            // A row template may give anything.
            Err(_) => json::write_text(&String::from_utf8_lossy(&post.body), out),
        }
        out.push(b'}');
    }
}

impl<L: Lines> Effects for Capture<L> {
    fn effect(&mut self, node: &NodeName, effect: Effect<'_>) -> Result<Option<Answer>, Str> {
        match effect {
            Effect::Alert { event, .. } => {
                self.begin(node, "alert");
                event.write_json(&mut self.buffer);
                trim_line_end(&mut self.buffer);
                self.end();
            }
            Effect::HttpPost(post) => {
                self.begin(node, "httpPost");
                self.http_post(&post);
                self.end();
                return Ok(Some(Answer::Status { code: 200, body: None }));
            }
            Effect::Write(write) => {
                self.begin(node, "influxDBOut");
                write_target(&write, &mut self.buffer);
                self.end();
            }
            Effect::Log(item) => {
                self.begin(node, "log");
                write_log(&item, &mut self.buffer);
                self.end();
            }
            Effect::Loopback { database, retention, point } => {
                self.begin(node, "kapacitorLoopback");
                write_point(database, retention, point, &mut self.buffer);
                self.end();
            }
            Effect::Problem(problem) => {
                let text = problem_text(&problem);
                let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.problem(&node.name, &text);
            }
        }
        Ok(None)
    }
}

/// Gives a problem as one line: `message: cause key=value …`.
pub fn problem_text(problem: &Problem<'_>) -> String {
    let mut text = problem.message.to_owned();
    if !problem.cause.is_empty() {
        text.push_str(": ");
        text.push_str(problem.cause);
    }
    for (key, value) in problem.context {
        text.push(' ');
        text.push_str(key);
        text.push('=');
        text.push_str(value);
    }
    text
}

fn write_target(write: &Write<'_>, out: &mut Vec<u8>) {
    write_point(write.database, write.retention, write.point, out);
}

fn write_point(database: &str, retention: &str, point: &Point, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"database":"#);
    json::write_text(database, out);
    out.extend_from_slice(br#","retentionPolicy":"#);
    json::write_text(retention, out);
    out.extend_from_slice(br#","name":"#);
    json::write_text(&point.series.name, out);
    out.extend_from_slice(br#","tags":"#);
    write_tags(&point.series, out);
    out.extend_from_slice(br#","fields":"#);
    write_fields(point, out);
    out.extend_from_slice(br#","time":"#);
    json::write_time(point.time, out);
    out.push(b'}');
}

fn write_log(item: &LogItem<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"level":"#);
    json::write_text(item.level, out);
    out.extend_from_slice(br#","prefix":"#);
    json::write_text(item.prefix, out);
    match item.data {
        Logged::Point(point, group) => {
            out.extend_from_slice(br#","name":"#);
            json::write_text(&point.series.name, out);
            out.extend_from_slice(br#","database":"#);
            json::write_text(&point.series.database, out);
            out.extend_from_slice(br#","retentionPolicy":"#);
            json::write_text(&point.series.retention, out);
            write_group(group, out);
            out.extend_from_slice(br#","tags":"#);
            write_tags(&point.series, out);
            out.extend_from_slice(br#","fields":"#);
            write_fields(point, out);
            out.extend_from_slice(br#","time":"#);
            json::write_time(point.time, out);
        }
        Logged::Batch(batch) => write_batch(batch, out),
    }
    out.push(b'}');
}

fn write_batch(batch: BatchRef<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#","name":"#);
    json::write_text(batch.name, out);
    write_group(batch.group, out);
    out.extend_from_slice(br#","tags":{"#);
    for (index, (name, value)) in batch.group.key.tags().enumerate() {
        comma(index, out);
        json::write_text(name, out);
        out.push(b':');
        json::write_text(value, out);
    }
    out.extend_from_slice(br#"},"tmax":"#);
    json::write_time(batch.time, out);
    out.extend_from_slice(br#","points":["#);
    for (index, point) in batch.points.iter().enumerate() {
        comma(index, out);
        out.extend_from_slice(br#"{"fields":"#);
        write_fields(point, out);
        out.extend_from_slice(br#","tags":"#);
        write_tags(&point.series, out);
        out.extend_from_slice(br#","time":"#);
        json::write_time(point.time, out);
        out.push(b'}');
    }
    out.push(b']');
}

fn write_group(group: &Group, out: &mut Vec<u8>) {
    out.extend_from_slice(br#","group":"#);
    json::write_text(&group.id, out);
    out.extend_from_slice(br#","byName":"#);
    out.extend_from_slice(if group.key.name.is_some() { b"true" } else { b"false" });
    out.extend_from_slice(br#","dimensions":["#);
    for (index, name) in group.key.dimensions.iter().enumerate() {
        comma(index, out);
        json::write_text(name, out);
    }
    out.push(b']');
}

fn write_tags(series: &Series, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in series.tags().enumerate() {
        comma(index, out);
        json::write_text(name, out);
        out.push(b':');
        json::write_text(value, out);
    }
    out.push(b'}');
}

fn write_fields(point: &Point, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in point.fields().enumerate() {
        comma(index, out);
        json::write_text(name, out);
        out.push(b':');
        write_value(value, out);
    }
    out.push(b'}');
}

/// Appends a value as Go's JSON has it; NaN and infinities, which JSON does not know, as `null`.
pub fn write_value(value: &FieldValue, out: &mut Vec<u8>) {
    json::write_field(value, out);
}

fn comma(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

fn trim_line_end(out: &mut Vec<u8>) {
    if out.last() == Some(&b'\n') {
        out.pop();
    }
}
