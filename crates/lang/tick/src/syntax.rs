//! The syntax of scripts: tokens, tree, texts.

pub mod ast;

pub use ast::{Call, CallKind, Comment, Kind, Node, Operator, Position};
