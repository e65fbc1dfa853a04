//! What a template sees: values that borrow from the event, so that nothing is built per event.

use std::borrow::Cow;

use crate::go::time::{Time, Zone};

/// A value of a template.
///
/// The variants follow the Go types that texts and error messages name; data of the caller hides
/// behind [`MapLike`], [`ListLike`] and [`StructLike`].
#[derive(Clone, Default)]
pub enum Value<'a> {
    /// Nothing: a missing key, or the constant `nil`.
    #[default]
    Nil,
    /// A `bool`.
    Bool(bool),
    /// An `int`: a literal, a length, a part of a time.
    Int(i64),
    /// An `int64`: an integer field.
    Int64(i64),
    /// A `uint64`: an unsigned field.
    Uint64(u64),
    /// A `uint8`: a byte of a text.
    Byte(u8),
    /// A `float64`.
    Float(f64),
    /// A `string`.
    Str(Cow<'a, str>),
    /// A `time.Duration` in nanoseconds.
    Duration(i64),
    /// A `time.Time`.
    Time(Time),
    /// A `time.Month`, from 1.
    Month(u8),
    /// A `time.Weekday`, from 0 on Sunday.
    Weekday(u8),
    /// A `*time.Location`.
    Location(Zone),
    /// A list.
    List(List<'a>),
    /// A map with text keys.
    Map(&'a dyn MapLike),
    /// A struct.
    Struct(&'a dyn StructLike),
}

/// A part of a list.
#[derive(Clone, Copy)]
pub struct List<'a> {
    items: &'a dyn ListLike,
    start: usize,
    end: usize,
}

/// A list of the caller.
pub trait ListLike {
    /// Gives the Go type, e.g. `[]string`.
    fn type_name(&self) -> &'static str {
        "[]interface {}"
    }
    /// Gives the number of items.
    fn len(&self) -> usize;
    /// Says whether there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Gives an item; `index` is less than [`len`](ListLike::len).
    fn get(&self, index: usize) -> Value<'_>;
}

/// A map of the caller.
pub trait MapLike {
    /// Gives the Go type, e.g. `models.Tags`.
    fn type_name(&self) -> &'static str {
        "map[string]interface {}"
    }
    /// Gives the Go type of the values: `string` or `interface {}`.
    fn element_type(&self) -> &'static str {
        "interface {}"
    }
    /// Gives the number of entries.
    fn len(&self) -> usize;
    /// Says whether there are no entries.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Gives the value of a key.
    fn get(&self, key: &str) -> Option<Value<'_>>;
    /// Gives an entry by its place **in the order of the keys**; `index` is less than [`len`](MapLike::len).
    fn entry(&self, index: usize) -> (&str, Value<'_>);
}

/// A struct of the caller.
pub trait StructLike {
    /// Gives the Go type that error messages name, e.g. `kapacitor.idInfo`.
    fn type_name(&self) -> &'static str;
    /// Gives the names of the fields in their order, for printing and JSON.
    fn fields(&self) -> &'static [&'static str];
    /// Gives the value of a field.
    fn field(&self, name: &str) -> Option<Value<'_>>;
    /// Gives the key of a field in JSON; nothing leaves it out.
    fn json_key(&self, field: &'static str) -> Option<&'static str> {
        Some(field)
    }
}

/// A map of texts that is sorted by key: tags.
#[derive(Clone, Copy, Debug)]
pub struct SortedTags<'a, K, V>(pub &'a [(K, V)]);

// === impl Value ===

impl<'a> Value<'a> {
    /// Makes a text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Value::Str(text.into())
    }

    /// Makes a list.
    pub fn list(items: &'a dyn ListLike) -> Self {
        Value::List(List::new(items))
    }

    /// Gives the Go type, as `%T` prints it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Int64(_) => "int64",
            Value::Uint64(_) => "uint64",
            Value::Byte(_) => "uint8",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
            Value::Duration(_) => "time.Duration",
            Value::Time(_) => "time.Time",
            Value::Month(_) => "time.Month",
            Value::Weekday(_) => "time.Weekday",
            Value::Location(_) => "*time.Location",
            Value::List(list) => list.items.type_name(),
            Value::Map(map) => map.type_name(),
            Value::Struct(data) => data.type_name(),
        }
    }

    /// Says whether `if` takes the value for true: everything that is not empty or zero.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Float(value) => *value != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Time(_) | Value::Struct(_) | Value::Location(_) => true,
            Value::Uint64(value) => *value != 0,
            Value::Byte(value) => *value != 0,
            Value::Int(value) | Value::Int64(value) | Value::Duration(value) => *value != 0,
            Value::Month(value) | Value::Weekday(value) => *value != 0,
        }
    }

    /// Gives the integer of the signed kinds.
    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(value) | Value::Int64(value) | Value::Duration(value) => Some(*value),
            Value::Month(value) | Value::Weekday(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// Gives the integer of the unsigned kinds.
    pub(crate) fn as_uint(&self) -> Option<u64> {
        match self {
            Value::Uint64(value) => Some(*value),
            Value::Byte(value) => Some(u64::from(*value)),
            _ => None,
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Str(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::Str(Cow::Owned(text))
    }
}

// === impl List ===

impl<'a> List<'a> {
    /// Takes a whole list.
    pub fn new(items: &'a dyn ListLike) -> Self {
        List { items, start: 0, end: items.len() }
    }

    /// Gives the Go type.
    pub fn type_name(&self) -> &'static str {
        self.items.type_name()
    }

    /// Gives the number of items.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Says whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives an item.
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        (index < self.len()).then(|| self.items.get(self.start + index))
    }

    /// Gives the items.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let items = self.items;
        (self.start..self.end).map(move |index| items.get(index))
    }

    /// Gives a part; the bounds lie within the list.
    pub(crate) fn part(&self, start: usize, end: usize) -> Self {
        List { items: self.items, start: self.start + start, end: self.start + end }
    }
}

// === impl ListLike ===

impl ListLike for Vec<Value<'_>> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn get(&self, index: usize) -> Value<'_> {
        self[index].clone()
    }
}

impl ListLike for Vec<String> {
    fn type_name(&self) -> &'static str {
        "[]string"
    }

    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn get(&self, index: usize) -> Value<'_> {
        Value::from(self[index].as_str())
    }
}

// === impl MapLike ===

impl<K: AsRef<str>, V: AsRef<str>> MapLike for SortedTags<'_, K, V> {
    fn type_name(&self) -> &'static str {
        "map[string]string"
    }

    fn element_type(&self) -> &'static str {
        "string"
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &str) -> Option<Value<'_>> {
        let at = self.0.binary_search_by(|(known, _)| known.as_ref().cmp(key)).ok()?;
        Some(Value::from(self.0[at].1.as_ref()))
    }

    fn entry(&self, index: usize) -> (&str, Value<'_>) {
        let (key, value) = &self.0[index];
        (key.as_ref(), Value::from(value.as_ref()))
    }
}

impl MapLike for std::collections::BTreeMap<String, Value<'_>> {
    fn len(&self) -> usize {
        std::collections::BTreeMap::len(self)
    }

    fn get(&self, key: &str) -> Option<Value<'_>> {
        std::collections::BTreeMap::get(self, key).cloned()
    }

    fn entry(&self, index: usize) -> (&str, Value<'_>) {
        let (key, value) = self.iter().nth(index).expect("the caller asks within the length");
        (key, value.clone())
    }
}
