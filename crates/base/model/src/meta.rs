//! Metadata of a record.

use crate::value::{Str, Value};

/// What a source or a step says about a record beside its payload: an ordered map with few entries.
///
/// Shared between records by `Arc` and copied on write, so that siblings never see each other's values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    entries: Vec<(Str, Value)>,
}

impl Meta {
    /// Makes empty metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(known, _)| &**known == key).map(|(_, value)| value)
    }

    /// Sets a key, in its place when it is there already.
    pub fn set(&mut self, key: &str, value: Value) {
        match self.entries.iter_mut().find(|(known, _)| &**known == key) {
            Some((_, slot)) => *slot = value,
            None => self.entries.push((key.into(), value)),
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.entries.iter().position(|(known, _)| &**known == key)?;
        Some(self.entries.remove(index).1)
    }

    /// Iterates in the order in which keys were first set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (&**key, value))
    }

    /// Tells whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends the metadata as a JSON object.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (key, value)) in self.entries.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            crate::text::encode_string(key, out);
            out.push(b':');
            value.write_json(out);
        }
        out.push(b'}');
    }
}

impl FromIterator<(Str, Value)> for Meta {
    fn from_iter<I: IntoIterator<Item = (Str, Value)>>(entries: I) -> Self {
        let mut meta = Meta::new();
        for (key, value) in entries {
            meta.set(&key, value);
        }
        meta
    }
}
