//! Records as lines.

use levada_codec::line_protocol::{FieldValue, LineError, PointWriter};
use levada_condition::Path;
use levada_model::tree::{NodeId, NodeKind};
use levada_model::{RecordBatch, RecordError, Timestamp};

use super::{Numbers, Precision, Spec};
use crate::mapping::{Document, NamedTexts, Number, Reader, TextRule, TimeRule, Used, plain_path};

/// Where the line of a record stands in the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) record: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Makes lines.
pub(crate) struct Encoder {
    measurement: TextRule,
    tags: NamedTexts,
    /// Empty: every scalar at the top that has no other use.
    fields: Vec<Path>,
    used: Used,
    time: Option<TimeRule>,
    precision: Precision,
    numbers: Numbers,
    unsigned: bool,
    reader: Reader,
    text: String,
    /// Tags of the record: keys and values one behind the other, and where each begins.
    tag_text: String,
    tag_spans: Vec<TagSpan>,
}

#[derive(Clone, Copy, Debug)]
struct TagSpan {
    start: usize,
    value: usize,
    end: usize,
}

// === impl Encoder ===

impl Encoder {
    pub(crate) fn new(spec: &Spec) -> Result<Self, String> {
        let measurement = TextRule::compile(&spec.measurement)?;
        let tags = NamedTexts::compile(&spec.tags, &spec.tags_from)?;
        let time = TimeRule::compile(&spec.timestamp, spec.timestamp_unit)?;
        let fields: Vec<Path> =
            spec.fields.iter().map(|text| plain_path(text)).collect::<Result<_, _>>()?;
        let mut used = Used::default();
        used.add_text(&measurement);
        used.add_texts(&tags);
        if let Some(time) = &time {
            used.add(time.path());
        }
        Ok(Encoder {
            measurement,
            tags,
            fields,
            used,
            time,
            precision: spec.precision,
            numbers: spec.numbers,
            unsigned: spec.unsigned,
            reader: Reader::default(),
            text: String::new(),
            tag_text: String::new(),
            tag_spans: Vec::new(),
        })
    }

    /// Appends the line of a record.
    ///
    /// Errors: the record is no point; `out` is as before.
    pub(crate) fn push(
        &mut self,
        batch: &RecordBatch,
        index: usize,
        received: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        let document = self.reader.read(batch, index)?;
        let time = match &self.time {
            Some(rule) => rule.read(&document)?,
            None => Timestamp(received.0.saturating_add(index as i64)),
        };
        self.text.clear();
        self.measurement.append_all(Some(&document), time, "measurement", &mut self.text)?;
        let mut point = PointWriter::begin(out, &self.text).map_err(refused)?;

        let (text, spans) = (&mut self.tag_text, &mut self.tag_spans);
        text.clear();
        spans.clear();
        self.tags.each(&document, time, |key, value| {
            let start = text.len();
            text.push_str(key);
            let middle = text.len();
            text.push_str(value);
            spans.push(TagSpan { start, value: middle, end: text.len() });
            Ok(())
        })?;
        let key_of = |span: &TagSpan| &text[span.start..span.value];
        // Stable, and of equal keys the last one counts: a tag that is given by name replaces that of
        // an object.
        spans.sort_by(|a, b| key_of(a).cmp(key_of(b)));
        for (at, span) in spans.iter().enumerate() {
            let key = key_of(span);
            if spans.get(at + 1).is_some_and(|next| key_of(next) == key) {
                continue;
            }
            if key == "time" {
                return Err(reserved("tag"));
            }
            point.tag(key, &text[span.value..span.end]).map_err(refused)?;
        }

        let kinds = Kinds { numbers: self.numbers, unsigned: self.unsigned };
        if self.fields.is_empty() {
            for member in document.tree.children(document.root) {
                let Some(key) = document.tree.key(document.text, member) else { continue };
                // Of two members with one name the server keeps the last, as everywhere here.
                if !self.used.contains(&key) {
                    kinds.push(&document, member, &key, true, &mut point)?;
                }
            }
        } else {
            for path in &self.fields {
                if let Some(node) = document.find(path) {
                    kinds.push(&document, node, path.last_key(), false, &mut point)?;
                }
            }
        }
        let divisor = match self.precision {
            Precision::Nanos => 1,
            Precision::Micros => 1000,
            Precision::Millis => 1_000_000,
            Precision::Seconds => 1_000_000_000,
        };
        point.finish(Some(time.0.div_euclid(divisor))).map_err(refused)
    }
}

/// How values become fields.
struct Kinds {
    numbers: Numbers,
    unsigned: bool,
}

impl Kinds {
    /// Adds a field; `null` is none. With `is_any`, objects and arrays are none either.
    fn push(
        &self,
        document: &Document<'_>,
        node: NodeId,
        key: &str,
        is_any: bool,
        point: &mut PointWriter<'_>,
    ) -> Result<(), RecordError> {
        let (tree, text) = (document.tree, document.text);
        let string;
        let value = match tree.kind(node) {
            NodeKind::Null => return Ok(()),
            NodeKind::Object | NodeKind::Array if is_any => return Ok(()),
            kind @ (NodeKind::Object | NodeKind::Array) => {
                let message =
                    format!("field `{key}` is of kind {}, not a single value", kind.name());
                return Err(RecordError::invalid(message));
            }
            NodeKind::True => FieldValue::Bool(true),
            NodeKind::False => FieldValue::Bool(false),
            NodeKind::String => {
                string = tree.string(text, node).unwrap_or_default();
                FieldValue::Str(&string)
            }
            NodeKind::Number => self
                .number(tree.literal(text, node).unwrap_or_default())
                .map_err(|problem| RecordError::invalid(format!("field `{key}` {problem}")))?,
        };
        if key == "time" {
            return Err(reserved("field"));
        }
        point.field(key, value).map_err(refused)
    }

    fn number(&self, literal: &str) -> Result<FieldValue<'static>, &'static str> {
        Ok(match (Number::parse(literal)?, self.numbers) {
            (number, Numbers::Float) => FieldValue::Float(number.to_f64()),
            (Number::Float(number), _) => FieldValue::Float(number),
            (Number::Int(number), _) => FieldValue::Int(number),
            (Number::UInt(number), _) if self.unsigned => FieldValue::UInt(number),
            (Number::UInt(_), _) => {
                return Err(
                    "is above 2^63 - 1; set unsigned if the server knows unsigned integers",
                );
            }
        })
    }
}

/// InfluxDB drops a field of this name without a word, so it never gets one.
fn reserved(what: &str) -> RecordError {
    RecordError::invalid(format!(
        "a {what} cannot be called `time`: set timestamp to it, or rename it"
    ))
}

fn refused(error: LineError) -> RecordError {
    RecordError::invalid(error.to_string())
}
