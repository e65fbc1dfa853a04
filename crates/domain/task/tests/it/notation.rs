//! The notation of the cases: one line per item, point, batch, event or problem.

use std::sync::{Arc, Mutex};

use levada_model::{BatchRef, FieldValue, Group, Point, Series, Str, Timestamp};
use levada_task::capture::problem_text;
use levada_task::effect::{Answer, Effect, Effects, Logged, NodeName};

/// What left a task, in the order in which it happened.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<String>>>);

impl Record {
    pub(crate) fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Effects for Record {
    fn effect(&mut self, node: &NodeName, effect: Effect<'_>) -> Result<Option<Answer>, Str> {
        let line = match effect {
            Effect::Log(item) => {
                let line = match item.data {
                    Logged::Point(point, group) => point_line(point, group),
                    Logged::Batch(batch) => batch_line(batch),
                };
                if item.prefix.is_empty() { line } else { format!("{}: {line}", item.prefix) }
            }
            Effect::Alert { event, .. } => format!(
                "A {} id={:?} msg={:?} @{} dur={}",
                event.level.as_str(),
                event.id,
                event.message,
                seconds(event.time),
                levada_template::go::duration::text(event.duration),
            ),
            Effect::Problem(problem) => format!("E {}: {}", node.name, problem_text(&problem)),
            Effect::HttpPost(post) => {
                let line = format!("H {} {}", post.url, String::from_utf8_lossy(&post.body));
                self.push(line.trim_end().to_owned());
                return Ok(Some(Answer::Status { code: 200, body: None }));
            }
            Effect::Write(write) => {
                format!("W {}.{} {}", write.database, write.retention, point_text(write.point))
            }
            Effect::Loopback { database, retention, point } => {
                format!("L {database}.{retention} {}", point_text(point))
            }
        };
        self.push(line);
        Ok(None)
    }
}

fn point_line(point: &Point, group: &Group) -> String {
    format!("P {} | {}", point_text(point), group_text(group))
}

fn point_text(point: &Point) -> String {
    let tags = tags_text(&point.series);
    let comma = if tags.is_empty() { "" } else { "," };
    let name = &point.series.name;
    format!("{name}{comma}{tags} {} {}", fields_text(point), seconds(point.time))
}

fn batch_line(batch: BatchRef<'_>) -> String {
    let tags: Vec<String> =
        batch.group.key.tags().map(|(key, value)| format!("{key}={value}")).collect();
    let tags = tags.join(",");
    let mut line = format!(
        "B {} {{{tags}}} tmax={} | {}",
        batch.name,
        seconds(batch.time),
        group_text(batch.group)
    );
    for point in batch.points {
        let own = tags_text(&point.series);
        let shown = if own == tags { String::new() } else { format!("{{{own}}} ") };
        line.push_str(&format!("; {shown}{} @{}", fields_text(point), seconds(point.time)));
    }
    line
}

fn group_text(group: &Group) -> String {
    let by_name = if group.key.name.is_some() { " byName" } else { "" };
    format!("group={:?}{by_name}", group.id)
}

fn tags_text(series: &Series) -> String {
    let tags: Vec<String> = series
        .tags()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    tags.join(",")
}

fn fields_text(point: &Point) -> String {
    let fields: Vec<String> =
        point.fields().map(|(key, value)| format!("{key}={}", value_text(value))).collect();
    fields.join(",")
}

fn value_text(value: &FieldValue) -> String {
    match value {
        FieldValue::Float(number) if *number == f64::INFINITY => "+Inf".to_owned(),
        FieldValue::Float(number) => format!("{number}"),
        FieldValue::Int(number) => format!("{number}i"),
        FieldValue::UInt(number) => format!("{number}u"),
        FieldValue::Bool(flag) => flag.to_string(),
        FieldValue::Str(text) => format!("{text:?}"),
        FieldValue::Bytes(bytes) => format!("{bytes:?}"),
        FieldValue::Duration(nanos) => {
            format!("{}(time.Duration)", levada_template::go::duration::text(*nanos))
        }
        FieldValue::Null => "null".to_owned(),
    }
}

/// Seconds with as many decimals as are needed.
fn seconds(time: Timestamp) -> String {
    let (whole, rest) = (time.0.div_euclid(1_000_000_000), time.0.rem_euclid(1_000_000_000));
    if rest == 0 {
        return whole.to_string();
    }
    format!("{whole}.{}", format!("{rest:09}").trim_end_matches('0'))
}
