//! Trino over HTTP, shared by its source and its sink.
//!
//! ```text
//! client   POST /v1/statement ─▶ nextUri ─▶ nextUri ─▶ … ─▶ none        DELETE when it is dropped before
//! page     one answer: columns, rows, the next address, or the error of the query
//! token    bearer tokens, given or from Keycloak
//! types    names of types ─▶ Type          sql      names and texts in quotes
//! literal  JSON ─▶ SQL, by type            row      rows of an answer ─▶ JSON, by type
//! ```
//! Rows are handed on answer by answer and never gathered. Every answer has a bound.
//!
//! Source: dataflow-operator.md §3.5, and Trino's client protocol.

pub(crate) mod client;
pub(crate) mod failure;
pub(crate) mod literal;
pub(crate) mod metrics;
pub(crate) mod number;
pub(crate) mod page;
pub(crate) mod row;
pub(crate) mod sql;
pub(crate) mod temporal;
pub(crate) mod token;
pub(crate) mod types;
