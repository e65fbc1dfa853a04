//! Records, batches, documents, acknowledgements, values, time and names.
//!
//! The crate that every other crate may use. No async, no I/O, no clock, no dialect JSON.
//!
//! Where to start: [`batch`] is the unit that moves through a flow; [`tree`] is how a document inside
//! a batch is read and edited without copying what is not touched; [`ack`] is how a source learns
//! that everything it handed out has been dealt with.

pub mod ack;
pub mod batch;
pub mod category;
pub mod envelope;
pub mod error;
pub mod float;
pub mod group;
pub mod meta;
pub mod name;
pub mod point;
mod scan;
pub mod text;
pub mod time;
pub mod tree;
pub mod value;

pub use ack::{Ack, AckTracker, Position};
pub use batch::{Origin, Record, RecordBatch, Root};
pub use category::Category;
pub use envelope::Envelope;
pub use error::{ErrorClass, ErrorKind, RecordError, with_causes};
pub use group::{Batch, BatchRef, Group, GroupKey};
pub use meta::Meta;
pub use name::ObjectRef;
pub use point::{FieldValue, Point, Series, Shape, TagKeys, Values};
pub use time::Timestamp;
pub use tree::{Node, NodeId, NodeKind, ParseError, Tree};
pub use value::{Str, Value};
