//! The queue of items that wait for their answer.
//!
//! - Each item is sent when it comes, and goes on when its answer and those of all items before it are there: answers may
//!   come in any order, items leave in theirs. Barriers and deletes take their place in the queue.
//! - An item that finds the queue full is sent, too, and goes on at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_alert::rows::Row;
use levada_model::{Batch, BatchRef, FieldValue, Group, Point, Shape, Str};

use super::HttpPost;
use super::templates::Texts;
use crate::effect::{Answer, Effect, HttpPost as Request};
use crate::runtime::{Barrier, Node, Out, Reader, StateError, Step, Writer};

/// Items that wait in one node.
pub const WAITING_MAX: usize = 1_000;

/// Shapes that are remembered.
const SHAPES_MAX: usize = 10_000;

/// What is said of a refusal whose body was not asked for.
const NO_BODY: &str = "unknown error, use .captureResponse() to capture the HTTP response";

/// What runs.
pub(super) struct Running {
    texts: Texts,
    endpoint: Option<String>,
    headers: Vec<(String, String)>,
    code_field: Option<Str>,
    captures: bool,
    timeout: Option<std::time::Duration>,
    waiting: VecDeque<Waiting>,
    next_token: u64,
    /// Items that found the queue full.
    passed: i64,
    shapes: HashMap<u64, (Arc<Shape>, Option<usize>), RandomState>,
}

struct Waiting {
    token: u64,
    /// The status, 0 without an answer; unknown while it waits.
    code: Option<u16>,
    item: Item,
}

enum Item {
    Point(Point, Arc<Group>),
    Batch(Batch),
    Barrier(Barrier),
    Delete(Arc<Group>),
}

const POINT: u64 = 0;
const BATCH: u64 = 1;
const BARRIER: u64 = 2;
const DELETE: u64 = 3;

/// How sending went.
enum Sent {
    Answered(u16),
    Waits(u64),
}

// === impl Running ===

impl Running {
    pub(super) fn new(spec: &HttpPost, texts: Texts, headers: Vec<(String, String)>) -> Self {
        let timeout = u64::try_from(spec.timeout.0).ok().filter(|nanos| *nanos > 0);
        Running {
            texts,
            endpoint: spec.endpoints.0.first().cloned(),
            headers,
            code_field: (!spec.code_field.0.is_empty()).then(|| spec.code_field.0.as_str().into()),
            captures: spec.capture_response.0,
            timeout: timeout.map(std::time::Duration::from_nanos),
            waiting: VecDeque::new(),
            next_token: 1,
            passed: 0,
            shapes: HashMap::default(),
        }
    }

    fn send(&mut self, row: Row<'_>, out: &mut Out<'_>) -> Sent {
        let (url, body) = match self.texts.render(row) {
            Ok(rendered) => rendered,
            Err(cause) => {
                out.error("failed to POST data", &cause, &[]);
                return Sent::Answered(0);
            }
        };
        let token = self.next_token;
        self.next_token += 1;
        let request = Request {
            url,
            endpoint: self.endpoint.clone(),
            headers: self.headers.clone(),
            body,
            timeout: self.timeout,
            captures_response: self.captures,
            token,
        };
        match out.effect(Effect::HttpPost(request)) {
            Ok(Some(answer)) => Sent::Answered(self.judge(&answer, out)),
            Ok(None) => Sent::Waits(token),
            Err(cause) => {
                out.error("failed to POST data", &cause, &[]);
                Sent::Answered(0)
            }
        }
    }

    /// Reports an answer that is none of success and gives its code.
    fn judge(&self, answer: &Answer, out: &mut Out<'_>) -> u16 {
        match answer {
            Answer::Status { code, .. } if (200..300).contains(code) => *code,
            Answer::Status { code, body } => {
                let cause = body.as_deref().filter(|_| self.captures).unwrap_or(NO_BODY);
                let code_text = code.to_string();
                let context = [("code", code_text.as_str())];
                out.error("POST returned non 2xx status code", cause, &context);
                *code
            }
            Answer::Failed(cause) => {
                out.error("failed to POST data", cause, &[]);
                0
            }
        }
    }

    /// Makes room for an item of so many points, or says that it cannot wait.
    fn admit(&mut self, points: usize, out: &mut Out<'_>) -> bool {
        let cause = if self.waiting.len() >= WAITING_MAX {
            "too many items wait for an answer"
        } else if !out.ctx.hold(points) {
            "too many buffered points"
        } else {
            return true;
        };
        self.passed += 1;
        out.error("failed to wait for the answer to a POST", cause, &[]);
        false
    }

    fn take(&mut self, item: Item, sent: Sent, out: &mut Out<'_>) -> Step {
        let (token, code) = match sent {
            Sent::Answered(code) if self.waiting.is_empty() => return self.pass(item, code, out),
            Sent::Answered(code) => (0, Some(code)),
            Sent::Waits(token) => (token, None),
        };
        if self.admit(item.points(), out) {
            self.waiting.push_back(Waiting { token, code, item });
            return Ok(());
        }
        self.pass(item, code.unwrap_or(0), out)
    }

    /// Gives an item to the children.
    fn pass(&mut self, item: Item, code: u16, out: &mut Out<'_>) -> Step {
        match item {
            Item::Point(point, group) if self.code_field.is_some() => {
                let point = self.with_code(&point, code);
                out.point(&point, &group)
            }
            Item::Point(point, group) => out.point(&point, &group),
            Item::Batch(mut batch) => {
                if self.code_field.is_some() {
                    for point in &mut batch.points {
                        *point = self.with_code(point, code);
                    }
                }
                out.batch(batch.as_ref())
            }
            Item::Barrier(barrier) => out.barrier(&barrier),
            Item::Delete(group) => out.delete(&group),
        }
    }

    /// Gives the items at the front that wait for nothing any more.
    fn go_on(&mut self, out: &mut Out<'_>) -> Step {
        while let Some(Waiting { code: Some(code), .. }) = self.waiting.front() {
            let code = *code;
            let Some(Waiting { item, .. }) = self.waiting.pop_front() else { break };
            out.ctx.let_go(item.points());
            self.pass(item, code, out)?;
        }
        Ok(())
    }

    fn with_code(&mut self, point: &Point, code: u16) -> Point {
        let Some(name) = &self.code_field else { return point.clone() };
        if self.shapes.len() >= SHAPES_MAX {
            self.shapes.clear();
        }
        let (shape, place) =
            self.shapes.entry(point.shape.id).or_insert_with(|| match point.shape.position(name) {
                Some(place) => (Arc::clone(&point.shape), Some(place)),
                None => {
                    let names = point.shape.names.iter().chain([name]).cloned();
                    (Shape::new(names.collect()), None)
                }
            });
        let mut values = point.values.clone();
        let code = FieldValue::Int(code.into());
        match place {
            Some(place) => values[*place] = code,
            None => values.push(code),
        }
        let series = Arc::clone(&point.series);
        Point { series, shape: Arc::clone(shape), values, time: point.time }
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
        let sent = self.send(Row::Point(point), out);
        self.take(Item::Point(point.clone(), Arc::clone(group)), sent, out)
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        let sent = self.send(Row::Batch(batch), out);
        self.take(Item::Batch(batch.to_owned()), sent, out)
    }

    fn barrier(&mut self, _input: usize, barrier: &Barrier, out: &mut Out<'_>) -> Step {
        self.take(Item::Barrier(barrier.clone()), Sent::Answered(0), out)
    }

    fn delete(&mut self, _input: usize, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        self.take(Item::Delete(Arc::clone(group)), Sent::Answered(0), out)
    }

    // Items of the group that wait hold the group, so its slot is not used again before they have gone.
    fn forget(&mut self, _slot: u32) {}

    fn answer(&mut self, token: u64, answer: Answer, out: &mut Out<'_>) -> Step {
        let code = self.judge(&answer, out);
        // An item that could not wait has gone already.
        let waits = |waiting: &&mut Waiting| waiting.token == token && waiting.code.is_none();
        if let Some(waiting) = self.waiting.iter_mut().find(waits) {
            waiting.code = Some(code);
        }
        self.go_on(out)
    }

    fn restored(&mut self, out: &mut Out<'_>) {
        out.ctx.held += self.buffered();
        // Who was to answer is gone, so whatever has no answer is sent again.
        let mut waiting = std::mem::take(&mut self.waiting);
        for one in &mut waiting {
            if one.code.is_some() {
                continue;
            }
            let sent = match &one.item {
                Item::Point(point, _) => self.send(Row::Point(point), out),
                Item::Batch(batch) => self.send(Row::Batch(batch.as_ref()), out),
                Item::Barrier(_) | Item::Delete(_) => Sent::Answered(0),
            };
            match sent {
                Sent::Answered(code) => one.code = Some(code),
                Sent::Waits(token) => one.token = token,
            }
        }
        self.waiting = waiting;
        // Nothing can be handed on from here; a timer can.
        let now = out.ctx.now;
        out.set_timer(0, now);
    }

    fn timer(&mut self, _token: u64, _now: levada_model::Timestamp, out: &mut Out<'_>) -> Step {
        self.go_on(out)
    }

    fn finish(&mut self, out: &mut Out<'_>) -> Step {
        let unanswered = self.waiting.iter().filter(|waiting| waiting.code.is_none()).count();
        if unanswered > 0 {
            let cause = format!("the task ended before {unanswered} answers came");
            out.error("failed to wait for the answer to a POST", &cause, &[]);
        }
        for waiting in &mut self.waiting {
            waiting.code.get_or_insert(0);
        }
        self.go_on(out)
    }

    fn cardinality(&self) -> usize {
        0
    }

    fn buffered(&self) -> usize {
        self.waiting.iter().map(|waiting| waiting.item.points()).sum()
    }

    fn statistics(&self) -> Vec<(&'static str, i64)> {
        // A key that upstream does not have is there when it says something.
        if self.passed > 0 { vec![("items_passed", self.passed)] } else { Vec::new() }
    }

    fn save(&self, writer: &mut Writer<'_>) {
        writer.list(self.waiting.iter(), |writer, waiting| {
            writer.option(waiting.code, |writer, code| writer.uint(code.into()));
            waiting.item.save(writer);
        });
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        let waiting = reader.list(|reader| {
            let code = reader.option(Reader::uint)?;
            let code = code.map(|code| u16::try_from(code).unwrap_or(0));
            Ok(Waiting { token: 0, code, item: Item::load(reader)? })
        })?;
        self.waiting = waiting.into();
        Ok(())
    }
}

// === impl Item ===

impl Item {
    fn points(&self) -> usize {
        match self {
            Item::Point(..) => 1,
            Item::Batch(batch) => batch.points.len(),
            Item::Barrier(_) | Item::Delete(_) => 0,
        }
    }

    fn save(&self, writer: &mut Writer<'_>) {
        match self {
            Item::Point(point, group) => {
                writer.uint(POINT);
                writer.group(group);
                writer.point(point);
            }
            Item::Batch(batch) => {
                writer.uint(BATCH);
                writer.group(&batch.group);
                writer.text(&batch.name);
                writer.time(batch.time);
                writer.list(batch.points.iter(), Writer::point);
            }
            Item::Barrier(barrier) => {
                writer.uint(BARRIER);
                writer.group(&barrier.group);
                writer.time(barrier.time);
            }
            Item::Delete(group) => {
                writer.uint(DELETE);
                writer.group(group);
            }
        }
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let kind = reader.uint()?;
        let group = reader.group()?;
        Ok(match kind {
            POINT => Item::Point(reader.point()?, group),
            BATCH => Item::Batch(Batch {
                name: reader.str()?,
                group,
                time: reader.time()?,
                points: reader.list(Reader::point)?,
            }),
            BARRIER => Item::Barrier(Barrier { group, time: reader.time()? }),
            DELETE => Item::Delete(group),
            value => return Err(StateError::Unknown { what: "item", value }),
        })
    }
}
