//! Records as rows: which columns each one fills, and with which cells.
//!
//! ```text
//! cells  [ a b c │ a b c │ a c │ … ]   spans of the batch's text, or of what was made of it
//! rows   { record, first cell, shape, round } …
//! shapes [a b c] [a c] …               sets of columns; one statement serves all rows of a shape
//! ```
//! Rounds keep the order where it matters: two rows with one key and different shapes, or a row and the
//! delete of its key, are written in two rounds. Everything else may be written in any order.
//!
//! A record whose keys come in the order of the record before it costs one comparison per key.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};

use levada_model::{Meta, NodeId, NodeKind, RecordBatch, RecordError, Root, Tree, Value};

use super::SchemaChange;
use super::evolve::Needs;
use super::layout::{DATA, Layout, Mode, Settings};
use super::raw;
use super::value::{self, Cell, Doc, NULL, Place};
use crate::postgres::Kind;

/// Shapes that are remembered from batch to batch. Ours: flows have a handful.
const SHAPES_KEPT_MAX: usize = 256;

/// What a row does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Verb {
    /// It is inserted, or updates the row with its key.
    Put,
    /// The row with its key is deleted.
    Delete,
}

/// A set of columns and what is done with them.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) verb: Verb,
    /// Indexes of columns, in the order of the first record that had them.
    pub(super) columns: Vec<u16>,
}

/// A record that can be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) record: u32,
    pub(super) cells: u32,
    pub(super) shape: u32,
    pub(super) round: u32,
}

/// The rows of a batch; reused from batch to batch.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    pub(super) shapes: Vec<Shape>,
    /// Records that are no rows, with the reason.
    pub(super) rejected: Vec<(usize, RecordError)>,
    /// A key occurs twice in a shape and round.
    pub(super) has_twice: bool,
    /// Keys that were left out.
    pub(super) ignored: u64,
    /// What the table lacks.
    pub(super) needs: Needs,
    /// A record has a key that is no column.
    pub(super) has_unknown: bool,
    cells: Vec<Cell>,
    docs: Vec<u8>,
    arena: Vec<u8>,
    tree: Tree,
    by_columns: HashMap<(Verb, Vec<u16>), u32>,
    last: u32,
    slots: Vec<Option<Cell>>,
    touched: Vec<u16>,
    by_key: HashMap<u64, (u32, u32)>,
    has_deletes: bool,
}

// === impl Rows ===

impl Rows {
    /// Forgets the shapes: the table changed.
    pub(super) fn forget_shapes(&mut self) {
        self.shapes.clear();
        self.by_columns.clear();
        self.last = 0;
    }

    /// Makes rows of the records of a batch.
    pub(super) fn encode(&mut self, layout: &Layout, settings: &Settings, batch: &RecordBatch) {
        self.clear();
        if self.shapes.len() > SHAPES_KEPT_MAX {
            self.forget_shapes();
        }
        self.slots.resize(layout.table.columns.len(), None);
        let (mut last_meta, mut is_delete) = (std::ptr::null(), false);
        for index in 0..batch.len() {
            let meta = batch.base_meta(index);
            let at = meta.map_or(std::ptr::null(), std::ptr::from_ref);
            if at != last_meta {
                last_meta = at;
                is_delete = meta.is_some_and(is_deleting) && !settings.raw;
            }
            let verb = if is_delete { Verb::Delete } else { Verb::Put };
            let cells = self.cells.len();
            match self.encode_record(layout, settings, batch, index, verb) {
                Ok(shape) => self.rows.push(Row {
                    record: index as u32,
                    cells: cells as u32,
                    shape,
                    round: 0,
                }),
                Err(error) => {
                    self.cells.truncate(cells);
                    self.rejected.push((index, error));
                }
            }
        }
        if settings.upsert || self.has_deletes {
            self.find_rounds(layout, batch);
        }
    }

    /// Gives the cells of a row.
    pub(super) fn cells(&self, row: Row) -> &[Cell] {
        let count = self.shapes[row.shape as usize].columns.len();
        &self.cells[row.cells as usize..row.cells as usize + count]
    }

    /// Gives the bytes of a cell; nothing for null.
    #[inline]
    pub(super) fn bytes<'a>(&'a self, batch: &'a RecordBatch, cell: Cell) -> Option<&'a [u8]> {
        let from = match cell.place {
            Place::Null => return None,
            Place::Batch => &batch.text,
            Place::Docs => &self.docs,
            Place::Arena => &self.arena,
        };
        Some(&from[cell.start as usize..cell.end as usize])
    }

    fn clear(&mut self) {
        const KEPT_BYTES_MAX: usize = 16 << 20;
        self.rows.clear();
        self.rejected.clear();
        self.cells.clear();
        for buffer in [&mut self.docs, &mut self.arena] {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES_MAX);
        }
        self.by_key.clear();
        self.needs.clear();
        self.slots.clear();
        self.touched.clear();
        self.has_twice = false;
        self.has_unknown = false;
        self.has_deletes = false;
        self.ignored = 0;
    }

    fn encode_record(
        &mut self,
        layout: &Layout,
        settings: &Settings,
        batch: &RecordBatch,
        index: usize,
        verb: Verb,
    ) -> Result<u32, RecordError> {
        let record = batch.records[index];
        let mut tree = std::mem::take(&mut self.tree);
        tree.clear();
        let result = match record.root {
            Root::Broken(_) => {
                let unread = || RecordError::invalid("the source could not read the record");
                Err(batch.broken(index).cloned().unwrap_or_else(unread))
            }
            Root::Node(root) if !settings.raw => {
                let doc = Doc { text: &batch.text, tree: &batch.tree, place: Place::Batch };
                self.encode_document(layout, settings, batch, index, verb, doc, root)
            }
            _ if settings.raw => self.encode_raw(layout, settings, batch, index, &mut tree),
            _ => parse(&mut tree, &batch.text, record.start, record.end).and_then(|root| {
                let doc = Doc { text: &batch.text, tree: &tree, place: Place::Batch };
                self.encode_document(layout, settings, batch, index, verb, doc, root)
            }),
        };
        self.tree = tree;
        result
    }

    /// Makes a document of the columns `data` and `_metadata`, and a row of that.
    fn encode_raw(
        &mut self,
        layout: &Layout,
        settings: &Settings,
        batch: &RecordBatch,
        index: usize,
        tree: &mut Tree,
    ) -> Result<u32, RecordError> {
        let mut docs = std::mem::take(&mut self.docs);
        let start = docs.len() as u32;
        let result = raw::write(batch, index, settings, tree, &mut docs).and_then(|left_out| {
            self.ignored += left_out;
            tree.clear();
            let root = parse(tree, &docs, start, docs.len() as u32)?;
            let doc = Doc { text: &docs, tree, place: Place::Docs };
            self.encode_members(layout, settings, doc, root)
        });
        self.docs = docs;
        result
    }

    #[expect(clippy::too_many_arguments, reason = "one record and everything it is read with")]
    fn encode_document(
        &mut self,
        layout: &Layout,
        settings: &Settings,
        batch: &RecordBatch,
        index: usize,
        verb: Verb,
        doc: Doc<'_>,
        root: NodeId,
    ) -> Result<u32, RecordError> {
        if verb == Verb::Delete {
            return self.encode_delete(layout, batch.meta(index), doc, root);
        }
        match layout.mode {
            Mode::Columns | Mode::Raw => self.encode_members(layout, settings, doc, root),
            Mode::Json { data } => self.encode_whole(layout, settings, data, doc, root),
        }
    }

    /// A whole document in one column, and its conflict key where rows are updated.
    ///
    /// Differs: upstream leaves the key to the server, so that an upsert never finds its row.
    fn encode_whole(
        &mut self,
        layout: &Layout,
        settings: &Settings,
        data: u16,
        doc: Doc<'_>,
        root: NodeId,
    ) -> Result<u32, RecordError> {
        if doc.tree.kind(root) != NodeKind::Object {
            return Err(no_object(doc.tree.kind(root)));
        }
        self.begin_row();
        let whole = value::span(doc, root, &mut self.arena).map_err(RecordError::invalid)?;
        self.put(data, whole);
        if settings.upsert {
            for &column in &layout.conflict {
                let name = layout.table.columns[column as usize].name.as_bytes();
                if let Some(id) = doc.tree.member(doc.text, root, name) {
                    let cell = self.cell_of(layout, settings, column, doc, id)?;
                    self.put(column, cell);
                }
            }
        }
        Ok(self.finish_row(Verb::Put))
    }

    /// The columns of a delete: its key, and its version where that decides.
    fn encode_delete(
        &mut self,
        layout: &Layout,
        meta: Option<&Meta>,
        doc: Doc<'_>,
        root: NodeId,
    ) -> Result<u32, RecordError> {
        self.begin_row();
        if layout.conflict.is_empty() {
            let text =
                "a delete needs the columns of `conflictKey`, and the table lacks one of them";
            return Err(RecordError::invalid(text));
        }
        for &column in layout.conflict.iter().chain(&layout.version) {
            let described = &layout.table.columns[column as usize];
            let name = described.name.as_bytes();
            let cell = match doc.tree.member(doc.text, root, name) {
                Some(id) => value::cell(&described.kind, doc, id, &mut self.arena)
                    .map_err(|problem| about(&described.name, problem))?,
                None => self.cell_of_meta(meta, described.name.as_str()),
            };
            if cell.place != Place::Null {
                self.put(column, cell);
            } else if Some(column) != layout.version {
                let text = format!("a delete without a value for the key `{}`", described.name);
                return Err(RecordError::invalid(text));
            }
        }
        self.has_deletes = true;
        Ok(self.finish_row(Verb::Delete))
    }

    /// The key of a delete whose payload is empty: sources leave it in the metadata as `id`.
    fn cell_of_meta(&mut self, meta: Option<&Meta>, name: &str) -> Cell {
        let text = match meta.and_then(|meta| meta.get(name)) {
            None | Some(Value::Null) => return NULL,
            Some(value) => value.to_text().unwrap_or_default(),
        };
        let written = value::made(&mut self.arena, |arena| {
            arena.extend_from_slice(text.as_bytes());
            Ok(())
        });
        written.unwrap_or(NULL)
    }

    /// A column for each member.
    fn encode_members(
        &mut self,
        layout: &Layout,
        settings: &Settings,
        doc: Doc<'_>,
        root: NodeId,
    ) -> Result<u32, RecordError> {
        if doc.tree.kind(root) != NodeKind::Object {
            return Err(no_object(doc.tree.kind(root)));
        }
        let start = self.cells.len();
        let last = self.last;
        let mut is_same =
            self.shapes.get(last as usize).is_some_and(|shape| shape.verb == Verb::Put);
        if is_same {
            let mut count = 0;
            for id in doc.tree.children(root) {
                let Some(&column) = self.shapes[last as usize].columns.get(count) else {
                    is_same = false;
                    break;
                };
                let name = layout.table.columns[column as usize].name.as_bytes();
                if !doc.tree.has_key(doc.text, id, name) {
                    is_same = false;
                    break;
                }
                let cell = self.cell_of(layout, settings, column, doc, id)?;
                self.cells.push(cell);
                count += 1;
            }
            if is_same && count == self.shapes[last as usize].columns.len() {
                return self.checked(layout, settings, last);
            }
            self.cells.truncate(start);
        }
        self.encode_other_members(layout, settings, doc, root)
    }

    /// Members in an order that was not the one of the record before.
    fn encode_other_members(
        &mut self,
        layout: &Layout,
        settings: &Settings,
        doc: Doc<'_>,
        root: NodeId,
    ) -> Result<u32, RecordError> {
        self.begin_row();
        let mut problem = None;
        let mut is_empty = true;
        for id in doc.tree.children(root) {
            is_empty = false;
            let Some(key) = doc.tree.key(doc.text, id) else { continue };
            let column = layout.table.column(key.as_bytes());
            let Some(column) =
                column.filter(|&column| !layout.table.columns[column as usize].is_generated)
            else {
                problem = self.unknown(settings, column.is_some(), &key, doc, id).or(problem);
                continue;
            };
            match self.cell_of(layout, settings, column, doc, id) {
                Ok(cell) => self.put(column, cell),
                Err(error) => {
                    problem = Some(error);
                    break;
                }
            }
        }
        if let Some(problem) = problem {
            return Err(problem);
        }
        if self.touched.is_empty() && (is_empty || !self.needs.any()) {
            let text = if is_empty {
                "the object has no keys, so there is no row to write"
            } else {
                "no key of the record is a column of the table"
            };
            return Err(RecordError::invalid(text));
        }
        let shape = self.finish_row(Verb::Put);
        self.last = shape;
        self.checked(layout, settings, shape)
    }

    /// What happens to a key that is no column; gives the reason when the record is given up for it.
    fn unknown(
        &mut self,
        settings: &Settings,
        is_generated: bool,
        key: &str,
        doc: Doc<'_>,
        id: NodeId,
    ) -> Option<RecordError> {
        let shown: String = key.chars().take(64).collect();
        match settings.schema_change {
            SchemaChange::Ignore => {
                self.ignored += 1;
                None
            }
            _ if is_generated => {
                Some(RecordError::invalid(format!("column `{shown}` is computed by the server")))
            }
            SchemaChange::Evolve => match self.needs.add_column(key, doc.tree.kind(id), || {
                doc.tree.literal(doc.text, id).unwrap_or_default().to_owned()
            }) {
                Ok(()) => None,
                Err(problem) => Some(RecordError::invalid(format!("key `{shown}`: {problem}"))),
            },
            SchemaChange::Strict => {
                self.has_unknown = true;
                let text = format!(
                    "the table has no column `{shown}`; add it, or set schemaChange to evolve or ignore"
                );
                Some(RecordError::invalid(text))
            }
        }
    }

    #[inline]
    fn cell_of(
        &mut self,
        layout: &Layout,
        settings: &Settings,
        column: u16,
        doc: Doc<'_>,
        id: NodeId,
    ) -> Result<Cell, RecordError> {
        let described = &layout.table.columns[column as usize];
        if settings.schema_change == SchemaChange::Evolve
            && let Kind::Int(bytes) = described.kind
            && doc.tree.kind(id) == NodeKind::Number
            && let Some(wider) =
                value::wider(bytes, doc.tree.literal(doc.text, id).unwrap_or_default())
        {
            self.needs.widen(column, wider);
            return Ok(NULL);
        }
        let cell = match layout.mode {
            // A document that is `null` is a document.
            Mode::Raw if described.kind == Kind::Json && described.name == DATA => {
                value::span(doc, id, &mut self.arena)
            }
            _ => value::cell(&described.kind, doc, id, &mut self.arena),
        };
        cell.map_err(|problem| about(&described.name, problem))
    }

    /// Gives a shape, unless the rule of versions cannot be kept without its columns.
    fn checked(
        &self,
        layout: &Layout,
        settings: &Settings,
        shape: u32,
    ) -> Result<u32, RecordError> {
        if settings.if_newer.is_some()
            && let Some(version) = layout.version
            && !self.shapes[shape as usize].columns.contains(&version)
        {
            let name = &layout.table.columns[version as usize].name;
            return Err(RecordError::invalid(format!("the version `{name}` is missing")));
        }
        Ok(shape)
    }

    /// Forgets what a record left that was given up in the middle.
    fn begin_row(&mut self) {
        for column in self.touched.drain(..) {
            self.slots[column as usize] = None;
        }
    }

    /// Keeps a cell for the row; of two members with one key the last one counts.
    fn put(&mut self, column: u16, cell: Cell) {
        let slot = &mut self.slots[column as usize];
        if slot.is_none() {
            self.touched.push(column);
        }
        *slot = Some(cell);
    }

    /// Moves the cells that were put to the row, in the order of its shape.
    fn finish_row(&mut self, verb: Verb) -> u32 {
        let mut sorted = self.touched.clone();
        sorted.sort_unstable();
        let shape = match self.by_columns.get(&(verb, sorted)) {
            Some(&shape) => shape,
            None => {
                let mut sorted = self.touched.clone();
                sorted.sort_unstable();
                let shape = self.shapes.len() as u32;
                self.by_columns.insert((verb, sorted), shape);
                self.shapes.push(Shape { verb, columns: self.touched.clone() });
                shape
            }
        };
        for &column in &self.shapes[shape as usize].columns {
            let cell = self.slots[column as usize].take();
            self.cells.push(cell.unwrap_or(NULL));
        }
        shape
    }

    /// Puts rows with one key into rounds where their order matters.
    fn find_rounds(&mut self, layout: &Layout, batch: &RecordBatch) {
        let mut by_key = std::mem::take(&mut self.by_key);
        for at in 0..self.rows.len() {
            let row = self.rows[at];
            let Some(key) = self.key_hash(layout, batch, row) else { continue };
            let round = match by_key.get(&key) {
                None => 0,
                Some(&(round, shape)) if shape == row.shape => {
                    self.has_twice = true;
                    round
                }
                Some(&(round, _)) => round + 1,
            };
            by_key.insert(key, (round, row.shape));
            self.rows[at].round = round;
        }
        self.by_key = by_key;
    }

    /// Gives a hash of a row's key; nothing when the row has none. Two keys with one hash only cost a round.
    fn key_hash(&self, layout: &Layout, batch: &RecordBatch, row: Row) -> Option<u64> {
        let columns = &self.shapes[row.shape as usize].columns;
        let cells = self.cells(row);
        let mut hasher = DefaultHasher::new();
        for column in &layout.conflict {
            let at = columns.iter().position(|known| known == column)?;
            let bytes = self.bytes(batch, cells[at])?;
            hasher.write_usize(bytes.len());
            hasher.write(bytes);
        }
        Some(hasher.finish())
    }
}

fn parse(tree: &mut Tree, text: &[u8], start: u32, end: u32) -> Result<NodeId, RecordError> {
    let payload = &text[start as usize..end as usize];
    if payload.trim_ascii().is_empty() {
        return Err(RecordError::invalid("the payload is empty, so there is no row to write"));
    }
    if std::str::from_utf8(payload).is_err() {
        return Err(RecordError::invalid("the payload is not UTF-8"));
    }
    tree.parse(text, start, end).map_err(|error| RecordError::invalid(error.to_string()))
}

fn is_deleting(meta: &Meta) -> bool {
    matches!(meta.get("operation"), Some(Value::Str(operation)) if &**operation == "delete")
}

fn about(column: &str, problem: &str) -> RecordError {
    RecordError::invalid(format!("column `{column}`: {problem}"))
}

fn no_object(kind: NodeKind) -> RecordError {
    RecordError::invalid(format!(
        "the payload is {} and not an object, so it has no columns",
        kind.name()
    ))
}
