//! What every table of things shares: located manifests, problem reports, decoding, look-ups, schema.
//!
//! A manifest becomes a tree whose every node knows its line and column ([`manifest`]). Types are
//! decoded from it ([`decode`]); whatever is wrong goes to a [`Report`] with the path of the field, so
//! that a person gets every problem at once and an editor knows where. Tables of connectors,
//! transforms and the like are plain slices; [`table`] looks a name up and lists the known ones.

pub mod decode;
pub mod manifest;
pub mod report;
pub mod table;

pub use decode::{Unknown, decode};
pub use manifest::{Document, ManifestError, Node, NodeValue};
pub use report::{FieldPath, Problem, Report, Segment, Severity};
pub use table::{Named, find};
