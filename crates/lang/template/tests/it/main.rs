//! The public API of the crate, against what Go prints.

mod bounds;
mod cases;
mod data;
mod fields;
mod properties;
mod reference;
mod zones;
