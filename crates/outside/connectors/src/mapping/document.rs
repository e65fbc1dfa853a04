//! Records as documents.

use levada_condition::Path;
use levada_model::tree::{NodeId, NodeKind, Tree};
use levada_model::{Meta, RecordBatch, RecordError, Root};

/// Parses records into a tree that is used again.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    tree: Tree,
}

/// A record whose payload is a JSON object.
#[derive(Clone, Copy)]
pub(crate) struct Document<'a> {
    /// The text that the nodes stand in.
    pub(crate) text: &'a [u8],
    /// The nodes.
    pub(crate) tree: &'a Tree,
    /// The object.
    pub(crate) root: NodeId,
    batch: &'a RecordBatch,
    index: usize,
}

// === impl Reader ===

impl Reader {
    /// Gives a record as a document: the one that earlier steps made, else a new one.
    ///
    /// Errors: the payload is not a JSON object.
    pub(crate) fn read<'a>(
        &'a mut self,
        batch: &'a RecordBatch,
        index: usize,
    ) -> Result<Document<'a>, RecordError> {
        let record = &batch.records[index];
        let (tree, root) = match record.root {
            Root::Node(root) => (&batch.tree, root),
            _ => {
                let payload = &batch.text[record.start as usize..record.end as usize];
                if let Err(error) = std::str::from_utf8(payload) {
                    let at = error.valid_up_to();
                    return Err(RecordError::invalid(format!("not UTF-8 from byte {at} on")));
                }
                self.tree.clear();
                let root = self
                    .tree
                    .parse(&batch.text, record.start, record.end)
                    .map_err(|error| RecordError::invalid(error.to_string()))?;
                (&self.tree, root)
            }
        };
        if tree.kind(root) != NodeKind::Object {
            let kind = tree.kind(root).name();
            let message = format!("the payload is JSON of kind {kind}; an object is needed");
            return Err(RecordError::invalid(message));
        }
        Ok(Document { text: &batch.text, tree, root, batch, index })
    }
}

// === impl Document ===

impl<'a> Document<'a> {
    /// Gives the node that a plain path addresses, unless it is `null`.
    pub(crate) fn find(&self, path: &Path) -> Option<NodeId> {
        let node = path.find_node(self.text, self.tree, self.root)?;
        (self.tree.kind(node) != NodeKind::Null).then_some(node)
    }

    /// Gives the metadata of the record.
    pub(crate) fn meta(&self) -> Option<&'a Meta> {
        self.batch.meta(self.index)
    }

    /// Appends a text, number or boolean as text; `what` names it in the error.
    pub(crate) fn append_scalar(
        &self,
        node: NodeId,
        what: &dyn std::fmt::Display,
        out: &mut String,
    ) -> Result<(), RecordError> {
        if let Some(text) = self.tree.string(self.text, node) {
            out.push_str(&text);
        } else if let Some(literal) = self.tree.literal(self.text, node) {
            out.push_str(literal);
        } else {
            let kind = self.tree.kind(node).name();
            let message = format!("`{what}` is an {kind}; a text, number or boolean is needed");
            return Err(RecordError::invalid(message));
        }
        Ok(())
    }
}
