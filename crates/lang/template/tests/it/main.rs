//! The public API of the crate, against what Go prints.

mod cases;
mod data;
