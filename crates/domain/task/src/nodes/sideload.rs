//! `sideload`: adds fields and tags from files or a server, found by the tags of the point.
//!
//! What a series gets is looked up once and remembered until the tables are read again.

mod files;
mod flat;
mod running;

use levada_model::FieldValue;
use levada_template::Template;
use levada_tick::script::{CallError, Value};
use serde_json::{Map, Value as Json, json};

use crate::property::types::{exactly, text, text_argument};
use crate::property::{Pairs, PropertyType, Strings, Text};
use crate::runtime::{Node, StartContext};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

pub use files::{FILE_BYTES_MAX, FILES_MAX, Tables, read_folder};

/// `|sideload()`
#[derive(Clone, Debug, Default)]
pub struct Sideload {
    source: Text,
    order: Strings,
    fields: Defaults,
    tags: Pairs,
}

crate::properties! {
    Sideload {
        "source" => source,
        "order" => order,
        "field" => fields,
        "tag" => tags,
    }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "sideload",
    type_name: "SideloadNode",
    desc: "sideload",
    json_type: "sideload",
    summary: "adds fields and tags from files or a server",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        exactly::<0>(args)?;
        builder.add(parent, Box::new(Sideload::default()))
    },
    empty: || Box::new(Sideload::default()),
};

/// `field(name, default)`, any number of times; a later call with the same name replaces the earlier one.
#[derive(Clone, Debug, Default)]
pub struct Defaults(pub Vec<(String, FieldValue)>);

/// Where a source points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder of this machine.
    Folder(String),
    /// An address.
    Url(String),
    /// An endpoint of httpPost.
    Endpoint(String),
}

// === impl Source ===

impl Source {
    /// Reads what a script names; the texts of errors are upstream's.
    ///
    /// - Source: kapacitor reference §5.16. Upstream ends its process over an address that cannot be read (U-12).
    pub fn parse(source: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = source.split_once(':').filter(|(scheme, _)| is_scheme(scheme))
        else {
            return Ok(Source::Endpoint(source.to_owned()));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.starts_with('/') {
                    return Ok(Source::Folder(path.to_owned()));
                }
                Err(format!("sideload source path must be absolute {path:?}"))
            }
            "http" | "https" => match wrong_escape(rest) {
                Some(escape) => Err(format!("parse {source:?}: invalid URL escape {escape:?}")),
                None if rest.strip_prefix("//").is_none_or(str::is_empty) => {
                    Err(format!("parse {source:?}: the address has no host"))
                }
                None => Ok(Source::Url(source.to_owned())),
            },
            _ => Err(format!(
                "unsupported source scheme {scheme:?}, must be 'file', 'http', or 'https'"
            )),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn wrong_escape(text: &str) -> Option<&str> {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let at = (0..bytes.len()).find(|at| {
        bytes[*at] == b'%' && !(is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2)))
    })?;
    // The two characters behind the sign, as far as there are any.
    let end = text[at..].char_indices().nth(3).map_or(text.len(), |(end, _)| at + end);
    Some(&text[at..end])
}

// === impl Sideload ===

impl Sideload {
    fn templates(&self) -> Result<Vec<Template>, String> {
        let parse =
            |order: &String| Template::text("order", order).map_err(|error| error.to_string());
        self.order.0.iter().map(parse).collect()
    }
}

impl Spec for Sideload {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        Source::parse(&self.source.0)?;
        self.templates().map(|_| ())
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        Source::parse(&self.source.0)?;
        let templates = self.templates()?;
        let tables = running::tables(&self.source.0, ctx.services)?;
        Ok(Box::new(running::Running::new(self, templates, tables)))
    }
}

// === impl Defaults ===

impl PropertyType for Defaults {
    fn set(&mut self, _name: &str, args: Vec<Value>) -> Result<(), CallError> {
        let [name, value] = exactly::<2>(args)?;
        let name = text_argument(name)?;
        let value = match value {
            Value::Bool(flag) => FieldValue::Bool(flag),
            Value::Int(number) => FieldValue::Int(number),
            Value::Float(number) => FieldValue::Float(number),
            Value::Str(text) => FieldValue::Str(text),
            other => {
                return Err(CallError::Call(format!(
                    "unsupported type {} for field {name:?}, field default values must be float,int,string or bool",
                    other.go_type()
                )));
            }
        };
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => self.0.push((name, value)),
        }
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        let call = |(name, value): &(String, FieldValue)| {
            let value = match value {
                FieldValue::Bool(flag) => Value::Bool(*flag),
                FieldValue::Int(number) => Value::Int(*number),
                FieldValue::Float(number) => Value::Float(*number),
                FieldValue::Str(text) => Value::Str(text.clone()),
                // Nothing else can be set.
                _ => Value::Nil,
            };
            vec![text(name), value]
        };
        self.0.iter().map(call).collect()
    }

    fn json(&self) -> Json {
        let members = self.0.iter().map(|(name, value)| {
            let value = match value {
                FieldValue::Bool(flag) => json!(flag),
                FieldValue::Int(number) => json!(number),
                FieldValue::Float(number) => json!(number),
                FieldValue::Str(text) => json!(&**text),
                _ => Json::Null,
            };
            (name.clone(), value)
        });
        Json::Object(members.collect::<Map<_, _>>())
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        let members = match json {
            Json::Null => return Ok(()),
            Json::Object(members) => members,
            other => return Err(format!("wanted an object of defaults, got {other}")),
        };
        let read = |(name, value): (&String, &Json)| {
            let value = files::scalar(value).ok_or_else(|| {
                format!("the default of field {name:?} is neither a number, a string nor a boolean")
            })?;
            Ok((name.clone(), value))
        };
        self.0 = members.iter().map(read).collect::<Result<_, String>>()?;
        Ok(())
    }

    fn read(&self) -> Value {
        Value::List(self.0.iter().map(|(name, _)| text(name)).collect())
    }
}
