//! Whole tasks, from the text of a script to what leaves it.

mod errors;
mod examples;
mod notation;
