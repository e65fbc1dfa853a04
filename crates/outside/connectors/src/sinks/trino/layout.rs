//! Records as rows of literals.

use std::borrow::Cow;
use std::collections::HashMap;

use levada_model::{NodeId, NodeKind, RecordBatch, RecordError, Root, Tree, Value};

use crate::trino::literal::{Column, Document, Scalar};
use crate::trino::types::Type;

/// Which columns are written, and from what.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) columns: Vec<Column>,
    places: HashMap<Vec<u8>, usize>,
    /// Place of the column that identifies a row, for `MERGE`.
    pub(super) key: Option<usize>,
}

/// How records are laid out.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// Whole records in one column.
    pub(super) is_raw: bool,
    /// The start of the names of metadata columns; none: metadata is one column.
    pub(super) prefix: Option<String>,
    /// Unknown fields reject their record.
    pub(super) is_strict: bool,
    /// The column that identifies a row.
    pub(super) conflict_key: Option<String>,
}

/// Makes rows; keeps its memory.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The literals of all rows: `v1,v2,…` without brackets.
    pub(super) text: Vec<u8>,
    pub(super) rows: Vec<Row>,
    /// Names of fields that no column has, since they were last looked at.
    pub(super) ignored: Vec<String>,
    pub(super) ignored_count: u64,
    slots: Vec<Option<(NodeId, bool)>>,
    tree: Tree,
    meta_text: Vec<u8>,
    meta_tree: Tree,
}

/// The literals of one record.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Index of the record in its batch.
    pub(super) index: usize,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Where the literal of the key stands.
    pub(super) key: Option<(usize, usize)>,
    pub(super) is_delete: bool,
    /// The row behind this one that has the same key and replaces it.
    pub(super) replaced_by: Option<usize>,
}

/// Columns of raw mode. Source: dataflow-operator.md §3.8.
pub(super) const DATA: &str = "data";
pub(super) const METADATA: &str = "_metadata";

/// Names that are kept for the log at a time.
const IGNORED_MAX: usize = 100;

// === impl Layout ===

impl Layout {
    /// Chooses the columns of a table that are written.
    ///
    /// Errors: the name of a column that is missing.
    pub(super) fn new(columns: Vec<Column>, style: &Style) -> Result<Layout, String> {
        let has = |column: &Column, name: &str| column.name.eq_ignore_ascii_case(name);
        let mut chosen = Vec::new();
        let mut places = HashMap::new();
        if style.is_raw {
            let needed = if style.prefix.is_some() { &[DATA][..] } else { &[DATA, METADATA] };
            for name in needed {
                let column = columns.iter().find(|column| has(column, name));
                chosen.push(column.ok_or_else(|| (*name).to_owned())?.clone());
            }
            let prefix = style.prefix.as_deref().map(str::to_ascii_lowercase);
            for column in columns {
                let name = column.name.to_ascii_lowercase();
                let is_flat = prefix.as_ref().is_some_and(|prefix| name.starts_with(prefix));
                if is_flat && !chosen.iter().any(|known| known.name == column.name) {
                    chosen.push(column);
                }
            }
        } else {
            chosen = columns;
        }
        for (place, column) in chosen.iter().enumerate() {
            places.insert(column.name.clone().into_bytes(), place);
        }
        let key = match &style.conflict_key {
            Some(name) => {
                let key = chosen.iter().position(|column| has(column, name));
                Some(key.ok_or_else(|| name.clone())?)
            }
            None => None,
        };
        Ok(Layout { columns: chosen, places, key })
    }

    /// Gives the place of a column, and whether its name is spelled exactly so.
    fn place(&self, name: &[u8]) -> Option<(usize, bool)> {
        if let Some(&place) = self.places.get(name) {
            return Some((place, true));
        }
        // Names are kept in lower case there.
        let lower = name.to_ascii_lowercase();
        self.places.get(&lower).map(|&place| (place, false))
    }
}

// === impl Rows ===

impl Rows {
    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
    }

    /// Adds the row of a record; one that fails leaves no trace.
    pub(super) fn push(
        &mut self,
        layout: &Layout,
        style: &Style,
        batch: &RecordBatch,
        index: usize,
    ) -> Result<(), RecordError> {
        let start = self.text.len();
        let result = if style.is_raw {
            self.push_raw(layout, style, batch, index)
        } else {
            self.push_columns(layout, style, batch, index)
        };
        match result {
            Ok((key, is_delete)) => {
                let end = self.text.len();
                self.rows.push(Row { index, start, end, key, is_delete, replaced_by: None });
                Ok(())
            }
            Err(message) => {
                self.text.truncate(start);
                Err(RecordError::invalid(message))
            }
        }
    }

    fn push_columns(
        &mut self,
        layout: &Layout,
        style: &Style,
        batch: &RecordBatch,
        index: usize,
    ) -> Result<(Option<(usize, usize)>, bool), String> {
        let is_delete = style.conflict_key.is_some() && is_delete(batch, index);
        let mut tree = std::mem::take(&mut self.tree);
        let result = with_document(&mut tree, batch, index, |document, root| {
            if document.tree.kind(root) != NodeKind::Object {
                let kind = document.tree.kind(root).name();
                return Err(format!("the record is {kind} and no object, so it has no columns"));
            }
            self.find(layout, style, document, root, "", 0)?;
            if self.slots.iter().all(Option::is_none) {
                return Err("no field has the name of a column".to_owned());
            }
            if is_delete {
                // Only the key counts; the rest may be missing or out of date.
                for (place, slot) in self.slots.iter_mut().enumerate() {
                    if Some(place) != layout.key {
                        *slot = None;
                    }
                }
            }
            self.push_slots(layout, 0, document)
        });
        self.tree = tree;
        Ok((result?, is_delete))
    }

    fn push_raw(
        &mut self,
        layout: &Layout,
        style: &Style,
        batch: &RecordBatch,
        index: usize,
    ) -> Result<(Option<(usize, usize)>, bool), String> {
        let mut tree = std::mem::take(&mut self.tree);
        let mut meta_text = std::mem::take(&mut self.meta_text);
        let (data, wrapped) = raw_parts(&mut tree, batch, index, &mut meta_text);
        if !wrapped {
            meta_text.clear();
            match batch.meta(index) {
                Some(meta) => meta.write_json(&mut meta_text),
                None => meta_text.extend_from_slice(b"{}"),
            }
        }
        let result = push_json(&layout.columns[0], &mut tree, &data, &mut self.text)
            .and_then(|()| self.push_metadata(layout, style, &meta_text));
        (self.tree, self.meta_text) = (tree, meta_text);
        Ok((result?, false))
    }

    /// Appends metadata, JSON text, as one column or as many.
    fn push_metadata(
        &mut self,
        layout: &Layout,
        style: &Style,
        meta_text: &[u8],
    ) -> Result<Option<(usize, usize)>, String> {
        self.text.push(b',');
        let mut tree = std::mem::take(&mut self.meta_tree);
        tree.clear();
        let result = (|| {
            let end = u32::try_from(meta_text.len()).map_err(|_| "metadata is too long")?;
            let root = tree.parse(meta_text, 0, end).map_err(|error| error.to_string())?;
            let document = Document { tree: &tree, text: meta_text };
            let Some(prefix) = &style.prefix else {
                let start = self.text.len();
                push_json(&layout.columns[1], &mut Tree::default(), meta_text, &mut self.text)?;
                return Ok((layout.key == Some(1)).then_some((start, self.text.len())));
            };
            self.find(layout, style, document, root, prefix, 1)?;
            if layout.columns.len() == 1 {
                self.text.pop();
                return Ok(None);
            }
            self.push_slots(layout, 1, document)
        })();
        self.meta_tree = tree;
        result
    }

    /// Finds the members that columns from `first` on take their values from; their names stand behind
    /// `prefix`. The columns before are written already, so that no member may have them.
    fn find(
        &mut self,
        layout: &Layout,
        style: &Style,
        document: Document<'_>,
        root: NodeId,
        prefix: &str,
        first: usize,
    ) -> Result<(), String> {
        let Document { tree, text } = document;
        self.slots.clear();
        self.slots.resize(layout.columns.len(), None);
        let mut prefixed = prefix.as_bytes().to_vec();
        for child in tree.children(root) {
            let name = tree.key(text, child).unwrap_or_default();
            let place = if prefix.is_empty() {
                layout.place(name.as_bytes())
            } else {
                prefixed.truncate(prefix.len());
                prefixed.extend_from_slice(name.as_bytes());
                layout.place(&prefixed)
            };
            match place.filter(|(place, _)| *place >= first) {
                // A field that is spelled exactly so wins; of equal ones the last.
                Some((place, is_exact))
                    if is_exact || !matches!(self.slots[place], Some((_, true))) =>
                {
                    if is_exact && matches!(self.slots[place], Some((_, false))) {
                        self.ignored_count += 1;
                    }
                    self.slots[place] = Some((child, is_exact));
                }
                _ if style.is_strict => {
                    let name: String = name.chars().take(60).collect();
                    if place.is_some() {
                        return Err(format!(
                            "the metadata key `{name}` would be written to the column `{DATA}`, which holds \
                             the record; set flattenMetadataColumnsPrefix to another text"
                        ));
                    }
                    return Err(format!("no column has the name of field `{prefix}{name}`"));
                }
                _ => {
                    self.ignored_count += 1;
                    if self.ignored.len() < IGNORED_MAX
                        && !self.ignored.iter().any(|known| *known == name)
                    {
                        self.ignored.push(name.chars().take(60).collect());
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends the values of the columns from `first` on; gives where the key stands.
    fn push_slots(
        &mut self,
        layout: &Layout,
        first: usize,
        document: Document<'_>,
    ) -> Result<Option<(usize, usize)>, String> {
        let mut key = None;
        for (place, column) in layout.columns.iter().enumerate().skip(first) {
            if place > first {
                self.text.push(b',');
            }
            let start = self.text.len();
            match self.slots[place] {
                Some((node, _)) => column
                    .push(document, node, &mut self.text)
                    .map_err(|problem| format!("column `{}`: {problem}", column.name))?,
                None => self.text.extend_from_slice(b"NULL"),
            }
            if layout.key == Some(place) {
                key = Some((start, self.text.len()));
            }
        }
        if let (Some(place), Some((start, end))) = (layout.key, key)
            && &self.text[start..end] == b"NULL"
        {
            let name = &layout.columns[place].name;
            return Err(format!("column `{name}`: no value, and upsertMode finds rows by it"));
        }
        Ok(key)
    }

    /// Marks rows whose key occurs again behind them: the last one counts.
    pub(super) fn replace_earlier(&mut self) {
        let mut last: HashMap<&[u8], usize> = HashMap::new();
        for (number, row) in self.rows.iter_mut().enumerate().rev() {
            let Some((start, end)) = row.key else { continue };
            match last.get(&self.text[start..end]) {
                Some(&later) => row.replaced_by = Some(later),
                None => {
                    last.insert(&self.text[start..end], number);
                }
            }
        }
    }
}

const NOT_JSON: &str = "the record is not JSON";

/// Gives what the data column takes, and whether it was wrapped: then `metadata` holds what belongs to it.
fn raw_parts<'b>(
    tree: &mut Tree,
    batch: &'b RecordBatch,
    index: usize,
    metadata: &mut Vec<u8>,
) -> (Cow<'b, [u8]>, bool) {
    metadata.clear();
    let value = with_document(tree, batch, index, |document, root| {
        let (value, node) = envelope(document, root).ok_or_else(String::new)?;
        document.tree.print(document.text, node, metadata);
        let mut data = Vec::new();
        document.tree.print(document.text, value, &mut data);
        Ok(data)
    });
    match value {
        Ok(data) => (Cow::Owned(data), true),
        Err(_) => (batch.payload(index), false),
    }
}

/// Appends a text as the value of a column that holds whole records.
fn push_json(
    column: &Column,
    tree: &mut Tree,
    data: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let at = |problem: String| format!("column `{}`: {problem}", column.name);
    let text =
        std::str::from_utf8(data).map_err(|_| at("bytes that are no UTF-8 text".to_owned()))?;
    if column.ty != Type::Json {
        return column.push_scalar(Scalar::Text(text), out).map_err(at);
    }
    let end = u32::try_from(data.len()).map_err(|_| at("too long".to_owned()))?;
    tree.clear();
    let root = tree.parse(data, 0, end).map_err(|error| at(format!("no JSON: {error}")))?;
    column.push(Document { tree, text: data }, root, out).map_err(at)
}

/// Hands the document of a record on, parsing it where nobody did.
fn with_document<T>(
    tree: &mut Tree,
    batch: &RecordBatch,
    index: usize,
    work: impl FnOnce(Document<'_>, NodeId) -> Result<T, String>,
) -> Result<T, String> {
    let record = &batch.records[index];
    match record.root {
        Root::Node(root) => work(Document { tree: &batch.tree, text: &batch.text }, root),
        Root::NotJson | Root::Broken(_) => Err(NOT_JSON.to_owned()),
        Root::Unparsed => {
            tree.clear();
            let payload = &batch.text[record.start as usize..record.end as usize];
            if std::str::from_utf8(payload).is_err() {
                return Err(format!("{NOT_JSON}: no UTF-8"));
            }
            let root = tree
                .parse(&batch.text, record.start, record.end)
                .map_err(|error| format!("{NOT_JSON}: {error}"))?;
            work(Document { tree, text: &batch.text }, root)
        }
    }
}

/// Gives value and metadata of `{"value": …, "_metadata": {…}}`.
fn envelope(document: Document<'_>, root: NodeId) -> Option<(NodeId, NodeId)> {
    let Document { tree, text } = document;
    let value = tree.member(text, root, b"value")?;
    let metadata = tree.member(text, root, METADATA.as_bytes())?;
    let is_whole = tree.children(root).count() == 2;
    (is_whole && tree.kind(metadata) == NodeKind::Object).then_some((value, metadata))
}

/// Tells whether metadata says that the row is gone. Source: dataflow-operator.md §3.4, `operation=delete`.
pub(super) fn is_delete(batch: &RecordBatch, index: usize) -> bool {
    let operation = batch.meta(index).and_then(|meta| meta.get("operation"));
    matches!(operation, Some(Value::Str(text)) if &**text == "delete")
}

#[cfg(test)]
mod tests;
