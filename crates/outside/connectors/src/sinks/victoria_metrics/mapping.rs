//! From a record to its samples.

use std::collections::BTreeMap;

use levada_codec::prometheus::{
    NAME_LABEL, NameKind, Sample, append_name, is_label_name, is_metric_name,
};
use levada_condition::Path;
use levada_model::tree::{NodeId, NodeKind};
use levada_model::{RecordBatch, RecordError, Timestamp};

use super::series::{SeriesSet, push_part};
use super::{LABEL_BYTES_DEFAULT, LABELS_DEFAULT, Names, Spec};
use crate::mapping::{Document, NamedTexts, Number, Reader, TextRule, TimeRule, Used, plain_path};

/// How far ahead of now a time may be. Source: VictoriaMetrics, `-futureRetention` and the fixed two days
/// before it; what is later is dropped.
const AHEAD_MAX_NANOS: i64 = 2 * 86_400 * 1_000_000_000;

const NANOS_PER_MILLI: i64 = 1_000_000;

/// Where the values of a record stand.
enum Values {
    /// One value.
    One { metric: TextRule, path: Path },
    /// An array of values, and one of times.
    Many { metric: TextRule, path: Path },
    /// A metric per number.
    Fields { prefix: TextRule, fields: Vec<Path> },
}

/// Makes samples of records.
pub(super) struct Mapping {
    values: Values,
    labels: NamedTexts,
    extra_labels: BTreeMap<String, String>,
    used: Used,
    time: Option<TimeRule>,
    names: Names,
    labels_max: usize,
    label_bytes_max: usize,
    retention_nanos: Option<i64>,
    reader: Reader,
    scratch: Scratch,
}

/// What is used again from record to record.
#[derive(Default)]
struct Scratch {
    text: String,
    name: String,
    label_text: String,
    label_spans: Vec<LabelSpan>,
    /// The labels of the record, as parts of a key.
    label_key: Vec<u8>,
    /// Keys of series one behind the other.
    keys: Vec<u8>,
    /// The samples of the record, each with the end of its key.
    samples: Vec<(usize, Sample)>,
}

#[derive(Clone, Copy, Debug)]
struct LabelSpan {
    start: usize,
    value: usize,
    end: usize,
    /// The name was changed to be one.
    is_changed: bool,
}

// === impl Mapping ===

impl Mapping {
    pub(super) fn new(spec: &Spec) -> Result<Self, String> {
        let labels = NamedTexts::compile(&spec.labels, &spec.labels_from)?;
        let time = TimeRule::compile(&spec.timestamp, spec.timestamp_unit)?;
        let mut used = Used::default();
        used.add_texts(&labels);
        if let Some(time) = &time {
            used.add(time.path());
        }
        let values = match &spec.prefix {
            Some(prefix) => {
                let prefix = TextRule::compile(prefix)?;
                used.add_text(&prefix);
                let fields =
                    spec.fields.iter().map(|text| plain_path(text)).collect::<Result<_, _>>()?;
                Values::Fields { prefix, fields }
            }
            None => {
                let metric = TextRule::compile(&spec.metric)?;
                match (&*spec.values, &*spec.value) {
                    ("", "") => Values::One { metric, path: plain_path("value")? },
                    ("", value) => Values::One { metric, path: plain_path(value)? },
                    (values, _) => Values::Many { metric, path: plain_path(values)? },
                }
            }
        };
        let nanos = |duration: levada_settings::Duration| {
            i64::try_from(duration.get().as_nanos()).unwrap_or(i64::MAX)
        };
        Ok(Mapping {
            values,
            labels,
            extra_labels: spec.extra_labels.clone(),
            used,
            time,
            names: spec.names,
            labels_max: spec.max_labels.unwrap_or(LABELS_DEFAULT) as usize,
            label_bytes_max: spec.max_label_bytes.unwrap_or(LABEL_BYTES_DEFAULT) as usize,
            retention_nanos: spec.retention.map(nanos),
            reader: Reader::default(),
            scratch: Scratch::default(),
        })
    }

    /// Adds the samples of a record.
    ///
    /// Errors: the record has none, or one that cannot be written; nothing was added.
    pub(super) fn push(
        &mut self,
        batch: &RecordBatch,
        index: usize,
        received: Timestamp,
        now: Timestamp,
        series: &mut SeriesSet,
    ) -> Result<(), RecordError> {
        let document = self.reader.read(batch, index)?;
        let times = Times { now, retention_nanos: self.retention_nanos };
        let is_array = matches!(self.values, Values::Many { .. });
        let time = match &self.time {
            Some(rule) if !is_array => rule.read(&document)?,
            _ => received,
        };
        let scratch = &mut self.scratch;
        scratch.keys.clear();
        scratch.samples.clear();
        let rules = Rules {
            names: self.names,
            extra_labels: &self.extra_labels,
            labels_max: self.labels_max,
            label_bytes_max: self.label_bytes_max,
        };
        rules.read_labels(&document, time, &mut self.labels, scratch)?;
        match &mut self.values {
            Values::One { metric, path } => {
                rules.name(metric, &document, time, "metric", scratch)?;
                let node = document.find(path).ok_or_else(|| missing("value", path))?;
                let value = value(&document, node, &|| format!("value: `{path}`"))?;
                let millis = times.millis(time)?;
                let name = std::mem::take(&mut scratch.name);
                let result = rules.add(&name, Sample { millis, value }, scratch);
                scratch.name = name;
                result?;
            }
            Values::Many { metric, path } => {
                rules.name(metric, &document, time, "metric", scratch)?;
                let name = std::mem::take(&mut scratch.name);
                let result = each_pair(&document, path, self.time.as_ref(), |node, time| {
                    let value = value(&document, node, &|| format!("values: `{path}`"))?;
                    let millis = times.millis(time)?;
                    rules.add(&name, Sample { millis, value }, scratch)
                });
                scratch.name = name;
                result?;
            }
            Values::Fields { prefix, fields } => {
                scratch.text.clear();
                prefix.append_all(Some(&document), time, "prefix", &mut scratch.text)?;
                let millis = times.millis(time)?;
                let mut add = |key: &str, node: NodeId| {
                    let value = value(&document, node, &|| format!("field `{key}`"))?;
                    let mut name = std::mem::take(&mut scratch.name);
                    name.clear();
                    name.push_str(&scratch.text);
                    name.push_str(key);
                    let result = rules.add(&name, Sample { millis, value }, scratch);
                    scratch.name = name;
                    result
                };
                if fields.is_empty() {
                    for member in document.tree.children(document.root) {
                        let kind = document.tree.kind(member);
                        if !matches!(kind, NodeKind::Number | NodeKind::True | NodeKind::False) {
                            continue;
                        }
                        let Some(key) = document.tree.key(document.text, member) else { continue };
                        if !self.used.contains(&key) {
                            add(&key, member)?;
                        }
                    }
                } else {
                    for path in fields.iter() {
                        if let Some(node) = document.find(path) {
                            add(path.last_key(), node)?;
                        }
                    }
                }
            }
        }
        if scratch.samples.is_empty() {
            return Err(RecordError::invalid("the record has no number to write"));
        }
        let mut start = 0;
        for &(end, sample) in &scratch.samples {
            series.push(&scratch.keys[start..end], sample);
            start = end;
        }
        Ok(())
    }
}

/// What names and labels must be.
struct Rules<'a> {
    names: Names,
    extra_labels: &'a BTreeMap<String, String>,
    labels_max: usize,
    label_bytes_max: usize,
}

impl Rules<'_> {
    /// Reads the labels of a record into `label_key`, sorted.
    fn read_labels(
        &self,
        document: &Document<'_>,
        time: Timestamp,
        labels: &mut NamedTexts,
        scratch: &mut Scratch,
    ) -> Result<(), RecordError> {
        let (text, spans) = (&mut scratch.label_text, &mut scratch.label_spans);
        text.clear();
        spans.clear();
        let mut push = |name: &str, value: &str| {
            // Exported series carry their name among their labels; `metric` says what it is here.
            if name == NAME_LABEL {
                return Ok(());
            }
            if value.len() > self.label_bytes_max {
                let (len, most) = (value.len(), self.label_bytes_max);
                let message = format!("label `{name}` has {len} bytes; at most {most} are kept");
                return Err(RecordError::invalid(message));
            }
            if self.names == Names::Reject && !is_label_name(name) {
                let message = format!("`{name}` is not the name of a label");
                return Err(RecordError::invalid(message));
            }
            let start = text.len();
            let is_changed = !append_name(NameKind::Label, name, text);
            let middle = text.len();
            text.push_str(value);
            spans.push(LabelSpan { start, value: middle, end: text.len(), is_changed });
            Ok(())
        };
        labels.each(document, time, &mut push)?;
        for (name, value) in self.extra_labels.iter().filter(|(_, value)| !value.is_empty()) {
            push(name, value)?;
        }
        let name_of = |span: &LabelSpan| &text[span.start..span.value];
        // Stable, and of equal names the last one counts: those given by name replace those of objects.
        spans.sort_by(|a, b| name_of(a).cmp(name_of(b)));
        scratch.label_key.clear();
        let mut count = 0;
        for (at, span) in spans.iter().enumerate() {
            if let Some(next) = spans.get(at + 1).filter(|next| name_of(next) == name_of(span)) {
                if span.is_changed || next.is_changed {
                    let message = format!("two labels would be called `{}`", name_of(span));
                    return Err(RecordError::invalid(message));
                }
                continue;
            }
            count += 1;
            push_part(&mut scratch.label_key, name_of(span));
            push_part(&mut scratch.label_key, &text[span.value..span.end]);
        }
        if count > self.labels_max {
            let most = self.labels_max;
            let message = format!("the record has {count} labels; at most {most} are kept");
            return Err(RecordError::invalid(message));
        }
        Ok(())
    }

    /// Puts the metric's name into `name`.
    fn name(
        &self,
        rule: &mut TextRule,
        document: &Document<'_>,
        time: Timestamp,
        what: &str,
        scratch: &mut Scratch,
    ) -> Result<(), RecordError> {
        scratch.name.clear();
        rule.append_all(Some(document), time, what, &mut scratch.name)?;
        if scratch.name.is_empty() {
            return Err(RecordError::invalid(format!("{what}: the name is empty")));
        }
        Ok(())
    }

    /// Adds a sample with its key.
    fn add(&self, name: &str, sample: Sample, scratch: &mut Scratch) -> Result<(), RecordError> {
        if is_metric_name(name) {
            push_part(&mut scratch.keys, name);
        } else if self.names == Names::Reject {
            let name: String = name.chars().take(60).collect();
            return Err(RecordError::invalid(format!("`{name}` is not the name of a metric")));
        } else {
            let mut sanitized = String::with_capacity(name.len() + 1);
            append_name(NameKind::Metric, name, &mut sanitized);
            push_part(&mut scratch.keys, &sanitized);
        }
        scratch.keys.extend_from_slice(&scratch.label_key);
        scratch.samples.push((scratch.keys.len(), sample));
        Ok(())
    }
}

/// Which times the server keeps.
struct Times {
    now: Timestamp,
    retention_nanos: Option<i64>,
}

impl Times {
    fn millis(&self, time: Timestamp) -> Result<i64, RecordError> {
        let fail = |what: &str| Err(RecordError::invalid(format!("timestamp: {time} is {what}")));
        if time.0 < 0 {
            return fail("before 1970");
        }
        if time.0 > self.now.0.saturating_add(AHEAD_MAX_NANOS) {
            return fail("more than two days ahead");
        }
        if let Some(retention) = self.retention_nanos
            && time.0 < self.now.0.saturating_sub(retention)
        {
            return fail("older than the retention");
        }
        Ok(time.0.div_euclid(NANOS_PER_MILLI))
    }
}

fn missing(what: &str, path: &Path) -> RecordError {
    RecordError::invalid(format!("{what}: the record has no value at `{path}`"))
}

/// Reads a value: a number, a number in a text, or a boolean.
fn value(
    document: &Document<'_>,
    node: NodeId,
    what: &dyn Fn() -> String,
) -> Result<f64, RecordError> {
    let (tree, text) = (document.tree, document.text);
    let number = match tree.kind(node) {
        NodeKind::True => return Ok(1.0),
        NodeKind::False => return Ok(0.0),
        NodeKind::Number => Number::parse(tree.literal(text, node).unwrap_or_default()),
        // Also `NaN` and `Infinity`, which are no numbers that could be kept.
        NodeKind::String => Number::parse(tree.string(text, node).unwrap_or_default().trim()),
        kind => {
            let message = format!("{} is of kind {}, which is no number", what(), kind.name());
            return Err(RecordError::invalid(message));
        }
    };
    match number {
        Ok(number) => Ok(number.to_f64()),
        // Beyond 64 bits a whole number still is a float.
        Err(_) if tree.kind(node) == NodeKind::Number => {
            let literal = tree.literal(text, node).unwrap_or_default();
            let number = literal.parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| {
                RecordError::invalid(format!("{} is beyond the range of 64-bit floats", what()))
            })
        }
        Err(problem) => Err(RecordError::invalid(format!("{} {problem}", what()))),
    }
}

/// Gives each element of an array with the time at the same place.
fn each_pair(
    document: &Document<'_>,
    path: &Path,
    time: Option<&TimeRule>,
    mut each: impl FnMut(NodeId, Timestamp) -> Result<(), RecordError>,
) -> Result<(), RecordError> {
    let array = |what: &str, path: &Path| {
        let node = document.find(path).ok_or_else(|| missing(what, path))?;
        match document.tree.kind(node) {
            NodeKind::Array => Ok(node),
            kind => {
                let message = format!("{what}: `{path}` is of kind {}, not an array", kind.name());
                Err(RecordError::invalid(message))
            }
        }
    };
    let Some(rule) = time else {
        return Err(RecordError::invalid("values need a path of times in timestamp"));
    };
    let (values, times) = (array("values", path)?, array("timestamp", rule.path())?);
    let mut times = document.tree.children(times);
    let mut values = document.tree.children(values);
    loop {
        match (values.next(), times.next()) {
            (Some(value), Some(time)) => each(value, rule.read_node(document, time)?)?,
            (None, None) => return Ok(()),
            _ => {
                let message = format!("`{path}` and `{}` differ in length", rule.path());
                return Err(RecordError::invalid(message));
            }
        }
    }
}
