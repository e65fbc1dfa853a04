//! Limits and the rules of categories.
//!
//! [`Checks::passes`] says of a line, without taking it apart, that nothing about it would change; [`Checks::apply`]
//! changes a point and says what it did.
//!
//! Differs: texts are cut between characters (B45); a tag and a field with one key leave the tag, whichever came first
//! (B48); a float that is no number is a field without a value here, for no line can carry it.

use std::borrow::Cow;
use std::collections::HashSet;

use foldhash::fast::RandomState;
use levada_model::Category;

use super::line::{Kind, Line};
use super::{Entry, Point, Value};

/// What points of a category may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// The most tags.
    pub tags_max: usize,
    /// The most fields.
    pub fields_max: usize,
    /// The longest key of a tag or a field, in bytes.
    pub key_bytes_max: usize,
    /// The longest value of a tag, in bytes.
    pub tag_value_bytes_max: usize,
    /// The longest text or bytes of a field.
    pub field_value_bytes_max: usize,
    /// The longest measurement, in bytes.
    pub name_bytes_max: usize,
    /// Whether fields may be texts or bytes.
    pub allows_text_fields: bool,
    /// Whether keys may hold dots; otherwise these become `_`.
    pub allows_dots: bool,
    /// Whether integers may be unsigned.
    pub allows_unsigned: bool,
    /// Keys that are taken out.
    pub disabled: &'static [&'static str],
    /// A field that is added when there is neither a tag nor a field of its key.
    pub required: Option<(&'static str, &'static str)>,
}

/// What may be wrong with a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WarningKind {
    /// Too many tags, or too many fields: upstream has one word for both.
    ExceedMaxFields,
    /// A point without a field.
    NoField,
    /// The key of a tag was cut.
    ExceedMaxTagKeyLen,
    /// The value of a tag was cut.
    ExceedMaxTagValueLen,
    /// The key of a field was cut.
    ExceedMaxFieldKeyLen,
    /// A text was cut.
    ExceedMaxFieldValueLen,
    /// An unsigned integer is too large for a signed one.
    ExceedMaxFieldValueInt,
    /// Infinity became the largest number.
    ConvertInfToMaxValue,
    /// Minus infinity became the smallest number.
    ConvertInfToMinValue,
    /// A text that is not UTF-8.
    InvalidUtf8String,
    /// No measurement, or one that was cut.
    InvalidMeasurement,
    /// A field of a type that is not allowed here.
    InvalidFieldValueType,
    /// A field was added.
    AddRequiredKv,
    /// A field was taken out.
    FieldDisabled,
    /// A tag was taken out.
    TagDisabled,
    /// Two entries with one key.
    SameTagFieldKey,
    /// A key that another has already, after it was changed.
    KeyNameConflict,
    /// A dot in a key.
    DotInKey,
    /// A line end, or a backslash at the end.
    FoundNewLineOrTailEscape,
    /// A field without a value.
    NilField,
}

/// Something that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What kind of thing.
    pub kind: WarningKind,
    /// In the words of upstream where it has some.
    pub message: String,
}

/// What was changed: counts of everything, and the first few in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings {
    counts: [u64; WarningKind::ALL.len()],
    first: Vec<Warning>,
}

/// What has to be done with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is good as it is.
    Clean,
    /// It is good with one more field behind its last.
    Lacks(&'static str, &'static str),
    /// It has to be taken apart.
    Change,
}

/// How many warnings are kept in words.
pub const WARNINGS_MAX: usize = 20;

/// How many entries are compared one by one.
const COMPARED_MAX: usize = 64;

// === impl WarningKind ===

impl WarningKind {
    /// All kinds.
    pub const ALL: [WarningKind; 20] = [
        WarningKind::ExceedMaxFields,
        WarningKind::NoField,
        WarningKind::ExceedMaxTagKeyLen,
        WarningKind::ExceedMaxTagValueLen,
        WarningKind::ExceedMaxFieldKeyLen,
        WarningKind::ExceedMaxFieldValueLen,
        WarningKind::ExceedMaxFieldValueInt,
        WarningKind::ConvertInfToMaxValue,
        WarningKind::ConvertInfToMinValue,
        WarningKind::InvalidUtf8String,
        WarningKind::InvalidMeasurement,
        WarningKind::InvalidFieldValueType,
        WarningKind::AddRequiredKv,
        WarningKind::FieldDisabled,
        WarningKind::TagDisabled,
        WarningKind::SameTagFieldKey,
        WarningKind::KeyNameConflict,
        WarningKind::DotInKey,
        WarningKind::FoundNewLineOrTailEscape,
        WarningKind::NilField,
    ];

    /// Gives the word of upstream.
    pub const fn name(self) -> &'static str {
        match self {
            WarningKind::ExceedMaxFields => "exceed_max_fields",
            WarningKind::NoField => "no_field",
            WarningKind::ExceedMaxTagKeyLen => "exceed_max_tag_key_len",
            WarningKind::ExceedMaxTagValueLen => "exceed_max_tag_value_len",
            WarningKind::ExceedMaxFieldKeyLen => "exceed_max_field_key_len",
            WarningKind::ExceedMaxFieldValueLen => "exceed_max_field_value_len",
            WarningKind::ExceedMaxFieldValueInt => "exceed_max_field_value_int",
            WarningKind::ConvertInfToMaxValue => "convert_inf_to_max_value",
            WarningKind::ConvertInfToMinValue => "convert_inf_to_min_value",
            WarningKind::InvalidUtf8String => "invalid_utf8_string",
            WarningKind::InvalidMeasurement => "invalid_measurement",
            WarningKind::InvalidFieldValueType => "invalid_field_value_type",
            WarningKind::AddRequiredKv => "add_required_kv",
            WarningKind::FieldDisabled => "field_disabled",
            WarningKind::TagDisabled => "tag_disabled",
            WarningKind::SameTagFieldKey => "same_tag_field_key",
            WarningKind::KeyNameConflict => "key_name_conflict",
            WarningKind::DotInKey => "dot_in_key",
            WarningKind::FoundNewLineOrTailEscape => "found_new_line_or_tail_espace",
            WarningKind::NilField => "nil_field",
        }
    }
}

// === impl Warnings ===

impl Warnings {
    /// Counts a warning; its words are made only when they are kept.
    pub fn add(&mut self, kind: WarningKind, message: impl FnOnce() -> String) {
        self.counts[kind as usize] += 1;
        if self.first.len() < WARNINGS_MAX {
            self.first.push(Warning { kind, message: message() });
        }
    }

    /// Gives how many there are.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Gives how many there are of every kind that occurred.
    pub fn counts(&self) -> impl Iterator<Item = (WarningKind, u64)> {
        WarningKind::ALL.into_iter().zip(self.counts).filter(|(_, count)| *count > 0)
    }

    /// Gives the first of them.
    pub fn first(&self) -> &[Warning] {
        &self.first
    }
}

// === impl Checks ===

impl Default for Checks {
    /// The limits alone. Source: dataway reference §8.2.
    fn default() -> Self {
        Checks {
            tags_max: 256,
            fields_max: 1_024,
            key_bytes_max: 256,
            tag_value_bytes_max: 1_024,
            field_value_bytes_max: 32 << 20,
            name_bytes_max: 1_024,
            allows_text_fields: true,
            allows_dots: true,
            allows_unsigned: true,
            disabled: &[],
            required: None,
        }
    }
}

impl Checks {
    /// Gives what upstream's write API demands of a category; it has rules for three.
    pub fn of(category: Category) -> Self {
        let limits = Checks::default();
        match category {
            Category::Metric | Category::Metrics => Checks { allows_text_fields: false, ..limits },
            Category::Logging => Checks {
                allows_dots: false,
                disabled: &["source", "date"],
                required: Some(("status", "info")),
                ..limits
            },
            Category::Object => Checks {
                allows_dots: false,
                disabled: &["class", "date"],
                required: Some(("name", "default")),
                ..limits
            },
            _ => limits,
        }
    }

    /// Gives what an InfluxDB 1.x can store: no unsigned integers.
    pub fn influx() -> Self {
        Checks { allows_text_fields: false, allows_unsigned: false, ..Checks::default() }
    }

    /// Says what has to be done with a line.
    #[inline]
    pub fn passes(&self, line: &Line<'_, '_>) -> Verdict {
        if !line.is_plain()
            || line.name().len() > self.name_bytes_max
            || line.len() > self.tags_max.min(self.fields_max)
        {
            return Verdict::Change;
        }
        let has_key_rules =
            !self.allows_dots || !self.disabled.is_empty() || self.required.is_some();
        let mut lacks = self.required.is_some();
        for span in line.spans() {
            // Lengths say enough about most entries: their text is not looked at.
            let value_bytes = (span.value_end - span.value_start) as usize;
            let is_good = match span.kind {
                Kind::Tag => value_bytes <= self.tag_value_bytes_max,
                Kind::Float | Kind::Int | Kind::True | Kind::False => true,
                Kind::UInt => self.allows_unsigned,
                Kind::Text | Kind::EscapedText | Kind::Bytes => {
                    self.allows_text_fields && value_bytes <= self.field_value_bytes_max
                }
                Kind::Array => self.allows_text_fields && value_bytes > 0,
            };
            if !is_good || (span.key_end - span.key_start) as usize > self.key_bytes_max {
                return Verdict::Change;
            }
            if has_key_rules {
                let key = line.key(span);
                if !self.allows_dots && key.bytes().any(|byte| byte == b'.')
                    || self.disabled.contains(&key)
                {
                    return Verdict::Change;
                }
                lacks &= self.required.is_some_and(|(required, _)| required != key);
            }
        }
        match self.required {
            Some((key, value)) if lacks => Verdict::Lacks(key, value),
            _ => Verdict::Clean,
        }
    }

    /// Makes a point keep the rules.
    ///
    /// A point that has no field afterwards is worth nothing: see [`Point::has_field`].
    pub fn apply(&self, point: &mut Point<'_>, warnings: &mut Warnings) {
        self.name(point, warnings);
        for is_tag in [false, true] {
            self.count(point, is_tag, warnings);
        }
        let before = std::mem::take(&mut point.entries);
        let keys = Keys::of(&before);
        let mut kept = Kept::with_capacity(before.len());
        for mut entry in before {
            let is_good = if entry.is_tag {
                self.tag(&mut entry, &keys, &kept, warnings)
            } else {
                self.field(&mut entry, &keys, &kept, warnings)
            };
            if is_good {
                kept.push(entry);
            }
        }
        point.entries = kept.entries;
        if let Some((key, value)) = self.required
            && point.entry(key).is_none()
        {
            warnings.add(WarningKind::AddRequiredKv, || {
                format!("add required key-value \"{key}\": \"{value}\"")
            });
            point.entries.push(Entry::field(key, Value::Str(value.into())));
        }
    }

    fn name(&self, point: &mut Point<'_>, warnings: &mut Warnings) {
        let len = point.name.len();
        if len == 0 {
            warnings.add(WarningKind::InvalidMeasurement, || {
                "empty measurement, use __default".to_owned()
            });
            point.name = Cow::Borrowed("__default");
        } else if cut(&mut point.name, self.name_bytes_max) {
            let max = self.name_bytes_max;
            warnings.add(WarningKind::InvalidMeasurement, || {
                format!("exceed max measurement length({max}), got length {len}, trimmed")
            });
        }
    }

    fn count(&self, point: &mut Point<'_>, is_tag: bool, warnings: &mut Warnings) {
        let (max, word) = if is_tag { (self.tags_max, "tag") } else { (self.fields_max, "field") };
        let count = point.entries.iter().filter(|entry| entry.is_tag == is_tag).count();
        if count <= max {
            return;
        }
        let mut room = max;
        point.entries.retain(|entry| {
            if entry.is_tag != is_tag {
                return true;
            }
            let fits = room > 0;
            room = room.saturating_sub(1);
            fits
        });
        warnings.add(WarningKind::ExceedMaxFields, || {
            format!("exceed max {word} count({max}), got {count} {word}s, extra {word}s deleted")
        });
    }

    fn tag(
        &self,
        entry: &mut Entry<'_>,
        keys: &Keys,
        kept: &Kept<'_>,
        warnings: &mut Warnings,
    ) -> bool {
        let before = entry.key.len();
        let mut is_renamed = self.cut_key(entry, WarningKind::ExceedMaxTagKeyLen, warnings);
        is_renamed |= clean(&mut entry.key, "tag key", warnings);
        is_renamed |= self.undot(entry, "tag", warnings);
        debug_assert!(is_renamed || entry.key.len() == before);
        if !self.is_wanted(entry, is_renamed, keys, kept, warnings) {
            return false;
        }
        let key = &entry.key;
        let Value::Str(value) = &mut entry.value else {
            warnings.add(WarningKind::InvalidFieldValueType, || {
                format!("tag({key}) dropped: its value is no text")
            });
            return false;
        };
        clean(value, "tag value", warnings);
        let (len, max) = (value.len(), self.tag_value_bytes_max);
        if cut(value, max) {
            warnings.add(WarningKind::ExceedMaxTagValueLen, || {
                format!("exceed max tag value length({max}), got {len}, key={key}")
            });
        }
        true
    }

    fn field(
        &self,
        entry: &mut Entry<'_>,
        keys: &Keys,
        kept: &Kept<'_>,
        warnings: &mut Warnings,
    ) -> bool {
        let mut is_renamed = self.cut_key(entry, WarningKind::ExceedMaxFieldKeyLen, warnings);
        is_renamed |= self.undot(entry, "field", warnings);
        is_renamed |= clean(&mut entry.key, "field key", warnings);
        if !self.is_wanted(entry, is_renamed, keys, kept, warnings) {
            return false;
        }
        self.value(entry, warnings)
    }

    fn value(&self, entry: &mut Entry<'_>, warnings: &mut Warnings) -> bool {
        let key = &entry.key;
        let max = self.field_value_bytes_max;
        let mut no_texts = |word: &str| {
            warnings.add(WarningKind::InvalidFieldValueType, || {
                format!("field({key}) dropped with {word} value, when [DisableStringField] enabled")
            });
            false
        };
        match &mut entry.value {
            Value::Str(_) if !self.allows_text_fields => return no_texts("string"),
            Value::Bytes(_) if !self.allows_text_fields => return no_texts("bytes"),
            Value::Array(_) | Value::Map(_) if !self.allows_text_fields => {
                return no_texts("array");
            }
            Value::UInt(number) if !self.allows_unsigned => match i64::try_from(*number) {
                Ok(number) => entry.value = Value::Int(number),
                Err(_) => {
                    warnings.add(WarningKind::ExceedMaxFieldValueInt, || {
                        format!("too large int field: key={key}, value={number}(> {})", i64::MAX)
                    });
                    return false;
                }
            },
            Value::Float(number) if !number.is_finite() => {
                let (kind, value) = match *number {
                    f64::INFINITY => (WarningKind::ConvertInfToMaxValue, u64::MAX as f64),
                    f64::NEG_INFINITY => (WarningKind::ConvertInfToMinValue, i64::MIN as f64),
                    _ => {
                        warnings.add(WarningKind::InvalidFieldValueType, || {
                            format!("field({key}) dropped with NaN value")
                        });
                        return false;
                    }
                };
                warnings.add(kind, || format!("field({key}) is infinite, use {value}"));
                entry.value = Value::Float(value);
            }
            Value::Str(text) => {
                let len = text.len();
                if cut(text, max) {
                    warnings.add(WarningKind::ExceedMaxFieldValueLen, || {
                        format!("exceed max field value length({max}), got {len}, key={key}")
                    });
                }
            }
            Value::Bytes(bytes) if bytes.len() > max => {
                let len = bytes.len();
                match bytes {
                    Cow::Borrowed(bytes) => *bytes = &bytes[..max],
                    Cow::Owned(bytes) => bytes.truncate(max),
                }
                warnings.add(WarningKind::ExceedMaxFieldValueLen, || {
                    format!("exceed max field value length({max}), got {len}, key={key}")
                });
            }
            Value::Nil => warnings.add(WarningKind::NilField, || format!("nil field({key})")),
            _ => {}
        }
        true
    }

    fn cut_key(&self, entry: &mut Entry<'_>, kind: WarningKind, warnings: &mut Warnings) -> bool {
        let (len, max) = (entry.key.len(), self.key_bytes_max);
        if !cut(&mut entry.key, max) {
            return false;
        }
        let word = if entry.is_tag { "tag" } else { "field" };
        warnings.add(kind, || format!("exceed max {word} key length({max}), got {len}"));
        true
    }

    fn undot(&self, entry: &mut Entry<'_>, word: &str, warnings: &mut Warnings) -> bool {
        if self.allows_dots || !entry.key.contains('.') {
            return false;
        }
        let key = &entry.key;
        warnings.add(WarningKind::DotInKey, || format!("invalid {word} key `{key}': found `.'"));
        entry.key = Cow::Owned(entry.key.replace('.', "_"));
        true
    }

    fn is_wanted(
        &self,
        entry: &Entry<'_>,
        is_renamed: bool,
        keys: &Keys,
        kept: &Kept<'_>,
        warnings: &mut Warnings,
    ) -> bool {
        let key = &*entry.key;
        let (word, kind) = match entry.is_tag {
            true => ("tag", WarningKind::TagDisabled),
            false => ("field", WarningKind::FieldDisabled),
        };
        if key.is_empty() || self.disabled.contains(&key) {
            warnings.add(kind, || format!("{word} key \"{key}\" disabled"));
            return false;
        }
        if is_renamed && keys.has(key) {
            warnings.add(WarningKind::KeyNameConflict, || {
                format!("{word} key \"{key}\" exist after adjust")
            });
            return false;
        }
        if kept.has(key) || !entry.is_tag && keys.has_tag(key) {
            warnings.add(WarningKind::SameTagFieldKey, || format!("same key (\"{key}\")"));
            return false;
        }
        true
    }
}

/// The keys of a point before anything was changed; hashes only where there are many.
struct Keys {
    all: Vec<(Box<str>, bool)>,
    hashed: HashSet<(Box<str>, bool), RandomState>,
}

/// What is left of a point.
struct Kept<'a> {
    entries: Vec<Entry<'a>>,
    hashed: HashSet<Box<str>, RandomState>,
}

// === impl Keys ===

impl Keys {
    fn of(entries: &[Entry<'_>]) -> Self {
        let all = entries.iter().map(|entry| (Box::from(&*entry.key), entry.is_tag));
        if entries.len() > COMPARED_MAX {
            Keys { all: Vec::new(), hashed: all.collect() }
        } else {
            Keys { all: all.collect(), hashed: HashSet::default() }
        }
    }

    fn has(&self, key: &str) -> bool {
        self.has_as(key, true) || self.has_as(key, false)
    }

    fn has_tag(&self, key: &str) -> bool {
        self.has_as(key, true)
    }

    fn has_as(&self, key: &str, is_tag: bool) -> bool {
        if self.hashed.is_empty() {
            return self.all.iter().any(|(known, tag)| **known == *key && *tag == is_tag);
        }
        self.hashed.contains(&(Box::from(key), is_tag))
    }
}

// === impl Kept ===

impl<'a> Kept<'a> {
    fn with_capacity(count: usize) -> Self {
        Kept { entries: Vec::with_capacity(count + 1), hashed: HashSet::default() }
    }

    fn push(&mut self, entry: Entry<'a>) {
        if self.entries.len() == COMPARED_MAX {
            self.hashed.extend(self.entries.iter().map(|entry| Box::from(&*entry.key)));
        }
        if self.entries.len() >= COMPARED_MAX {
            self.hashed.insert(Box::from(&*entry.key));
        }
        self.entries.push(entry);
    }

    fn has(&self, key: &str) -> bool {
        if self.entries.len() <= COMPARED_MAX {
            return self.entries.iter().any(|entry| entry.key == key);
        }
        self.hashed.contains(key)
    }
}

/// Cuts a text to so many bytes, between characters; says whether it was longer.
fn cut(text: &mut Cow<'_, str>, bytes_max: usize) -> bool {
    if text.len() <= bytes_max {
        return false;
    }
    let end = text.floor_char_boundary(bytes_max);
    match text {
        Cow::Borrowed(text) => *text = &text[..end],
        Cow::Owned(text) => text.truncate(end),
    }
    true
}

/// Takes backslashes from the end and makes blanks of line ends; says whether there were any.
fn clean(text: &mut Cow<'_, str>, what: &str, warnings: &mut Warnings) -> bool {
    if !text.ends_with('\\') && !text.contains('\n') {
        return false;
    }
    let cleaned = text.trim_end_matches('\\').replace('\n', " ");
    *text = Cow::Owned(cleaned);
    warnings.add(WarningKind::FoundNewLineOrTailEscape, || {
        format!("invalid {what} `{text}': found new line or tail escape")
    });
    true
}

#[cfg(test)]
mod tests;
