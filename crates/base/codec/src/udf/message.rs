//! What the two sides say.

use levada_model::{FieldValue, Str};

use super::UdfError;
use super::wire::{fields, push_int, push_text};
use crate::wire::{push_bytes, push_message, push_sized};

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
