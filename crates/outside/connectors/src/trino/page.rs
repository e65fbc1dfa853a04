//! One answer of the server.

use std::collections::HashSet;

use levada_model::{ErrorClass, NodeId, NodeKind, Tree};
use reqwest::Url;

use super::failure::{Failure, QueryError};
use super::literal::Column;

/// One answer: rows, and where the next one is. Its memory is used again.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The JSON text.
    pub(crate) text: Vec<u8>,
    /// Its nodes.
    pub(crate) tree: Tree,
    /// The first row.
    pub(crate) first: Option<NodeId>,
    /// The columns, once they are known.
    pub(crate) columns: Option<Vec<Column>>,
    /// The names and types of the columns as they are written, to see whether they changed.
    columns_text: Vec<u8>,
}

// === impl Page ===

impl Page {
    /// Forgets the answer and keeps the memory, unless it was large.
    pub(crate) fn clear(&mut self) {
        const TEXT_KEPT_MAX: usize = 8 << 20;
        self.text.clear();
        if self.text.capacity() > TEXT_KEPT_MAX {
            self.text.shrink_to(TEXT_KEPT_MAX);
        }
        self.tree.clear();
        self.first = None;
    }

    /// Reads the text; gives the address of the next answer, nothing behind the last one.
    pub(crate) fn read(&mut self) -> Result<Option<Url>, Failure> {
        let strange = |what: &str| {
            let message = format!("the server answered what is no answer of Trino: {what}");
            Failure::new(ErrorClass::Transient, message)
        };
        if std::str::from_utf8(&self.text).is_err() {
            return Err(strange("no UTF-8"));
        }
        let length = u32::try_from(self.text.len()).map_err(|_| strange("too long"))?;
        let root = self
            .tree
            .parse(&self.text, 0, length)
            .map_err(|error| strange(&format!("no JSON: {error}")))?;
        let member = |name: &str| self.tree.member(&self.text, root, name.as_bytes());
        if member("id").is_none() && member("stats").is_none() {
            return Err(strange("neither id nor stats"));
        }
        if let Some(error) = member("error").filter(|node| self.is_object(*node)) {
            return Err(self.failure(error));
        }
        let next = match member("nextUri").and_then(|node| self.string(node)) {
            Some(next) => Some(Url::parse(&next).map_err(|_| strange("nextUri is no address"))?),
            None => None,
        };
        let rows = member("data").filter(|node| self.tree.kind(*node) == NodeKind::Array);
        let columns = member("columns").filter(|node| self.tree.kind(*node) == NodeKind::Array);
        self.first = rows.and_then(|rows| self.tree.first(rows));
        if let Some(columns) = columns {
            self.read_columns(columns)?;
        }
        if self.first.is_some() && self.columns.is_none() {
            return Err(strange("rows without columns"));
        }
        Ok(next)
    }

    fn read_columns(&mut self, list: NodeId) -> Result<(), Failure> {
        let mut text = Vec::new();
        self.tree.print(&self.text, list, &mut text);
        if self.columns.is_some() && text == self.columns_text {
            return Ok(());
        }
        let mut columns = Vec::new();
        let mut names = HashSet::new();
        for column in self.tree.children(list) {
            let part = |name: &str| {
                let node = self.tree.member(&self.text, column, name.as_bytes());
                node.and_then(|node| self.string(node)).unwrap_or_default()
            };
            let (name, declared) = (part("name"), part("type"));
            if !names.insert(name.clone()) {
                let message = format!(
                    "the query gives two columns called `{name}`; give one of them another name with AS"
                );
                return Err(Failure::new(ErrorClass::InvalidData, message));
            }
            columns.push(Column::new(name, declared));
        }
        self.columns = Some(columns);
        self.columns_text = text;
        Ok(())
    }

    fn is_object(&self, node: NodeId) -> bool {
        self.tree.kind(node) == NodeKind::Object
    }

    fn string(&self, node: NodeId) -> Option<String> {
        self.tree.string(&self.text, node).map(std::borrow::Cow::into_owned)
    }

    fn failure(&self, error: NodeId) -> Failure {
        let member = |node: NodeId, name: &str| self.tree.member(&self.text, node, name.as_bytes());
        let text =
            |name: &str| member(error, name).and_then(|node| self.string(node)).unwrap_or_default();
        let number = |node: NodeId, name: &str| {
            member(node, name)
                .and_then(|node| self.tree.literal(&self.text, node))
                .and_then(|text| text.parse().ok())
        };
        let location = member(error, "errorLocation")
            .and_then(|at| Some((number(at, "lineNumber")?, number(at, "columnNumber")?)));
        let mut details = Vec::new();
        if let Some(info) = member(error, "failureInfo") {
            self.tree.print(&self.text, info, &mut details);
        }
        Failure::query(&QueryError {
            message: &text("message"),
            name: &text("errorName"),
            kind: &text("errorType"),
            code: number(error, "errorCode"),
            location,
            details: &String::from_utf8_lossy(&details),
        })
    }
}
