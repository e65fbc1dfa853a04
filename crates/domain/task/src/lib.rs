//! The point engine: pipelines, nodes, tasks.
//!
//! ```text
//! script ─ levada_tick ─▶ Pipeline (specs of nodes, linked) ─ Graph::build ─▶ Graph (nodes that run)
//!                              │                                               ▲ points, barriers, timers
//!                              └─▶ DOT, JSON, script                           └─ Actor ◀─ bounded queue ◀─ ingest
//! ```
//!
//! - One task is one actor: an item is pushed depth first through its graph by plain calls. There are no queues between
//!   nodes, so nothing can wait for anything, and a task is deterministic.
//! - Groups are interned once per task; a node keeps its state in a table by the small number of the group.
//! - What leaves a task goes through [`effect::Effects`]: captured by a dry run, queued to side actors otherwise.
//! - Functions of users run in programs of their own; what they give comes back when the task has its turn: [`udf`].
//!
//! Where to start: [`nodes`] is the table of nodes, one file each; [`runtime::Node`] is what a node does;
//! [`property`] is how its properties are declared.

pub mod actor;
pub mod capture;
pub mod cases;
pub mod definition;
pub mod dry_run;
pub mod effect;
pub mod engine;
pub mod nodes;
pub mod pipeline;
pub mod playback;
pub mod property;
pub mod recording;
pub mod recordings;
pub mod runtime;
pub mod service;
pub mod spec;
pub mod udf;
pub mod watermark;
