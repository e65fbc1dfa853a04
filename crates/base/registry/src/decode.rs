//! Typed values from located trees, with every problem reported.
//!
//! A type derives `Deserialize` with `#[serde(default)]` on the container, so that a field that is
//! missing or wrong never hides the next one: a value of the wrong type is reported, taken out, and
//! the rest is decoded again. Fields that the type does not have are reported with the known ones.

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};

use crate::manifest::{Node, NodeValue};
use crate::report::{FieldPath, Report, Segment};

/// What to do about fields that a type does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Refuse them: our own formats.
    Error,
    /// Accept and warn: formats whose original ignores them.
    Warn,
}

/// Decodes a type from a node and reports everything that is wrong.
///
/// `at` is the path of the node. Gives nothing when the node is no map at all or cannot be decoded.
pub fn decode<T: DeserializeOwned>(
    node: &Node,
    at: &FieldPath,
    unknown: Unknown,
    report: &mut Report,
) -> Option<T> {
    // More wrong fields than this in one block are reported after the first ones are mended.
    const ATTEMPTS_MAX: usize = 100;
    let mut rest = node.clone();
    for _ in 0..ATTEMPTS_MAX {
        let mut unknowns = Vec::new();
        let decoder = Decoder { node: &rest, path: FieldPath::root(), unknowns: &mut unknowns };
        match T::deserialize(decoder) {
            Ok(value) => {
                for (path, known) in unknowns {
                    report_unknown(&at.join(&path), known, unknown, report);
                }
                return Some(value);
            }
            Err(error) => {
                let path = FieldPath::root().join(&error.path());
                let mut value = find(&rest, &path).map_or(serde_json::Value::Null, Node::to_json);
                hide_secrets(&mut value, at.join(&path).segments().iter().any(is_secret));
                report.invalid(&at.join(&path), value, &error.message);
                if path.segments().is_empty() || !take_out(&mut rest, path.segments()) {
                    return None;
                }
            }
        }
    }
    None
}

/// Tells whether a key is one of those that hold a secret.
fn is_secret(segment: &Segment) -> bool {
    match segment {
        Segment::Field(name) | Segment::Key(name) => is_secret_key(name),
        Segment::Index(_) => false,
    }
}

fn is_secret_key(name: &str) -> bool {
    const ENDS: [&str; 5] = ["password", "token", "secret", "connectionstring", "authorization"];
    let name = name.to_ascii_lowercase();
    ENDS.iter().any(|end| name.ends_with(end))
}

/// Puts `***` in the place of a value that is a secret, and of those below it that are.
fn hide_secrets(value: &mut serde_json::Value, is_secret: bool) {
    match value {
        serde_json::Value::Null => {}
        value if is_secret => *value = "***".into(),
        serde_json::Value::Array(items) => {
            items.iter_mut().for_each(|item| hide_secrets(item, false));
        }
        serde_json::Value::Object(members) => {
            members.iter_mut().for_each(|(key, value)| hide_secrets(value, is_secret_key(key)));
        }
        _ => {}
    }
}

fn report_unknown(
    path: &FieldPath,
    known: &'static [&'static str],
    unknown: Unknown,
    report: &mut Report,
) {
    let name = match path.segments().last() {
        Some(Segment::Field(name) | Segment::Key(name)) => name.clone(),
        _ => String::new(),
    };
    let text = format!("unknown field `{name}`; known: {}", known.join(", "));
    match unknown {
        Unknown::Error => report.error(path, text),
        Unknown::Warn => report.warning(path, format!("{text} (ignored)")),
    }
}

fn find<'n>(node: &'n Node, path: &FieldPath) -> Option<&'n Node> {
    path.segments().iter().try_fold(node, |node, segment| match segment {
        Segment::Field(name) | Segment::Key(name) => node.entry(name).map(|entry| &entry.value),
        Segment::Index(index) => node.list()?.get(*index),
    })
}

fn take_out(node: &mut Node, path: &[Segment]) -> bool {
    match (path, &mut node.value) {
        ([Segment::Field(name) | Segment::Key(name)], NodeValue::Map(_)) => {
            node.remove(name).is_some()
        }
        ([Segment::Index(index)], NodeValue::List(items)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        ([Segment::Field(name) | Segment::Key(name), rest @ ..], NodeValue::Map(entries)) => {
            entries
                .iter_mut()
                .find(|entry| entry.key == *name)
                .is_some_and(|entry| take_out(&mut entry.value, rest))
        }
        ([Segment::Index(index), rest @ ..], NodeValue::List(items)) => {
            items.get_mut(*index).is_some_and(|item| take_out(item, rest))
        }
        _ => false,
    }
}

type Unknowns = Vec<(FieldPath, &'static [&'static str])>;

struct Decoder<'n, 'u> {
    node: &'n Node,
    path: FieldPath,
    unknowns: &'u mut Unknowns,
}

/// A decoding error on its way out: the path grows at the front.
#[derive(Debug)]
struct DecodeError {
    message: String,
    reversed: Vec<Segment>,
}

impl DecodeError {
    fn within(mut self, segment: Segment) -> Self {
        self.reversed.push(segment);
        self
    }

    fn path(&self) -> FieldPath {
        self.reversed
            .iter()
            .rev()
            .fold(FieldPath::root(), |path, segment| path.with(segment.clone()))
    }
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        DecodeError { message: message.to_string(), reversed: Vec::new() }
    }

    fn invalid_type(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let got = match unexpected {
            de::Unexpected::Map => "a map",
            de::Unexpected::Seq => "a list",
            de::Unexpected::Str(_) => "a string",
            de::Unexpected::Bool(_) => "a boolean",
            de::Unexpected::Unit => "null",
            _ => "a number",
        };
        de::Error::custom(format_args!("must be {expected}, not {got}"))
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            match &self.node.value {
                NodeValue::Number(text) => match text.parse::<$type>() {
                    Ok(number) => visitor.$visit(number),
                    Err(_) => Err(de::Error::custom(format_args!(
                        "must be a whole number from {} to {}", <$type>::MIN, <$type>::MAX
                    ))),
                },
                _ => Err(self.wrong("a whole number")),
            }
        }
    )*};
}

impl<'de> Decoder<'_, '_> {
    fn wrong(&self, expected: &str) -> DecodeError {
        de::Error::custom(format_args!("must be {expected}, not {}", self.node.kind()))
    }

    fn map<V: Visitor<'de>>(
        self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let NodeValue::Map(entries) = &self.node.value else {
            return Err(self.wrong("a map"));
        };
        visitor.visit_map(MapAccess {
            entries: entries.iter(),
            current: None,
            fields,
            path: self.path,
            unknowns: self.unknowns,
        })
    }
}

impl<'de> de::Deserializer<'de> for Decoder<'_, '_> {
    type Error = DecodeError;

    integers! {
        deserialize_i8 visit_i8 i8 deserialize_i16 visit_i16 i16 deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64 deserialize_u8 visit_u8 u8 deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32 deserialize_u64 visit_u64 u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            NodeValue::Null => visitor.visit_unit(),
            NodeValue::Bool(value) => visitor.visit_bool(*value),
            NodeValue::String(text) => visitor.visit_str(text),
            NodeValue::List(_) => self.deserialize_seq(visitor),
            NodeValue::Map(_) => self.map(None, visitor),
            NodeValue::Number(text) => {
                if let Ok(number) = text.parse::<i64>() {
                    visitor.visit_i64(number)
                } else if let Ok(number) = text.parse::<u64>() {
                    visitor.visit_u64(number)
                } else {
                    visitor.visit_f64(text.parse().unwrap_or(f64::NAN))
                }
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            NodeValue::Bool(value) => visitor.visit_bool(*value),
            _ => Err(self.wrong("true or false")),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            NodeValue::Number(text) => visitor.visit_f64(text.parse().unwrap_or(f64::NAN)),
            _ => Err(self.wrong("a number")),
        }
    }

    /// Numbers and booleans are accepted for texts, as they were written: `topic: 2024` means `"2024"`.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.node.scalar_text() {
            Some(text) => visitor.visit_string(text),
            None => Err(self.wrong("a string")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.node.value {
            NodeValue::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let NodeValue::List(items) = &self.node.value else {
            return Err(self.wrong("a list"));
        };
        visitor.visit_seq(SeqAccess {
            items: items.iter().enumerate(),
            path: self.path,
            unknowns: self.unknowns,
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.map(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.map(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let text = self.node.scalar_text().ok_or_else(|| self.wrong("a string"))?;
        if !variants.contains(&text.as_str()) {
            let list = variants.join("`, `");
            return Err(de::Error::custom(format_args!("must be one of `{list}`")));
        }
        visitor.visit_enum(text.into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct MapAccess<'n, 'u> {
    entries: std::slice::Iter<'n, crate::manifest::Entry>,
    current: Option<&'n crate::manifest::Entry>,
    /// The fields of a struct; a free map has none.
    fields: Option<&'static [&'static str]>,
    path: FieldPath,
    unknowns: &'u mut Unknowns,
}

impl MapAccess<'_, '_> {
    fn segment(&self, key: &str) -> Segment {
        match self.fields {
            Some(_) => Segment::Field(key.to_owned()),
            None => Segment::Key(key.to_owned()),
        }
    }
}

impl<'de> de::MapAccess<'de> for MapAccess<'_, '_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        // A `null` says nothing, so the field keeps its default.
        let next = match self.fields {
            Some(_) => self.entries.find(|entry| entry.value.value != NodeValue::Null),
            None => self.entries.next(),
        };
        let Some(entry) = next else {
            return Ok(None);
        };
        self.current = Some(entry);
        if let Some(fields) = self.fields
            && !fields.contains(&entry.key.as_str())
        {
            self.unknowns.push((self.path.with(self.segment(&entry.key)), fields));
        }
        let key: de::value::StrDeserializer<'_, DecodeError> =
            entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DecodeError> {
        let Some(entry) = self.current.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let segment = self.segment(&entry.key);
        let path = self.path.with(segment.clone());
        seed.deserialize(Decoder { node: &entry.value, path, unknowns: self.unknowns })
            .map_err(|error| error.within(segment))
    }
}

struct SeqAccess<'n, 'u> {
    items: std::iter::Enumerate<std::slice::Iter<'n, Node>>,
    path: FieldPath,
    unknowns: &'u mut Unknowns,
}

impl<'de> de::SeqAccess<'de> for SeqAccess<'_, '_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some((index, node)) = self.items.next() else {
            return Ok(None);
        };
        let path = self.path.index(index);
        seed.deserialize(Decoder { node, path, unknowns: self.unknowns })
            .map(Some)
            .map_err(|error| error.within(Segment::Index(index)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, rename_all = "camelCase")]
    struct Sample {
        name: String,
        batch_size: Option<u16>,
        tags: BTreeMap<String, String>,
        items: Vec<Item>,
        deep: bool,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Item {
        key: String,
    }

    fn check(yaml: &str, unknown: Unknown, expected: &[&str]) -> Option<Sample> {
        let node = crate::manifest::parse(yaml).unwrap().remove(0).root;
        let mut report = Report::new();
        let value = decode(&node, &FieldPath::field("spec"), unknown, &mut report);
        let texts: Vec<String> = report.problems().iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected, "{yaml}");
        value
    }

    #[test]
    fn values_are_decoded() {
        let sample = check(
            "{name: 12, batchSize: 5, tags: {a: b, c: true}, items: [{key: x}], deep: ~}",
            Unknown::Error,
            &[],
        )
        .unwrap();
        assert_eq!(sample.name, "12");
        assert_eq!(sample.batch_size, Some(5));
        assert_eq!(sample.tags["c"], "true");
        assert_eq!(sample.items, [Item { key: "x".into() }]);
    }

    #[test]
    fn values_of_secrets_are_not_shown() {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Login {
            password: String,
            bearer_token: String,
            client_secret: String,
            connection_string: String,
            password_secret_ref: String,
            user: String,
            nested: String,
        }
        let yaml = "{password: [hunter2], bearerToken: {a: hunter2}, clientSecret: [{b: hunter2}], \
                    connectionString: ['host=h password=hunter2'], passwordSecretRef: [shown], \
                    user: [u], nested: [{password: hunter2, x: 1}]}";
        let node = crate::manifest::parse(yaml).unwrap().remove(0).root;
        let mut report = Report::new();
        decode::<Login>(&node, &FieldPath::root(), Unknown::Error, &mut report);
        let texts: Vec<String> = report.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "password: Invalid value: \"***\": must be a string, not a list",
                "bearerToken: Invalid value: \"***\": must be a string, not a map",
                "clientSecret: Invalid value: \"***\": must be a string, not a list",
                "connectionString: Invalid value: \"***\": must be a string, not a list",
                "passwordSecretRef: Invalid value: [\"shown\"]: must be a string, not a list",
                "user: Invalid value: [\"u\"]: must be a string, not a list",
                "nested: Invalid value: [{\"password\":\"***\",\"x\":1}]: must be a string, not a list",
            ]
        );
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        check(
            "{name: [], batchSize: 70000, tags: {a: []}, items: [{key: {}}, {kee: 1}], deep: maybe}",
            Unknown::Error,
            &[
                "spec.name: Invalid value: []: must be a string, not a list",
                "spec.batchSize: Invalid value: 70000: must be a whole number from 0 to 65535",
                "spec.tags[a]: Invalid value: []: must be a string, not a list",
                "spec.items[0].key: Invalid value: {}: must be a string, not a map",
                "spec.deep: Invalid value: \"maybe\": must be true or false, not a string",
                "spec.items[1].kee: unknown field `kee`; known: key",
            ],
        );
        check(
            "{nam: x}",
            Unknown::Warn,
            &["spec.nam: unknown field `nam`; known: name, batchSize, tags, items, deep (ignored)"],
        );
        assert_eq!(
            check("[1]", Unknown::Warn, &["spec: Invalid value: [1]: must be a map, not a list"]),
            None
        );
    }
}
