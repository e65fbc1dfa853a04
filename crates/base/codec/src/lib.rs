//! Sans-I/O formats: framed lines, CSV, line protocol, Prometheus samples, messages of
//! functions that run outside, capped gzip and zstd.
//!
//! Every type here is a state machine over byte slices: the caller owns the buffers, the files and
//! the sockets. Input of any size may arrive in pieces of any size, and the pieces never change the
//! result. Memory is bounded by the settings of each type, whatever the input says.
//!
//! ```text
//! file or body ──> compression::Decompressor ──> lines::LineSplitter ──> spans of lines
//!                                           └──> csv::CsvReader ───────> JSON texts of rows
//! body ──> line_protocol::Parser ──> points ──> line_protocol::write_point
//! body ──> points::{line, protobuf, json} ──> points of DataKit ──> points::checks ──> the same formats
//! bytes of a function ──> udf::Frames ──> udf::Response; udf::Request ──> bytes
//! records ──> json_text, csv::CsvWriter, line_protocol, prometheus ──> compression::Compressor ──> file or body
//! ```
//!
//! JSON parsing, the models of records and points and all I/O live elsewhere. Start with [`lines`].

pub mod lines;

pub mod csv;

pub mod compression;

pub mod json_text;

pub mod line_protocol;

pub mod points;

pub mod prometheus;

pub mod snappy;

pub mod udf;

mod wire;
