//! Alert levels, decisions, events, topics and handlers.
//!
//! ```text
//! point or batch ─▶ decision ─▶ event ─▶ inhibit? ─▶ topics ─▶ one queue per handler ─▶ handlers
//!                   (per group, pure)                (latest state per event ID, stored behind)
//! ```
//!
//! Where to start: [`decision`] is what one group remembers and when it reports; [`topics`] is where reports go.
//! Everything up to [`topics::Topics::publish`] is synchronous, never waits and may run on the threads of the engine;
//! behind it each handler has a queue and a worker of its own, so that a slow receiver delays nobody else.
//!
//! Deliberately not here: lambdas and templates of scripts (the alert node evaluates and renders them; [`info`] is what templates see), the HTTP API of
//! topics, `match` expressions (a handler takes a [`topics::Matcher`]), and the SQL store of topic states.

pub mod decision;
pub mod event;
pub mod handlers;
pub mod info;
pub mod inhibit;
pub mod json;
pub mod level;
pub mod metrics;
pub mod rows;
pub mod service;
pub mod services;
pub mod topics;

pub use decision::{AlertState, Ask, Decision, DecisionSettings, Flapping, Report, level_for};
pub use event::{Details, Event, EventData};
pub use handlers::{HandlerDeps, HandlerSpec};
pub use info::{AlertInfo, ServerInfo};
pub use inhibit::{Inhibitor, Inhibitors};
pub use level::Level;
pub use topics::{Topics, TopicsSettings};
