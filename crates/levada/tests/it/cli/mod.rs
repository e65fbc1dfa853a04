//! The commands: what they print and how they end.

#![allow(clippy::unwrap_used, reason = "tests")]

mod binary;
mod cases;
mod check_files;
mod dlq;
mod dry_run;
mod dry_run_hostile;
mod examples;
mod filter;
mod flow_test;
mod gateway_sink;
mod graph;
mod import_cache;
mod kapacitor;
mod positions;
mod rules;
mod script_batch;
mod script_cases;
mod script_check;
mod script_dry_run;
mod script_fmt;
mod silence;
mod start;
mod steps;
mod udf;
