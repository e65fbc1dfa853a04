//! What the crate promises, seen from outside.
#![allow(clippy::unwrap_used, reason = "tests")]

mod conditions;
mod filters;
mod mutations;
mod paths;
mod properties;
mod writes;

use levada_condition::Path;
use levada_model::tree::{NodeId, Tree};

/// A parsed document.
pub(crate) struct Document {
    pub(crate) text: Vec<u8>,
    pub(crate) tree: Tree,
    pub(crate) root: NodeId,
}

impl Document {
    pub(crate) fn new(json: &str) -> Self {
        let text = json.as_bytes().to_vec();
        let mut tree = Tree::default();
        let root = tree.parse(&text, 0, text.len() as u32).unwrap();
        Document { text, tree, root }
    }

    /// Prints the document with its edits, and checks that it still is JSON.
    pub(crate) fn printed(&self) -> String {
        let mut out = Vec::new();
        self.tree.print(&self.text, self.root, &mut out);
        let printed = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde_json::Value>(&printed).expect(&printed);
        printed
    }

    /// Reads a path as JSON; nothing found is the empty text.
    pub(crate) fn read(&self, path: &str) -> String {
        let path = Path::compile(path).unwrap();
        let mut out = Vec::new();
        path.find(&self.text, &self.tree, self.root).write_json(&self.text, &self.tree, &mut out);
        String::from_utf8(out).unwrap()
    }
}
