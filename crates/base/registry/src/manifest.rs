//! Manifest files as trees that remember where everything stands.
//!
//! YAML 1.2 with its core types, JSON included; several documents in a file are separated by `---`.
//! Bounds: nesting, the number of nodes that aliases may unfold to, and the size of a file, so that no
//! manifest exhausts memory.

use granit_parser::{Event, Parser, ScalarStyle};
use thiserror::Error;

/// The most nodes a file may have, aliases unfolded.
pub const NODES_MAX: usize = 200_000;
/// The largest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 16 << 20;
/// The deepest nesting.
pub const DEPTH_MAX: usize = 100;

/// A value and where it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: NodeValue,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

/// A value of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeValue {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number as it was written, in JSON's form.
    Number(String),
    /// A text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A map in document order; keys are unique.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The line of the key, from 1.
    pub line: u32,
    /// The column of the key, from 1.
    pub column: u32,
    /// The value.
    pub value: Node,
}

/// One document of a manifest file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The root value.
    pub root: Node,
}

/// Why a file is not a manifest.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}, column {column}: {message}")]
pub struct ManifestError {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

/// Reads all documents of a manifest; empty ones are left out.
///
/// Errors: the text is not YAML, has a duplicate key, or exceeds a bound of this module.
pub fn parse(text: &str) -> Result<Vec<Document>, ManifestError> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file is larger than {FILE_BYTES_MAX} bytes");
        return Err(ManifestError { line: 1, column: 1, message });
    }
    let mut builder = Builder::default();
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|error| ManifestError {
            line: error.marker().line() as u32,
            column: error.marker().col() as u32 + 1,
            message: format!("invalid YAML: {}", error.info()),
        })?;
        let place = (span.start.line() as u32, span.start.col() as u32 + 1);
        builder.event(event, place)?;
    }
    Ok(builder.documents)
}

/// Reads a manifest from bytes; see [`parse`].
pub fn parse_bytes(bytes: &[u8]) -> Result<Vec<Document>, ManifestError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let good = &bytes[..error.valid_up_to()];
            let line = good.iter().filter(|&&byte| byte == b'\n').count() as u32 + 1;
            let column = good.iter().rev().take_while(|&&byte| byte != b'\n').count() as u32 + 1;
            Err(ManifestError { line, column, message: "the file is not UTF-8".into() })
        }
    }
}

/// A key that waits for its value, and its line and column.
type WaitingKey = (String, u32, u32);

#[derive(Default)]
struct Builder {
    documents: Vec<Document>,
    /// Open containers: the node, its anchor and, in a map, a key that waits for its value.
    stack: Vec<(Node, usize, Option<WaitingKey>)>,
    anchors: Vec<(usize, Node)>,
    nodes: usize,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, place: (u32, u32)) -> Result<(), ManifestError> {
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                let value =
                    if is_plain { plain(&text) } else { NodeValue::String(text.into_owned()) };
                self.place(Node { value, line: place.0, column: place.1 }, anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(NodeValue::List(Vec::new()), anchor, place)?;
            }
            Event::MappingStart(_, anchor, _) => {
                self.open(NodeValue::Map(Vec::new()), anchor, place)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((node, anchor, _)) = self.stack.pop() {
                    self.place(node, anchor)?;
                }
            }
            Event::Alias(id) => {
                let found = self.anchors.iter().find(|(anchor, _)| *anchor == id);
                let Some((_, node)) = found else {
                    return Err(error(place, "the alias names an anchor that is not complete"));
                };
                let mut node = node.clone();
                (node.line, node.column) = place;
                self.nodes += node.count();
                self.place(node, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn open(
        &mut self,
        value: NodeValue,
        anchor: usize,
        place: (u32, u32),
    ) -> Result<(), ManifestError> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(error(place, &format!("nesting is deeper than {DEPTH_MAX} levels")));
        }
        self.stack.push((Node { value, line: place.0, column: place.1 }, anchor, None));
        Ok(())
    }

    /// Puts a complete node where it belongs.
    fn place(&mut self, node: Node, anchor: usize) -> Result<(), ManifestError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let message =
                format!("the manifest has more than {NODES_MAX} values, aliases included");
            return Err(error((node.line, node.column), &message));
        }
        if anchor > 0 {
            self.anchors.retain(|(known, _)| *known != anchor);
            self.anchors.push((anchor, node.clone()));
        }
        let Some((parent, _, pending)) = self.stack.last_mut() else {
            if node.value != NodeValue::Null {
                self.documents.push(Document { root: node });
            }
            return Ok(());
        };
        match (&mut parent.value, pending.take()) {
            (NodeValue::List(items), _) => items.push(node),
            (NodeValue::Map(entries), Some((key, line, column))) => {
                entries.push(Entry { key, line, column, value: node });
            }
            (NodeValue::Map(entries), None) => {
                let Some(key) = node.scalar_text() else {
                    return Err(error((node.line, node.column), "a key must be a plain text"));
                };
                if entries.iter().any(|entry| entry.key == key) {
                    let message = format!("the key `{key}` stands twice in this map");
                    return Err(error((node.line, node.column), &message));
                }
                *pending = Some((key, node.line, node.column));
            }
            _ => {}
        }
        Ok(())
    }
}

fn error(place: (u32, u32), message: &str) -> ManifestError {
    ManifestError { line: place.0, column: place.1, message: message.to_owned() }
}

/// Gives the type that the YAML 1.2 core schema assigns to a plain scalar.
fn plain(text: &str) -> NodeValue {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return NodeValue::Null,
        "true" | "True" | "TRUE" => return NodeValue::Bool(true),
        "false" | "False" | "FALSE" => return NodeValue::Bool(false),
        _ => {}
    }
    if let Some(number) = number(text) {
        return NodeValue::Number(number);
    }
    NodeValue::String(text.to_owned())
}

/// Gives a plain scalar in JSON's form when it is a number.
fn number(text: &str) -> Option<String> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.')) {
        return None;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return u64::from_str_radix(digits, radix).ok().map(|number| number.to_string());
        }
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if serde_json::from_str::<serde_json::Number>(unsigned).is_ok() {
        return Some(unsigned.to_owned());
    }
    let is_decimal = unsigned.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number = unsigned.parse::<f64>().ok().filter(|number| is_decimal && number.is_finite())?;
    // Forms that JSON lacks, such as `.5`, `1.` and `007`.
    match unsigned.parse::<i64>() {
        Ok(integer) => Some(integer.to_string()),
        Err(_) => serde_json::Number::from_f64(number).map(|number| number.to_string()),
    }
}

// === impl Node ===

impl Node {
    /// Makes a node that stands nowhere, for values that come from elsewhere.
    pub fn new(value: NodeValue) -> Self {
        Node { value, line: 1, column: 1 }
    }

    /// Makes a node of a JSON value.
    pub fn from_json(json: &serde_json::Value) -> Self {
        Node::new(match json {
            serde_json::Value::Null => NodeValue::Null,
            serde_json::Value::Bool(value) => NodeValue::Bool(*value),
            serde_json::Value::Number(number) => NodeValue::Number(number.to_string()),
            serde_json::Value::String(text) => NodeValue::String(text.clone()),
            serde_json::Value::Array(items) => {
                NodeValue::List(items.iter().map(Node::from_json).collect())
            }
            serde_json::Value::Object(entries) => NodeValue::Map(
                entries
                    .iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        line: 1,
                        column: 1,
                        value: Node::from_json(value),
                    })
                    .collect(),
            ),
        })
    }

    /// Gives the node as a JSON value.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            NodeValue::Null => serde_json::Value::Null,
            NodeValue::Bool(value) => (*value).into(),
            NodeValue::Number(text) => {
                serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into())
            }
            NodeValue::String(text) => text.as_str().into(),
            NodeValue::List(items) => items.iter().map(Node::to_json).collect(),
            NodeValue::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// Gives the entry of a map.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.map()?.iter().find(|entry| entry.key == key)
    }

    /// Gives the value of a key of a map; `null` counts as absent.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value).filter(|node| node.value != NodeValue::Null)
    }

    /// Gives the entries of a map.
    pub fn map(&self) -> Option<&[Entry]> {
        match &self.value {
            NodeValue::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// Gives the items of a list.
    pub fn list(&self) -> Option<&[Node]> {
        match &self.value {
            NodeValue::List(items) => Some(items),
            _ => None,
        }
    }

    /// Gives a text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// Gives the text of a scalar as it was written.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.value {
            NodeValue::String(text) | NodeValue::Number(text) => Some(text.clone()),
            NodeValue::Bool(value) => Some(value.to_string()),
            _ => None,
        }
    }

    /// Sets a key of a map, in its place when it is there.
    pub fn set(&mut self, key: &str, value: Node) {
        if let NodeValue::Map(entries) = &mut self.value {
            match entries.iter_mut().find(|entry| entry.key == key) {
                Some(entry) => entry.value = value,
                None => {
                    let (line, column) = (value.line, value.column);
                    entries.push(Entry { key: key.to_owned(), line, column, value });
                }
            }
        }
    }

    /// Takes a key out of a map.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let NodeValue::Map(entries) = &mut self.value else {
            return None;
        };
        let index = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(index).value)
    }

    /// Gives the word for the kind of value, for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            NodeValue::Null => "null",
            NodeValue::Bool(_) => "a boolean",
            NodeValue::Number(_) => "a number",
            NodeValue::String(_) => "a string",
            NodeValue::List(_) => "a list",
            NodeValue::Map(_) => "a map",
        }
    }

    fn count(&self) -> usize {
        1 + match &self.value {
            NodeValue::List(items) => items.iter().map(Node::count).sum(),
            NodeValue::Map(entries) => entries.iter().map(|entry| entry.value.count()).sum(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn everything_knows_its_place() {
        let documents = parse("a: 1\nb:\n  - x\n  - {c: yes}\n---\n---\nd: 'e'\n").unwrap();
        assert_eq!(documents.len(), 2);
        let root = &documents[0].root;
        let b = root.entry("b").unwrap();
        assert_eq!((b.line, b.column), (2, 1));
        let item = &b.value.list().unwrap()[1];
        assert_eq!((item.line, item.column), (4, 5));
        assert_eq!(item.get("c").unwrap().text(), Some("yes"));
        assert_eq!(documents[1].root.to_json(), serde_json::json!({"d": "e"}));
    }

    #[test]
    fn plain_scalars_have_the_core_types() {
        let json =
            parse("[1, -2.50, 0x1F, .5, 007, 1e3, true, ~, '1', 12345678901234567890, 1.2.3, x-]")
                .unwrap()[0]
                .root
                .to_json();
        let expected = r#"[1,-2.50,31,0.5,7,1e+3,true,null,"1",12345678901234567890,"1.2.3","x-"]"#;
        assert_eq!(json.to_string(), expected);
    }

    #[test]
    fn bad_manifests_say_where() {
        for (text, expected) in [
            ("a: 1\na: 2\n", "line 2, column 1: the key `a` stands twice in this map"),
            ("? [x]\n: 1\n", "line 1, column 3: a key must be a plain text"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        }
        assert!(parse("a: [1,\n").unwrap_err().to_string().starts_with("line "));
        assert!(parse_bytes(b"a: \xff").unwrap_err().to_string().contains("not UTF-8"));
    }

    #[test]
    fn bombs_are_refused() {
        let mut laughs = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let previous = level - 1;
            let items = vec![format!("*a{previous}"); 10].join(",");
            laughs.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        let error = parse(&laughs).unwrap_err().to_string();
        assert!(error.contains("aliases included"), "{error}");
        assert!(parse(&"[".repeat(10_000)).is_err());
        assert!(parse(&format!("a: {}{}", "{b: ".repeat(101), "}".repeat(101))).is_err());
    }
}
