//! Whole tasks, from the text of a script to what leaves it.

mod dot;
mod engine;
mod errors;
mod examples;
mod notation;
mod world;
