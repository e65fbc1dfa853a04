//! The data that the case files are rendered with.

use std::collections::BTreeMap;

use levada_model::Timestamp;
use levada_template::{MapLike, SortedTags, StructLike, Time, Value};

/// Data like that of alerts, with a value of every kind.
pub(crate) struct Event {
    server: Server,
    fields: BTreeMap<String, Value<'static>>,
    empty: BTreeMap<String, Value<'static>>,
    list: Vec<String>,
    rows: Vec<Value<'static>>,
    tags: SortedTags<'static, &'static str, &'static str>,
}

struct Server;

const TAGS: &[(&str, &str)] = &[
    ("dc", "x&y"),
    ("host", "a<b"),
    ("path", "a b/c?d=e&f"),
    ("quote", "it's \"q\""),
    ("url", "javascript:alert(1)"),
];

impl Event {
    #[expect(clippy::approx_constant, reason = "the case files have these digits")]
    pub(crate) fn new() -> Self {
        let fields = [
            ("value", Value::Float(61.0)),
            ("big", Value::Float(1_000_000.0)),
            ("small", Value::Float(0.00001234)),
            ("int", Value::Int64(-42)),
            ("str", Value::from("x&y </script>")),
            ("ok", Value::Bool(true)),
            ("zero", Value::Float(0.0)),
            ("uint", Value::Uint64(7)),
            ("frac", Value::Float(3.14159)),
            ("nul", Value::Nil),
            ("d", Value::Duration(1_500_000)),
        ];
        Event {
            server: Server,
            fields: fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            empty: BTreeMap::new(),
            list: ["a", "b", "c<d"].map(String::from).to_vec(),
            rows: vec![
                Value::Int64(1),
                Value::from("two"),
                Value::Float(3.5),
                Value::Nil,
                Value::Bool(true),
            ],
            tags: SortedTags(TAGS),
        }
    }
}

impl StructLike for Event {
    fn type_name(&self) -> &'static str {
        "kapacitor.testInfo"
    }

    fn fields(&self) -> &'static [&'static str] {
        &[
            "Name",
            "TaskName",
            "Group",
            "Tags",
            "ServerInfo",
            "ID",
            "Fields",
            "Level",
            "Time",
            "Duration",
            "Message",
            "List",
            "Rows",
            "Nothing",
            "Empty",
        ]
    }

    fn field(&self, name: &str) -> Option<Value<'_>> {
        Some(match name {
            "Name" => Value::from("cpu"),
            "TaskName" => Value::from("tid"),
            "Group" => Value::from("host=a"),
            "Tags" => Value::Map(&self.tags as &dyn MapLike),
            "ServerInfo" => Value::Struct(&self.server),
            "ID" => Value::from("cpu:host=a"),
            "Fields" => Value::Map(&self.fields),
            "Level" => Value::from("CRITICAL"),
            // 2026-02-07T15:04:05.1203Z
            "Time" => Value::Time(Time::utc(Timestamp(1_770_476_645_120_300_000))),
            "Duration" => Value::Duration(90_000_000_000),
            "Message" => Value::from("m <b>"),
            "List" => Value::list(&self.list),
            "Rows" => Value::list(&self.rows),
            "Nothing" => Value::Nil,
            "Empty" => Value::Map(&self.empty),
            _ => return None,
        })
    }
}

impl StructLike for Server {
    fn type_name(&self) -> &'static str {
        "kapacitor.ServerInfo"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Hostname", "ClusterID", "ServerID"]
    }

    fn field(&self, name: &str) -> Option<Value<'_>> {
        Some(Value::from(match name {
            "Hostname" => "h",
            "ClusterID" => "c",
            "ServerID" => "s",
            _ => return None,
        }))
    }
}
