//! A writer's schema, compiled from its JSON text into what the decoder walks.
//!
//! Everything that does not depend on a record is done here: names are resolved, logical types
//! chosen, and the JSON text before every field (`{"name":`) and of every symbol is made.
//!
//! - A logical type that does not fit its type is ignored, as the specification of Avro asks.
//! - A name may be used before its definition, so the order of references does not matter.
//! - Aliases and defaults are for readers' schemas and play no part.
//!
//! Not the parser of the `apache-avro` crate (0.21): it forgets that a `uuid` is a `fixed`, so that such
//! records are read wrongly, and cannot find a `fixed` with a logical type by its name.

use std::collections::HashMap;

use levada_model::text::encode_string;
use serde_json::{Map, Value};
use thiserror::Error;

/// A schema that can be decoded.
#[derive(Debug)]
pub(crate) struct Schema {
    types: Vec<Type>,
    root: TypeId,
}

/// The index of a type in its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TypeId(u32);

/// What stands at a place of a record.
#[derive(Debug)]
pub(crate) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    /// A sequence of so many bytes.
    Fixed(usize),
    /// The symbols as JSON texts.
    Enum(Box<[Box<[u8]>]>),
    Array(TypeId),
    Map(TypeId),
    Union(Box<[TypeId]>),
    Record(Box<[Field]>),
    /// Days since 1970-01-01.
    Date,
    /// Time since midnight; units per second.
    Time {
        per_second: u32,
        is_long: bool,
    },
    /// Time since 1970-01-01T00:00; units per second.
    Timestamp {
        per_second: u32,
        is_local: bool,
    },
    /// An integer of two's complement, most significant byte first, divided by 10^scale.
    Decimal {
        scale: u32,
        /// Bytes of a `fixed`; none: a length precedes them.
        size: Option<usize>,
    },
    /// A decimal that brings its own scale.
    BigDecimal,
    /// A UUID in 16 bytes.
    Uuid,
    /// Months, days and milliseconds, four bytes each.
    Duration,
    /// A named type that stands elsewhere.
    Alias(TypeId),
}

/// A field of a record.
#[derive(Debug)]
pub(crate) struct Field {
    /// The JSON text before its value: `{"name":` of the first field, `,"name":` of others.
    pub(crate) head: Box<[u8]>,
    /// Its name, for messages.
    pub(crate) name: Box<str>,
    pub(crate) kind: TypeId,
}

/// Why a text is no Avro schema.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub(crate) struct SchemaError(String);

/// Types of all texts of a schema at most; a bound for what a registry may send. Ours.
const TYPES_MAX: usize = 100_000;

/// The digits of a decimal at most, as declared. Ours: nobody counts further.
const PRECISION_MAX: u64 = 100_000;

/// The types that have no name of their own.
const PRIMITIVES: [&str; 8] =
    ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

#[derive(Default)]
struct Compiler {
    types: Vec<Type>,
    /// Named types by full name.
    defined: HashMap<String, TypeId>,
    /// Uses of names that were not defined yet: the full name, and the name as written.
    pending: Vec<(TypeId, String, String)>,
}

// === impl Schema ===

impl Schema {
    /// Compiles a schema.
    pub(crate) fn parse(text: &str) -> Result<Self, SchemaError> {
        Schema::parse_with(text, &[])
    }

    /// Compiles a schema that uses names defined in others.
    pub(crate) fn parse_with(text: &str, references: &[String]) -> Result<Self, SchemaError> {
        let mut compiler = Compiler::default();
        for reference in references {
            compiler.text(reference)?;
        }
        let root = compiler.text(text)?;
        compiler.resolve()?;
        Ok(Schema { types: compiler.types, root })
    }

    /// Gives the type of a whole record.
    pub(crate) fn root(&self) -> &Type {
        self.get(self.root)
    }

    /// Gives a type; never [`Type::Alias`].
    pub(crate) fn get(&self, id: TypeId) -> &Type {
        let mut kind = &self.types[id.0 as usize];
        // At most one step: an alias stands for a definition.
        while let Type::Alias(target) = kind {
            kind = &self.types[target.0 as usize];
        }
        kind
    }
}

// === impl Compiler ===

impl Compiler {
    fn text(&mut self, text: &str) -> Result<TypeId, SchemaError> {
        let trimmed = text.trim();
        // A bare name is a schema too; registries accept it with and without quotes.
        if PRIMITIVES.contains(&trimmed) {
            return self.schema(&Value::String(trimmed.to_owned()), "");
        }
        let value: Value = serde_json::from_str(trimmed)
            .map_err(|error| SchemaError(format!("not an Avro schema in JSON: {error}")))?;
        self.schema(&value, "")
    }

    fn push(&mut self, kind: Type) -> Result<TypeId, SchemaError> {
        if self.types.len() >= TYPES_MAX {
            return Err(SchemaError(format!("the schema has more than {TYPES_MAX} types")));
        }
        self.types.push(kind);
        Ok(TypeId(self.types.len() as u32 - 1))
    }

    fn schema(&mut self, value: &Value, namespace: &str) -> Result<TypeId, SchemaError> {
        match value {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => self.object(object, namespace),
            other => Err(SchemaError(format!("{} is no Avro type", shown(other)))),
        }
    }

    /// A primitive type, or the use of a name.
    fn named(&mut self, name: &str, namespace: &str) -> Result<TypeId, SchemaError> {
        if let Some(kind) = primitive(name) {
            return self.push(kind);
        }
        let full = full_name(name, None, namespace);
        if let Some(&id) = self.defined.get(&full) {
            return Ok(id);
        }
        let id = self.push(Type::Null)?;
        self.pending.push((id, full, name.to_owned()));
        Ok(id)
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Result<TypeId, SchemaError> {
        let mut ids = Vec::with_capacity(branches.len());
        for branch in branches {
            if branch.is_array() {
                return Err(SchemaError("a union holds a union".into()));
            }
            ids.push(self.schema(branch, namespace)?);
        }
        self.push(Type::Union(ids.into()))
    }

    fn object(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<TypeId, SchemaError> {
        let kind =
            object.get("type").ok_or_else(|| SchemaError("a schema has no `type`".into()))?;
        let Value::String(kind) = kind else {
            let id = self.schema(kind, namespace)?;
            return self.with_logical_type(id, object);
        };
        match kind.as_str() {
            "record" | "error" => self.record(object, namespace),
            "enum" => self.enumeration(object, namespace),
            "fixed" => self.fixed(object, namespace),
            "array" => {
                let items = self.member(object, "items", "an array", namespace)?;
                self.push(Type::Array(items))
            }
            "map" => {
                let values = self.member(object, "values", "a map", namespace)?;
                self.push(Type::Map(values))
            }
            name => {
                let id = self.named(name, namespace)?;
                self.with_logical_type(id, object)
            }
        }
    }

    fn member(
        &mut self,
        object: &Map<String, Value>,
        key: &str,
        what: &str,
        namespace: &str,
    ) -> Result<TypeId, SchemaError> {
        match object.get(key) {
            Some(value) => self.schema(value, namespace),
            None => Err(SchemaError(format!("{what} has no `{key}`"))),
        }
    }

    fn record(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<TypeId, SchemaError> {
        let (id, full) = self.define(object, namespace)?;
        let inner = full.rsplit_once('.').map_or("", |(inner, _)| inner);
        let Some(Value::Array(list)) = object.get("fields") else {
            return Err(SchemaError(format!("record `{full}` has no `fields`")));
        };
        let mut fields = Vec::with_capacity(list.len());
        for field in list {
            let name = field.get("name").and_then(Value::as_str);
            let (Some(name), Some(kind)) = (name, field.get("type")) else {
                let text = format!("a field of record `{full}` has no `name` or no `type`");
                return Err(SchemaError(text));
            };
            let mut head = vec![if fields.is_empty() { b'{' } else { b',' }];
            encode_string(name, &mut head);
            head.push(b':');
            let kind = self.schema(kind, inner).map_err(|error| {
                let SchemaError(text) = error;
                SchemaError(format!("field `{name}`: {text}"))
            })?;
            fields.push(Field { head: head.into(), name: name.into(), kind });
        }
        self.types[id.0 as usize] = Type::Record(fields.into());
        Ok(id)
    }

    fn enumeration(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<TypeId, SchemaError> {
        let (id, full) = self.define(object, namespace)?;
        let symbols = object.get("symbols").and_then(Value::as_array);
        let texts = symbols.and_then(|symbols| {
            let text = |symbol: &Value| -> Option<Box<[u8]>> {
                let mut text = Vec::new();
                encode_string(symbol.as_str()?, &mut text);
                Some(text.into())
            };
            symbols.iter().map(text).collect::<Option<Box<[_]>>>()
        });
        let Some(texts) = texts else {
            return Err(SchemaError(format!("enum `{full}` has no `symbols` that are texts")));
        };
        self.types[id.0 as usize] = Type::Enum(texts);
        Ok(id)
    }

    fn fixed(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<TypeId, SchemaError> {
        let (id, full) = self.define(object, namespace)?;
        let size = object.get("size").and_then(Value::as_u64);
        let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else {
            return Err(SchemaError(format!("fixed `{full}` has no `size`")));
        };
        let kind = match logical_type(object) {
            "decimal" => decimal(object, Some(size)).unwrap_or(Type::Fixed(size)),
            "uuid" if size == 16 => Type::Uuid,
            "duration" if size == 12 => Type::Duration,
            _ => Type::Fixed(size),
        };
        self.types[id.0 as usize] = kind;
        Ok(id)
    }

    /// Makes room for a named type, so that it can be used inside its own definition.
    fn define(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<(TypeId, String), SchemaError> {
        let Some(name) = object.get("name").and_then(Value::as_str).filter(|n| !n.is_empty())
        else {
            let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
            return Err(SchemaError(format!("a type `{kind}` has no `name`")));
        };
        let own = object.get("namespace").and_then(Value::as_str);
        let full = full_name(name, own, namespace);
        let id = self.push(Type::Null)?;
        if self.defined.insert(full.clone(), id).is_some() {
            return Err(SchemaError(format!("type `{full}` is defined twice")));
        }
        Ok((id, full))
    }

    /// Applies the logical type of an object to the primitive type that was made for it.
    fn with_logical_type(
        &mut self,
        id: TypeId,
        object: &Map<String, Value>,
    ) -> Result<TypeId, SchemaError> {
        let kind = match (&self.types[id.0 as usize], logical_type(object)) {
            (Type::Int, "date") => Type::Date,
            (Type::Int, "time-millis") => Type::Time { per_second: 1000, is_long: false },
            (Type::Long, "time-micros") => Type::Time { per_second: 1_000_000, is_long: true },
            (Type::Long, word) => match timestamp(word) {
                Some(kind) => kind,
                None => return Ok(id),
            },
            (Type::Bytes, "decimal") => match decimal(object, None) {
                Some(kind) => kind,
                None => return Ok(id),
            },
            (Type::Bytes, "big-decimal") => Type::BigDecimal,
            _ => return Ok(id),
        };
        self.push(kind)
    }

    /// Points the uses of names at their definitions.
    fn resolve(&mut self) -> Result<(), SchemaError> {
        for (id, full, written) in std::mem::take(&mut self.pending) {
            // Java's parser looks outside of the namespace as well.
            let target = self.defined.get(&full).or_else(|| self.defined.get(&written));
            let Some(&target) = target else {
                return Err(SchemaError(format!("type `{full}` is not defined")));
            };
            self.types[id.0 as usize] = Type::Alias(target);
        }
        Ok(())
    }
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int,
        "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "string" => Type::String,
        _ => return None,
    })
}

fn timestamp(word: &str) -> Option<Type> {
    let (word, is_local) = match word.strip_prefix("local-") {
        Some(rest) => (rest, true),
        None => (word, false),
    };
    let per_second = match word {
        "timestamp-millis" => 1000,
        "timestamp-micros" => 1_000_000,
        "timestamp-nanos" => 1_000_000_000,
        _ => return None,
    };
    Some(Type::Timestamp { per_second, is_local })
}

/// Gives a decimal, or nothing when its precision and scale are not those of one.
fn decimal(object: &Map<String, Value>, size: Option<usize>) -> Option<Type> {
    let precision = object.get("precision").and_then(Value::as_u64)?;
    let scale = match object.get("scale") {
        None => 0,
        Some(scale) => scale.as_u64()?,
    };
    // A sign bit and then as many decimal digits as surely fit.
    let fits = size.is_none_or(|size| {
        let bits = (size as f64) * 8.0 - 1.0;
        precision as f64 <= (bits * std::f64::consts::LOG10_2).floor()
    });
    let is_decimal = precision > 0 && precision <= PRECISION_MAX && scale <= precision && fits;
    is_decimal.then_some(Type::Decimal { scale: scale as u32, size })
}

fn logical_type(object: &Map<String, Value>) -> &str {
    object.get("logicalType").and_then(Value::as_str).unwrap_or_default()
}

/// Gives the full name: a dot in the name wins over a namespace of its own, and that over the
/// enclosing one.
fn full_name(name: &str, own: Option<&str>, enclosing: &str) -> String {
    let namespace = own.unwrap_or(enclosing);
    if name.contains('.') {
        // A leading dot names the namespace without a name.
        name.trim_start_matches('.').to_owned()
    } else if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn shown(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        _ => "this",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn root(text: &str) -> String {
        match Schema::parse(text) {
            Ok(schema) => format!("{:?}", schema.root()),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn logical_types_apply_where_they_fit() {
        for (text, expected) in [
            (r#""int""#, "Int"),
            ("string", "String"),
            (r#"{"type":{"type":"long"}}"#, "Long"),
            (r#"{"type":"int","logicalType":"date"}"#, "Date"),
            (r#"{"type":"long","logicalType":"date"}"#, "Long"),
            (
                r#"{"type":{"type":"long"},"logicalType":"local-timestamp-nanos"}"#,
                "Timestamp { per_second: 1000000000, is_local: true }",
            ),
            (r#"{"type":"string","logicalType":"uuid"}"#, "String"),
            (r#"{"type":"fixed","name":"u","size":16,"logicalType":"uuid"}"#, "Uuid"),
            (r#"{"type":"fixed","name":"u","size":15,"logicalType":"uuid"}"#, "Fixed(15)"),
            (r#"{"type":"fixed","name":"d","size":12,"logicalType":"duration"}"#, "Duration"),
            (
                r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#,
                "Decimal { scale: 2, size: None }",
            ),
            (r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":3}"#, "Bytes"),
            (r#"{"type":"bytes","logicalType":"decimal"}"#, "Bytes"),
            (
                r#"{"type":"fixed","name":"d","size":2,"logicalType":"decimal","precision":4}"#,
                "Decimal { scale: 0, size: Some(2) }",
            ),
            (
                r#"{"type":"fixed","name":"d","size":2,"logicalType":"decimal","precision":5}"#,
                "Fixed(2)",
            ),
            (r#"{"type":"int","logicalType":7}"#, "Int"),
        ] {
            assert_eq!(root(text), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            (
                "{",
                "error: not an Avro schema in JSON: EOF while parsing an object at line 1 column 1",
            ),
            ("7", "error: a number is no Avro type"),
            (r#"{"name":"x"}"#, "error: a schema has no `type`"),
            (r#"{"type":"record","name":"x"}"#, "error: record `x` has no `fields`"),
            (r#"{"type":"record","fields":[]}"#, "error: a type `record` has no `name`"),
            (
                r#"{"type":"record","name":"x","namespace":"n","fields":[{"name":"f","type":"y"}]}"#,
                "error: type `n.y` is not defined",
            ),
            (
                r#"{"type":"record","name":"x","fields":[{"name":"f","type":{"type":"array"}}]}"#,
                "error: field `f`: an array has no `items`",
            ),
            (
                r#"{"type":"enum","name":"e","symbols":[1]}"#,
                "error: enum `e` has no `symbols` that are texts",
            ),
            (r#"{"type":"fixed","name":"f","size":-1}"#, "error: fixed `f` has no `size`"),
            (r#"["null",["int"]]"#, "error: a union holds a union"),
            (
                r#"[{"type":"fixed","name":"f","size":1},{"type":"fixed","name":"f","size":2}]"#,
                "error: type `f` is defined twice",
            ),
        ] {
            assert_eq!(root(text), expected, "{text}");
        }
        let deep = format!("{}\"int\"{}", "{\"type\":".repeat(5000), "}".repeat(5000));
        assert!(root(&deep).contains("recursion limit"), "deep schemas are refused");
    }

    #[test]
    fn names_are_found_in_their_namespaces_and_in_references() {
        let references = [
            r#"{"type":"record","name":"a.B","fields":[{"name":"c","type":"C"}]}"#.to_owned(),
            r#"{"type":"enum","name":"C","namespace":"a","symbols":["x"]}"#.to_owned(),
            r#"{"type":"fixed","name":"plain","size":1}"#.to_owned(),
        ];
        let text = r#"{"type":"record","name":"R","namespace":"r","fields":[
            {"name":"b","type":"a.B"},{"name":"p","type":"plain"},{"name":"self","type":["null","R"]}]}"#;
        let schema = Schema::parse_with(text, &references).unwrap();
        let Type::Record(fields) = schema.root() else { panic!("a record") };
        let Type::Record(inner) = schema.get(fields[0].kind) else { panic!("a record") };
        assert!(matches!(schema.get(inner[0].kind), Type::Enum(_)));
        assert!(matches!(schema.get(fields[1].kind), Type::Fixed(1)));
        let Type::Union(branches) = schema.get(fields[2].kind) else { panic!("a union") };
        assert!(matches!(schema.get(branches[1]), Type::Record(fields) if fields.len() == 3));
        assert_eq!(fields[1].head, br#","p":"#[..].into());
    }
}
