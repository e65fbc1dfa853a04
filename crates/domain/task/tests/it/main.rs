//! Whole tasks, from the text of a script to what leaves it.

mod examples;
mod forms;
mod influxdb;
mod notation;
mod outputs;
