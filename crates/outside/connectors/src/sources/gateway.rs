//! The `gateway` source: points that leave the gateway of the same process become records.
//!
//! ```text
//! queue of a destination with `kind = "flow"` ── lines ─▶ records ─▶ … ─▶ sinks ─▶ finished ─▶ the queue lets go
//! ```
//! - The queue of the destination keeps a point until the flow has finished it, so the flow keeps nothing: when it stops, or
//!   the process dies, what was not finished comes again.
//! - A flow that is slower than the points makes them wait in that queue.
//! - Several parts are under way at once, so points of one queue may come in another order.
//! - A flow that sends all of its records back to the destination that feeds it is refused by the gateway. Where it depends
//!   on the records, a warning names the circle, and records that have come out a good many times are refused: the metadata
//!   `gatewayHops` counts that.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use levada_codec::line_protocol::Precision;
use levada_codec::points::line::Scanner;
use levada_codec::points::{Point, Unit, Value};
use levada_model::text::encode_string;
use levada_model::{Category, ErrorClass, Meta, Position, RecordBatch, RecordError, Str, float};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::context::BuildContext;
use crate::gateway::{FeedError, HOPS, LineFeeds, LinePart, LineReader, NO_GATEWAY};
use crate::spec::{BuildError, SourceSpec};
use crate::traits::{Source, SourceError};

/// The one partition.
const PARTITION: &str = "gateway";
/// Its position: how many parts are finished.
const PARTS: &str = "parts";

const NANOSECONDS: Unit = Unit::Fixed(Precision::Nanoseconds);

/// Settings of the `gateway` source.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "GatewaySource")]
pub struct Spec {
    /// The destination of the gateway with `kind = "flow"` whose points come here, or the `target` that it names. Required.
    pub name: String,
    /// `json` (an object with `category`, `measurement`, `tags`, `fields` and `time`, which counts nanoseconds) or
    /// `line` (the point in line protocol, as it waited). The metadata `category` is there in both. Default `json`.
    pub format: Format,
}

/// What records look like.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GatewayFormat")]
pub enum Format {
    /// An object.
    #[default]
    Json,
    /// Line protocol.
    Line,
}

struct GatewaySource {
    name: String,
    format: Format,
    ctx: BuildContext,
    reader: Option<LineReader>,
    partition: Str,
    /// The part that is being read, and where its next line begins.
    part: Option<(LinePart, usize)>,
    /// Parts that were read, in their order; those of one number are finished together.
    unfinished: VecDeque<(u64, LinePart)>,
    /// How many parts were read.
    read: u64,
    metas: Vec<(Category, u8, Arc<Meta>)>,
    record: Vec<u8>,
}

// === impl Spec ===

impl SourceSpec for Spec {
    const NAME: &'static str = "gateway";
    const SUMMARY: &'static str = "takes points that leave the gateway of the same process";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        if self.name.is_empty() {
            let text = "give the name of a destination of the gateway with kind = \"flow\"";
            report.required(&at.child("name"), text);
        }
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Ok(Box::new(GatewaySource {
            name: self.name,
            format: self.format,
            ctx: ctx.clone(),
            reader: None,
            partition: PARTITION.into(),
            part: None,
            unfinished: VecDeque::new(),
            read: 0,
            metas: Vec::new(),
            record: Vec::new(),
        }))
    }
}

// === impl GatewaySource ===

impl GatewaySource {
    /// Reads lines of the part at hand until it ends or the batch is full; gives the part when it has ended.
    fn fill(&mut self, batch: &mut RecordBatch) -> Option<LinePart> {
        let (part, at) = self.part.take()?;
        let meta = self.meta(part.category, part.hops);
        batch.set_shared_meta(Some(meta));
        let position = |parts: u64| serde_json::json!({ PARTS: parts });
        let origin = batch.push_origin(self.partition.clone(), position(self.read));
        // The scanner starts behind what was read; a queue holds nothing that is no text.
        let text = String::from_utf8_lossy(&part.lines[at..]);
        let (mut next, before) = (text.len(), batch.len());
        match Scanner::new(&text, NANOSECONDS) {
            Ok(mut scanner) => {
                while let Some(line) = scanner.next_line() {
                    let line = match line {
                        Ok(line) => line,
                        Err(problem) => {
                            let error = RecordError::invalid(problem.to_string());
                            batch.push_broken(&[], origin, self.read, error);
                            continue;
                        }
                    };
                    match self.format {
                        Format::Line => batch.push(line.raw().as_bytes(), origin, self.read),
                        Format::Json => {
                            let point = line.point(NANOSECONDS, self.ctx.clock.now());
                            self.record.clear();
                            write_record(part.category, &point, &mut self.record);
                            batch.push(&self.record, origin, self.read);
                        }
                    }
                    if self.ctx.is_full(batch.len(), batch.text.len()) {
                        next = (line.end() + 1).min(text.len());
                        break;
                    }
                }
            }
            Err(error) => {
                let error = RecordError::invalid(error.to_string());
                batch.push_broken(&[], origin, self.read, error);
            }
        }
        if text[next..].trim_ascii().is_empty() {
            if at == 0 && batch.len() == before {
                // Without a record nobody would ever finish it.
                let error = RecordError::invalid("the gateway handed over no point");
                batch.push_broken(&[], origin, self.read, error);
            }
            self.read += 1;
            batch.origins[origin as usize].position = position(self.read);
            return Some(part);
        }
        drop(text);
        self.part = Some((part, at + next));
        None
    }

    fn meta(&mut self, category: Category, times: u8) -> Arc<Meta> {
        let is_it = |one: &&(Category, u8, Arc<Meta>)| (one.0, one.1) == (category, times);
        if let Some((_, _, meta)) = self.metas.iter().find(is_it) {
            return Arc::clone(meta);
        }
        let hops = levada_model::Value::UInt(u64::from(times));
        let pairs = [("category".into(), category.name().into()), (HOPS.into(), hops)];
        let meta = Arc::new(pairs.into_iter().collect::<Meta>());
        self.metas.push((category, times, Arc::clone(&meta)));
        meta
    }

    fn parts_of(positions: &[(Str, Position)]) -> Option<u64> {
        let own = positions.iter().find(|(partition, _)| &**partition == PARTITION)?;
        own.1.get(PARTS)?.as_u64()
    }
}

/// Appends a point as an object; a float keeps its point, so that it stays one.
fn write_record(category: Category, point: &Point<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"category\":");
    encode_string(category.name(), out);
    out.extend_from_slice(b",\"measurement\":");
    encode_string(&point.name, out);
    for (what, is_tag) in [("tags", true), ("fields", false)] {
        out.push(b',');
        encode_string(what, out);
        out.push(b':');
        let entries = point.entries.iter().filter(|entry| entry.is_tag == is_tag);
        list(b"{}", entries, out, |entry, out| {
            encode_string(&entry.key, out);
            out.push(b':');
            write_value(&entry.value, out);
        });
    }
    out.extend_from_slice(b",\"time\":");
    out.extend_from_slice(itoa::Buffer::new().format(point.time.0).as_bytes());
    out.push(b'}');
}

fn write_value(value: &Value<'_>, out: &mut Vec<u8>) {
    use base64::Engine as _;
    match value {
        Value::Float(number) if number.is_finite() => float::encode(*number, out),
        Value::Nil | Value::Float(_) => out.extend_from_slice(b"null"),
        Value::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        Value::UInt(number) => {
            out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
        }
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Str(text) => encode_string(text, out),
        Value::Bytes(bytes) => {
            encode_string(&base64::engine::general_purpose::STANDARD.encode(bytes), out);
        }
        Value::Array(items) => list(b"[]", items.iter(), out, write_value),
        Value::Map(items) => list(b"{}", items.iter(), out, |(key, item), out| {
            encode_string(key, out);
            out.push(b':');
            write_value(item, out);
        }),
    }
}

fn list<T>(
    braces: &[u8; 2],
    items: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    write: impl Fn(T, &mut Vec<u8>),
) {
    out.push(braces[0]);
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(braces[1]);
}

#[async_trait]
impl Source for GatewaySource {
    async fn open(&mut self, positions: &[(Str, Position)]) -> Result<(), SourceError> {
        let Some(feeds) = self.ctx.links.get::<LineFeeds>() else {
            return Err(SourceError::new(ErrorClass::Unknown, NO_GATEWAY));
        };
        // What was read and is not finished comes again: the gateway hears that nobody finishes it.
        (self.reader, self.part) = (None, None);
        self.unfinished.clear();
        // Positions never go back, though the gateway knows nothing of them.
        self.read = self.read.max(Self::parts_of(positions).unwrap_or(0));
        self.reader = Some(feeds.read(&self.name).map_err(|error| {
            let class = match error {
                // The other one may just be ending.
                FeedError::Taken(_) => ErrorClass::Transient,
                _ => ErrorClass::Unknown,
            };
            SourceError::new(class, error.to_string())
        })?);
        Ok(())
    }

    async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError> {
        let Some(reader) = &mut self.reader else {
            return Err(SourceError::new(ErrorClass::Unknown, "the gateway source is not open"));
        };
        batch.expects_json = self.format == Format::Json;
        if self.part.is_none() {
            // Nothing is kept while it waits, so nothing is lost when nobody waits any more.
            match reader.next().await {
                Some(part) => self.part = Some((part, 0)),
                None => return Ok(false),
            }
        }
        while let Some(part) = self.fill(batch) {
            self.unfinished.push_back((self.read, part));
            if self.ctx.is_full(batch.len(), batch.text.len()) {
                break;
            }
            match self.reader.as_mut().and_then(LineReader::try_next) {
                Some(part) => self.part = Some((part, 0)),
                None => break,
            }
        }
        Ok(true)
    }

    async fn commit(&mut self, upto: &[(Str, Position)]) -> Result<(), SourceError> {
        let finished = Self::parts_of(upto).unwrap_or(0);
        while self.unfinished.front().is_some_and(|(number, _)| *number <= finished) {
            if let Some((_, part)) = self.unfinished.pop_front() {
                part.finish();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
