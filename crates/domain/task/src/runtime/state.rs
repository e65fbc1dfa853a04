//! The bytes of saved state.
//!
//! Numbers are variable-length integers (small ones take a byte), floats eight bytes, texts their length and bytes.
//! Series, shapes and groups are written once and named by their place after that, so a window of a million points
//! of one series holds its tags once.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use levada_model::{FieldValue, Group, GroupKey, Point, Series, Shape, Str, Timestamp, Values};
use levada_tick::lambda::{Program, State};
use thiserror::Error;

use super::groups::{Groups, PerGroup};

/// Why saved state cannot be taken over.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StateError {
    /// The bytes end too early.
    #[error("the saved state ends too early")]
    Short,
    /// A byte that stands for nothing.
    #[error("the saved state has an unknown {what} ({value})")]
    Unknown {
        /// What it was read as.
        what: &'static str,
        /// The byte.
        value: u64,
    },
    /// Bytes that are no text.
    #[error("the saved state holds a text that is not UTF-8")]
    NotText,
    /// There are more groups than the task may have.
    #[error("the saved state has more groups than the limit of the task")]
    TooManyGroups,
    /// Anything a node refuses.
    #[error("{0}")]
    Refused(String),
}

/// Collects state.
#[derive(Debug)]
pub struct Writer<'g> {
    task_groups: &'g Groups,
    bytes: Vec<u8>,
    series: HashMap<u64, u64, RandomState>,
    shapes: HashMap<u64, u64, RandomState>,
    groups: HashMap<u32, u64, RandomState>,
}

/// Gives state back.
pub struct Reader<'s> {
    bytes: &'s [u8],
    /// The groups of the task.
    pub groups: &'s mut Groups,
    series: Vec<Arc<Series>>,
    shapes: Vec<Arc<Shape>>,
    known_groups: Vec<Arc<Group>>,
}

const FLOAT: u8 = 0;
const INT: u8 = 1;
const UINT: u8 = 2;
const FALSE: u8 = 3;
const TRUE: u8 = 4;
const TEXT: u8 = 5;
const BYTES: u8 = 6;
const DURATION: u8 = 7;
const NULL: u8 = 8;

// === impl Writer ===

impl<'g> Writer<'g> {
    /// Begins, with the groups of the task whose state is saved.
    pub fn new(task_groups: &'g Groups) -> Self {
        Writer {
            task_groups,
            bytes: Vec::new(),
            series: HashMap::default(),
            shapes: HashMap::default(),
            groups: HashMap::default(),
        }
    }

    /// Appends a table by group.
    pub fn per_group<T>(&mut self, table: &PerGroup<T>, mut write: impl FnMut(&mut Self, &T)) {
        let groups = self.task_groups;
        let known: Vec<_> =
            table.iter().filter_map(|(slot, entry)| groups.at(slot).map(|g| (g, entry))).collect();
        self.list(known.into_iter(), |writer, (group, entry)| {
            writer.group(group);
            write(writer, entry);
        });
    }

    /// Appends the state of lambdas, per group.
    pub fn states(&mut self, states: &PerGroup<State>) {
        let mut buffer = Vec::new();
        self.per_group(states, |writer, state| {
            buffer.clear();
            state.save(&mut buffer);
            writer.bytes(&buffer);
        });
    }

    /// Gives the bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends a number without a sign.
    pub fn uint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// Appends a number with a sign.
    pub fn int(&mut self, number: i64) {
        self.uint(((number << 1) ^ (number >> 63)) as u64);
    }

    /// Appends a float.
    pub fn float(&mut self, number: f64) {
        self.bytes.extend_from_slice(&number.to_bits().to_le_bytes());
    }

    /// Appends a boolean.
    pub fn bool(&mut self, flag: bool) {
        self.bytes.push(u8::from(flag));
    }

    /// Appends bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.uint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a text.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Appends a time.
    pub fn time(&mut self, time: Timestamp) {
        self.int(time.0);
    }

    /// Appends something that may be absent.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// Appends a list: its length, then each item.
    pub fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.uint(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }

    /// Appends a value of a field.
    pub fn value(&mut self, value: &FieldValue) {
        match value {
            FieldValue::Float(number) => {
                self.bytes.push(FLOAT);
                self.float(*number);
            }
            FieldValue::Int(number) => {
                self.bytes.push(INT);
                self.int(*number);
            }
            FieldValue::UInt(number) => {
                self.bytes.push(UINT);
                self.uint(*number);
            }
            FieldValue::Bool(flag) => self.bytes.push(if *flag { TRUE } else { FALSE }),
            FieldValue::Str(text) => {
                self.bytes.push(TEXT);
                self.text(text);
            }
            FieldValue::Bytes(bytes) => {
                self.bytes.push(BYTES);
                self.bytes(bytes);
            }
            FieldValue::Duration(nanos) => {
                self.bytes.push(DURATION);
                self.int(*nanos);
            }
            FieldValue::Null => self.bytes.push(NULL),
        }
    }

    /// Appends a group.
    pub fn group(&mut self, group: &Group) {
        // 0 is followed by the group; any other number names one that was written before.
        if let Some(place) = self.groups.get(&group.slot) {
            return self.uint(*place + 1);
        }
        let place = self.groups.len() as u64;
        self.groups.insert(group.slot, place);
        self.uint(0);
        self.option(group.key.name.as_ref(), |writer, name| writer.text(name));
        let tags = group.key.dimensions.iter().zip(group.key.values.iter());
        self.list(tags, |writer, (name, value)| {
            writer.text(name);
            writer.text(value);
        });
    }

    /// Appends a series.
    pub fn series(&mut self, series: &Series) {
        if let Some(place) = self.series.get(&series.id) {
            return self.uint(*place + 1);
        }
        let place = self.series.len() as u64;
        self.series.insert(series.id, place);
        self.uint(0);
        self.text(&series.database);
        self.text(&series.retention);
        self.text(&series.name);
        self.list(series.keys.names.iter().zip(series.values.iter()), |writer, (name, value)| {
            writer.text(name);
            writer.text(value);
        });
    }

    /// Appends a shape.
    pub fn shape(&mut self, shape: &Shape) {
        if let Some(place) = self.shapes.get(&shape.id) {
            return self.uint(*place + 1);
        }
        let place = self.shapes.len() as u64;
        self.shapes.insert(shape.id, place);
        self.uint(0);
        self.list(shape.names.iter(), |writer, name| writer.text(name));
    }

    /// Appends a point.
    pub fn point(&mut self, point: &Point) {
        self.series(&point.series);
        self.shape(&point.shape);
        for value in &point.values {
            self.value(value);
        }
        self.time(point.time);
    }
}

// === impl Reader ===

impl<'s> Reader<'s> {
    /// Reads `bytes`, with the groups of the task that takes them over.
    pub fn new(bytes: &'s [u8], groups: &'s mut Groups) -> Self {
        Reader { bytes, groups, series: Vec::new(), shapes: Vec::new(), known_groups: Vec::new() }
    }

    /// Says whether everything was read.
    pub fn is_at_end(&self) -> bool {
        self.bytes.is_empty()
    }

    fn byte(&mut self) -> Result<u8, StateError> {
        let (first, rest) = self.bytes.split_first().ok_or(StateError::Short)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn take(&mut self, count: usize) -> Result<&'s [u8], StateError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(StateError::Short)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Reads a number without a sign.
    pub fn uint(&mut self) -> Result<u64, StateError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(StateError::Unknown { what: "number", value: number })
    }

    /// Reads a number with a sign.
    pub fn int(&mut self) -> Result<i64, StateError> {
        let number = self.uint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Reads a float.
    pub fn float(&mut self) -> Result<f64, StateError> {
        let bytes = self.take(8)?.try_into().map_err(|_| StateError::Short)?;
        Ok(f64::from_bits(u64::from_le_bytes(bytes)))
    }

    /// Reads a boolean.
    pub fn bool(&mut self) -> Result<bool, StateError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(StateError::Unknown { what: "boolean", value: u64::from(value) }),
        }
    }

    /// Reads bytes.
    pub fn bytes(&mut self) -> Result<&'s [u8], StateError> {
        let length = usize::try_from(self.uint()?).map_err(|_| StateError::Short)?;
        self.take(length)
    }

    /// Reads a text.
    pub fn text(&mut self) -> Result<&'s str, StateError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| StateError::NotText)
    }

    /// Reads a shared text.
    pub fn str(&mut self) -> Result<Str, StateError> {
        self.text().map(Arc::from)
    }

    /// Reads a time.
    pub fn time(&mut self) -> Result<Timestamp, StateError> {
        self.int().map(Timestamp)
    }

    /// Reads something that may be absent.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, StateError>,
    ) -> Result<Option<T>, StateError> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }

    /// Reads a list.
    pub fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, StateError>,
    ) -> Result<Vec<T>, StateError> {
        let count = self.uint()?;
        // Every item takes a byte at least, so a false count cannot ask for much memory.
        let mut items = Vec::with_capacity((count as usize).min(self.bytes.len()));
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// Reads a table by group.
    pub fn per_group<T>(
        &mut self,
        mut read: impl FnMut(&mut Self, &Arc<Group>) -> Result<T, StateError>,
    ) -> Result<PerGroup<T>, StateError> {
        let mut table = PerGroup::default();
        let entries = self.list(|reader| {
            let group = reader.group()?;
            let entry = read(reader, &group)?;
            Ok((group.slot, entry))
        })?;
        for (slot, entry) in entries {
            table.entry(slot, || entry);
        }
        Ok(table)
    }

    /// Reads the state of lambdas, per group.
    pub fn states(&mut self) -> Result<PerGroup<State>, StateError> {
        self.per_group(|reader, _| {
            State::load(reader.bytes()?).map_err(|error| StateError::Refused(error.to_string()))
        })
    }

    /// Reads the state of one expression, per group; what does not fit the expression is refused.
    pub fn states_of(&mut self, program: &Program) -> Result<PerGroup<State>, StateError> {
        self.per_group(|reader, _| {
            let state = program.load_state(reader.bytes()?);
            state.map_err(|error| StateError::Refused(error.to_string()))
        })
    }

    /// Reads a value of a field.
    pub fn value(&mut self) -> Result<FieldValue, StateError> {
        Ok(match self.byte()? {
            FLOAT => FieldValue::Float(self.float()?),
            INT => FieldValue::Int(self.int()?),
            UINT => FieldValue::UInt(self.uint()?),
            FALSE => FieldValue::Bool(false),
            TRUE => FieldValue::Bool(true),
            TEXT => FieldValue::Str(self.str()?),
            BYTES => FieldValue::Bytes(self.bytes()?.into()),
            DURATION => FieldValue::Duration(self.int()?),
            NULL => FieldValue::Null,
            value => {
                return Err(StateError::Unknown { what: "kind of value", value: value.into() });
            }
        })
    }

    /// Reads a group.
    pub fn group(&mut self) -> Result<Arc<Group>, StateError> {
        let place = self.uint()?;
        if place > 0 {
            return known(&self.known_groups, place, "group");
        }
        let name = self.option(Self::str)?;
        let tags = self.list(|reader| Ok((reader.str()?, reader.str()?)))?;
        let (dimensions, values): (Vec<Str>, Vec<Str>) = tags.into_iter().unzip();
        let key = GroupKey { name, dimensions: dimensions.into(), values: values.into() };
        let group = self.groups.intern(key).ok_or(StateError::TooManyGroups)?;
        self.known_groups.push(Arc::clone(&group));
        Ok(group)
    }

    /// Reads a series.
    pub fn series(&mut self) -> Result<Arc<Series>, StateError> {
        let place = self.uint()?;
        if place > 0 {
            return known(&self.series, place, "series");
        }
        let (database, retention, name) = (self.str()?, self.str()?, self.str()?);
        let tags = self.list(|reader| Ok((reader.str()?, reader.str()?)))?;
        let series = Series::new(database, retention, name, tags);
        self.series.push(Arc::clone(&series));
        Ok(series)
    }

    /// Reads a shape.
    pub fn shape(&mut self) -> Result<Arc<Shape>, StateError> {
        let place = self.uint()?;
        if place > 0 {
            return known(&self.shapes, place, "shape");
        }
        let shape = Shape::new(self.list(Self::str)?.into());
        self.shapes.push(Arc::clone(&shape));
        Ok(shape)
    }

    /// Reads a point.
    pub fn point(&mut self) -> Result<Point, StateError> {
        let series = self.series()?;
        let shape = self.shape()?;
        let mut values = Values::new();
        for _ in 0..shape.names.len() {
            values.push(self.value()?);
        }
        Ok(Point { series, shape, values, time: self.time()? })
    }
}

fn known<T>(items: &[Arc<T>], place: u64, what: &'static str) -> Result<Arc<T>, StateError> {
    let at = usize::try_from(place - 1).unwrap_or(usize::MAX);
    items.get(at).cloned().ok_or(StateError::Unknown { what, value: place })
}
