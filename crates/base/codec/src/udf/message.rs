//! What the two sides say.

use levada_model::{FieldValue, Str};

use super::UdfError;
use super::wire::{
    Field, fields, push_bytes, push_double, push_flag, push_int, push_message, push_sized,
    push_text, push_uint,
};

/// Names and values of tags.
pub type Tags = Vec<(Str, Str)>;
/// Names and values of fields; floats, integers, texts and booleans only.
pub type Fields = Vec<(Str, FieldValue)>;

/// What is said to a function.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Asks what it is.
    Info,
    /// Starts it.
    Init(Init),
    /// Asks whether it lives.
    Keepalive {
        /// Given back with the answer.
        time: i64,
    },
    /// Asks for its state.
    Snapshot,
    /// Gives it its state back.
    Restore {
        /// What it gave.
        snapshot: Vec<u8>,
    },
    /// A batch begins.
    Begin(Begin),
    /// A point, of a stream or of the batch that has begun.
    Point(Point),
    /// A batch ends.
    End(End),
}

/// What a function says.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// What it is.
    Info(Info),
    /// It has started, or not.
    Init(Outcome),
    /// It lives.
    Keepalive {
        /// What it was asked with.
        time: i64,
    },
    /// Its state.
    Snapshot {
        /// Anything.
        snapshot: Vec<u8>,
    },
    /// It took its state over, or not.
    Restore(Outcome),
    /// It cannot go on.
    Error {
        /// Why.
        text: String,
    },
    /// A batch begins.
    Begin(Begin),
    /// A point, of a stream or of the batch that has begun.
    Point(Point),
    /// A batch ends.
    End(End),
}

/// What a function takes or gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EdgeKind {
    /// Points.
    #[default]
    Stream,
    /// Batches.
    Batch,
}

/// The type of an argument of an option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueType {
    /// A boolean.
    #[default]
    Bool,
    /// An integer.
    Int,
    /// A float.
    Double,
    /// A text.
    String,
    /// A duration.
    Duration,
}

/// What a function is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// What it takes.
    pub wants: EdgeKind,
    /// What it gives.
    pub provides: EdgeKind,
    /// Its options, with the types of their arguments.
    pub options: Vec<(String, Vec<ValueType>)>,
}

/// What a function is started with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Init {
    /// In the order of the script; one may be there several times.
    pub options: Vec<InitOption>,
    /// The task.
    pub task: String,
    /// The node.
    pub node: String,
}

/// An option that was set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InitOption {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub values: Vec<OptionValue>,
}

/// An argument of an option.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionValue {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Double(f64),
    /// A text.
    String(String),
    /// Nanoseconds.
    Duration(i64),
}

/// How a start or a takeover ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// It worked.
    pub success: bool,
    /// Why it did not.
    pub error: String,
}

/// The begin of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    /// The measurement.
    pub name: Str,
    /// The text of the group.
    pub group: Str,
    /// The tags of the group.
    pub tags: Tags,
    /// How many points follow; 0 when that is not known.
    pub size: i64,
    /// The measurement belongs to the group.
    pub by_name: bool,
}

/// A point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Nanoseconds since 1970-01-01 UTC.
    pub time: i64,
    /// The measurement; of a stream.
    pub name: Str,
    /// The database; of a stream.
    pub database: Str,
    /// The retention policy; of a stream.
    pub retention: Str,
    /// The text of the group.
    pub group: Str,
    /// What the group is made of; of a stream.
    pub dimensions: Vec<Str>,
    /// All tags.
    pub tags: Tags,
    /// All fields.
    pub fields: Fields,
    /// The measurement belongs to the group; of a stream.
    pub by_name: bool,
}

/// The end of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// The measurement.
    pub name: Str,
    /// The text of the group.
    pub group: Str,
    /// The time of the batch, in nanoseconds since 1970-01-01 UTC.
    pub tmax: i64,
    /// The tags of the group.
    pub tags: Tags,
    /// The measurement belongs to the group.
    pub by_name: bool,
}

const INFO: u8 = 1;
const INIT: u8 = 2;
const KEEPALIVE: u8 = 3;
const SNAPSHOT: u8 = 4;
const RESTORE: u8 = 5;
const ERROR: u8 = 6;
const BEGIN: u8 = 16;
const POINT: u8 = 17;
const END: u8 = 18;

// === impl Request ===

impl Request {
    /// Appends the message behind its length.
    pub fn append(&self, out: &mut Vec<u8>) {
        push_sized(out, |out| match self {
            Request::Info => push_message(INFO, out, |_| {}),
            Request::Init(init) => push_message(INIT, out, |out| init.write(out)),
            Request::Keepalive { time } => {
                push_message(KEEPALIVE, out, |out| push_int(1, *time, out));
            }
            Request::Snapshot => push_message(SNAPSHOT, out, |_| {}),
            Request::Restore { snapshot } => push_message(RESTORE, out, |out| {
                if !snapshot.is_empty() {
                    push_bytes(1, snapshot, out);
                }
            }),
            Request::Begin(begin) => push_message(BEGIN, out, |out| begin.write(out)),
            Request::Point(point) => push_message(POINT, out, |out| point.write(out)),
            Request::End(end) => push_message(END, out, |out| end.write(out)),
        });
    }

    /// Reads a message.
    pub fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut read = None;
        fields(bytes, |field| {
            let Ok(number) = u8::try_from(field.number) else { return Ok(()) };
            read = Some(match number {
                INFO => Request::Info,
                INIT => Request::Init(Init::read(field.bytes()?)?),
                KEEPALIVE => Request::Keepalive { time: first_int(field.bytes()?)? },
                SNAPSHOT => Request::Snapshot,
                RESTORE => Request::Restore { snapshot: first_bytes(field.bytes()?)? },
                BEGIN => Request::Begin(Begin::read(field.bytes()?)?),
                POINT => Request::Point(Point::read(field.bytes()?)?),
                END => Request::End(End::read(field.bytes()?)?),
                _ => return Ok(()),
            });
            Ok(())
        })?;
        read.ok_or(UdfError::Empty)
    }
}

// === impl Response ===

impl Response {
    /// Appends the message behind its length.
    pub fn append(&self, out: &mut Vec<u8>) {
        push_sized(out, |out| match self {
            Response::Info(info) => push_message(INFO, out, |out| info.write(out)),
            Response::Init(outcome) => push_message(INIT, out, |out| outcome.write(out)),
            Response::Keepalive { time } => {
                push_message(KEEPALIVE, out, |out| push_int(1, *time, out));
            }
            Response::Snapshot { snapshot } => push_message(SNAPSHOT, out, |out| {
                if !snapshot.is_empty() {
                    push_bytes(1, snapshot, out);
                }
            }),
            Response::Restore(outcome) => push_message(RESTORE, out, |out| outcome.write(out)),
            Response::Error { text } => push_message(ERROR, out, |out| push_text(1, text, out)),
            Response::Begin(begin) => push_message(BEGIN, out, |out| begin.write(out)),
            Response::Point(point) => push_message(POINT, out, |out| point.write(out)),
            Response::End(end) => push_message(END, out, |out| end.write(out)),
        });
    }

    /// Reads a message.
    pub fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut read = None;
        fields(bytes, |field| {
            let Ok(number) = u8::try_from(field.number) else { return Ok(()) };
            read = Some(match number {
                INFO => Response::Info(Info::read(field.bytes()?)?),
                INIT => Response::Init(Outcome::read(field.bytes()?)?),
                KEEPALIVE => Response::Keepalive { time: first_int(field.bytes()?)? },
                SNAPSHOT => Response::Snapshot { snapshot: first_bytes(field.bytes()?)? },
                RESTORE => Response::Restore(Outcome::read(field.bytes()?)?),
                ERROR => Response::Error { text: first_text(field.bytes()?)? },
                BEGIN => Response::Begin(Begin::read(field.bytes()?)?),
                POINT => Response::Point(Point::read(field.bytes()?)?),
                END => Response::End(End::read(field.bytes()?)?),
                _ => return Ok(()),
            });
            Ok(())
        })?;
        read.ok_or(UdfError::Empty)
    }
}

fn first_int(bytes: &[u8]) -> Result<i64, UdfError> {
    let mut read = 0;
    fields(bytes, |field| {
        if field.number == 1 {
            read = field.int()?;
        }
        Ok(())
    })?;
    Ok(read)
}

fn first_bytes(bytes: &[u8]) -> Result<Vec<u8>, UdfError> {
    let mut read = Vec::new();
    fields(bytes, |field| {
        if field.number == 1 {
            read = field.bytes()?.to_vec();
        }
        Ok(())
    })?;
    Ok(read)
}

fn first_text(bytes: &[u8]) -> Result<String, UdfError> {
    let mut read = String::new();
    fields(bytes, |field| {
        if field.number == 1 {
            // What went wrong is worth reading, whatever its bytes are.
            read = String::from_utf8_lossy(field.bytes()?).into_owned();
        }
        Ok(())
    })?;
    Ok(read)
}

// === impl EdgeKind ===

impl EdgeKind {
    fn of(number: u64) -> Result<Self, UdfError> {
        match number {
            0 => Ok(EdgeKind::Stream),
            1 => Ok(EdgeKind::Batch),
            _ => Err(UdfError::Unknown { what: "edge", number }),
        }
    }
}

// === impl ValueType ===

impl ValueType {
    fn of(number: u64) -> Result<Self, UdfError> {
        Ok(match number {
            0 => ValueType::Bool,
            1 => ValueType::Int,
            2 => ValueType::Double,
            3 => ValueType::String,
            4 => ValueType::Duration,
            _ => return Err(UdfError::Unknown { what: "type", number }),
        })
    }
}

// === impl Info ===

impl Info {
    fn write(&self, out: &mut Vec<u8>) {
        push_int(1, self.wants as i64, out);
        push_int(2, self.provides as i64, out);
        for (name, types) in &self.options {
            push_message(3, out, |out| {
                push_bytes(1, name.as_bytes(), out);
                push_message(2, out, |out| {
                    if !types.is_empty() {
                        push_message(1, out, |out| {
                            out.extend(types.iter().map(|value_type| *value_type as u8));
                        });
                    }
                });
            });
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut info = Info::default();
        fields(bytes, |field| {
            match field.number {
                1 => info.wants = EdgeKind::of(field.uint()?)?,
                2 => info.provides = EdgeKind::of(field.uint()?)?,
                3 => {
                    let (mut name, mut types) = (String::new(), Vec::new());
                    fields(field.bytes()?, |field| {
                        match field.number {
                            1 => name = field.text()?.to_owned(),
                            2 => types = read_types(field.bytes()?)?,
                            _ => {}
                        }
                        Ok(())
                    })?;
                    info.options.retain(|(known, _)| *known != name);
                    info.options.push((name, types));
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(info)
    }
}

fn read_types(bytes: &[u8]) -> Result<Vec<ValueType>, UdfError> {
    let mut types = Vec::new();
    fields(bytes, |field| match field.number {
        1 => field.uints(|number| {
            types.push(ValueType::of(number)?);
            Ok(())
        }),
        _ => Ok(()),
    })?;
    Ok(types)
}

// === impl Init ===

impl Init {
    fn write(&self, out: &mut Vec<u8>) {
        for option in &self.options {
            push_message(1, out, |out| {
                push_text(1, &option.name, out);
                for value in &option.values {
                    push_message(2, out, |out| value.write(out));
                }
            });
        }
        push_text(2, &self.task, out);
        push_text(3, &self.node, out);
    }

    fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut init = Init::default();
        fields(bytes, |field| {
            match field.number {
                1 => {
                    let mut option = InitOption::default();
                    fields(field.bytes()?, |field| {
                        match field.number {
                            1 => option.name = field.text()?.to_owned(),
                            2 => option.values.push(OptionValue::read(field.bytes()?)?),
                            _ => {}
                        }
                        Ok(())
                    })?;
                    init.options.push(option);
                }
                2 => init.task = field.text()?.to_owned(),
                3 => init.node = field.text()?.to_owned(),
                _ => {}
            }
            Ok(())
        })?;
        Ok(init)
    }
}

// === impl OptionValue ===

impl OptionValue {
    /// Gives its type.
    pub fn value_type(&self) -> ValueType {
        match self {
            OptionValue::Bool(_) => ValueType::Bool,
            OptionValue::Int(_) => ValueType::Int,
            OptionValue::Double(_) => ValueType::Double,
            OptionValue::String(_) => ValueType::String,
            OptionValue::Duration(_) => ValueType::Duration,
        }
    }

    /// The value is one of several that may be there, so it is written also when it is empty.
    fn write(&self, out: &mut Vec<u8>) {
        push_int(1, self.value_type() as i64, out);
        match self {
            OptionValue::Bool(flag) => push_uint(2, u64::from(*flag), out),
            OptionValue::Int(number) => push_uint(3, *number as u64, out),
            OptionValue::Double(number) => push_double(4, *number, out),
            OptionValue::String(text) => push_bytes(5, text.as_bytes(), out),
            OptionValue::Duration(nanos) => push_uint(6, *nanos as u64, out),
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut read = None;
        fields(bytes, |field| {
            read = Some(match field.number {
                2 => OptionValue::Bool(field.flag()?),
                3 => OptionValue::Int(field.int()?),
                4 => OptionValue::Double(field.double()?),
                5 => OptionValue::String(field.text()?.to_owned()),
                6 => OptionValue::Duration(field.int()?),
                _ => return Ok(()),
            });
            Ok(())
        })?;
        read.ok_or(UdfError::Empty)
    }
}

// === impl Outcome ===

impl Outcome {
    fn write(&self, out: &mut Vec<u8>) {
        push_flag(1, self.success, out);
        push_text(2, &self.error, out);
    }

    fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut outcome = Outcome::default();
        fields(bytes, |field| {
            match field.number {
                1 => outcome.success = field.flag()?,
                2 => outcome.error = String::from_utf8_lossy(field.bytes()?).into_owned(),
                _ => {}
            }
            Ok(())
        })?;
        Ok(outcome)
    }
}

// === impl Begin ===

impl Begin {
    fn write(&self, out: &mut Vec<u8>) {
        push_text(1, &self.name, out);
        push_text(2, &self.group, out);
        write_tags(3, &self.tags, out);
        push_int(4, self.size, out);
        push_flag(5, self.by_name, out);
    }

    fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut begin = Begin::default();
        fields(bytes, |field| {
            match field.number {
                1 => begin.name = field.text()?.into(),
                2 => begin.group = field.text()?.into(),
                3 => begin.tags.push(read_tag(field)?),
                4 => begin.size = field.int()?,
                5 => begin.by_name = field.flag()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(begin)
    }
}

// === impl Point ===

impl Point {
    fn write(&self, out: &mut Vec<u8>) {
        push_int(1, self.time, out);
        push_text(2, &self.name, out);
        push_text(3, &self.database, out);
        push_text(4, &self.retention, out);
        push_text(5, &self.group, out);
        for dimension in &self.dimensions {
            push_bytes(6, dimension.as_bytes(), out);
        }
        write_tags(7, &self.tags, out);
        // The messages have no place for other kinds; who fills a point leaves them out.
        self.write_fields(8, out, |value, out| match value {
            FieldValue::Float(number) => {
                push_double(2, *number, out);
                true
            }
            _ => false,
        });
        self.write_fields(9, out, |value, out| match value {
            FieldValue::Int(number) => {
                push_uint(2, *number as u64, out);
                true
            }
            _ => false,
        });
        self.write_fields(10, out, |value, out| match value {
            FieldValue::Str(text) => {
                push_bytes(2, text.as_bytes(), out);
                true
            }
            _ => false,
        });
        push_flag(11, self.by_name, out);
        self.write_fields(12, out, |value, out| match value {
            FieldValue::Bool(flag) => {
                push_uint(2, u64::from(*flag), out);
                true
            }
            _ => false,
        });
    }

    /// Appends the fields of one kind: those whose value is written.
    fn write_fields(
        &self,
        number: u8,
        out: &mut Vec<u8>,
        write: impl Fn(&FieldValue, &mut Vec<u8>) -> bool,
    ) {
        for (name, value) in &self.fields {
            let before = out.len();
            let mut is_written = false;
            push_message(number, out, |out| {
                push_bytes(1, name.as_bytes(), out);
                is_written = write(value, out);
            });
            if !is_written {
                out.truncate(before);
            }
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut point = Point::default();
        fields(bytes, |field| {
            match field.number {
                1 => point.time = field.int()?,
                2 => point.name = field.text()?.into(),
                3 => point.database = field.text()?.into(),
                4 => point.retention = field.text()?.into(),
                5 => point.group = field.text()?.into(),
                6 => point.dimensions.push(field.text()?.into()),
                7 => point.tags.push(read_tag(field)?),
                8 => point.fields.push(entry(field, FieldValue::Float(0.0), |value| {
                    value.double().map(FieldValue::Float)
                })?),
                9 => point.fields.push(entry(field, FieldValue::Int(0), |value| {
                    value.int().map(FieldValue::Int)
                })?),
                10 => point.fields.push(entry(field, FieldValue::Str("".into()), |value| {
                    Ok(FieldValue::Str(value.text()?.into()))
                })?),
                11 => point.by_name = field.flag()?,
                12 => point.fields.push(entry(field, FieldValue::Bool(false), |value| {
                    value.flag().map(FieldValue::Bool)
                })?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(point)
    }
}

// === impl End ===

impl End {
    fn write(&self, out: &mut Vec<u8>) {
        push_text(1, &self.name, out);
        push_text(2, &self.group, out);
        push_int(3, self.tmax, out);
        write_tags(4, &self.tags, out);
        push_flag(5, self.by_name, out);
    }

    fn read(bytes: &[u8]) -> Result<Self, UdfError> {
        let mut end = End::default();
        fields(bytes, |field| {
            match field.number {
                1 => end.name = field.text()?.into(),
                2 => end.group = field.text()?.into(),
                3 => end.tmax = field.int()?,
                4 => end.tags.push(read_tag(field)?),
                5 => end.by_name = field.flag()?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(end)
    }
}

// === maps ===

fn write_tags(field: u8, tags: &Tags, out: &mut Vec<u8>) {
    for (name, value) in tags {
        push_message(field, out, |out| {
            push_bytes(1, name.as_bytes(), out);
            push_bytes(2, value.as_bytes(), out);
        });
    }
}

fn read_tag(field: Field<'_>) -> Result<(Str, Str), UdfError> {
    entry(field, Str::from(""), |value| value.text().map(Str::from))
}

/// Reads an entry of a map; a key or a value that is not there is empty.
fn entry<T>(
    field: Field<'_>,
    empty: T,
    read: impl Fn(Field<'_>) -> Result<T, UdfError>,
) -> Result<(Str, T), UdfError> {
    let (mut key, mut value) = (Str::from(""), empty);
    fields(field.bytes()?, |field| {
        match field.number {
            1 => key = field.text()?.into(),
            2 => value = read(field)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, value))
}
