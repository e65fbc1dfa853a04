//! HTTP dialects of the server: Kapacitor's API, and Levada's own.
//!
//! ```text
//! socket ─▶ listen (TLS, bounds, drain) ─▶ router (route, access) ─▶ body ─▶ a function of the dialect ─▶ answer
//! ```
//!
//! Where to start: [`kapacitor::ROUTES`], [`gateway::ROUTES`] and [`own::ROUTES`] list every route; a route is one line there and one function in the file of
//! its group. What routes work with is [`Api`]; domains know nothing of HTTP or its JSON.

mod access;
mod answer;
mod api;
pub mod auth;
mod bodies;
pub mod config;
mod error;
pub mod gateway;
pub mod json;
pub mod kapacitor;
mod list;
mod listen;
pub mod own;
mod request;
mod router;
mod vitals;

/// What a listener can speak: a name for settings, and the tables of routes.
pub const DIALECTS: &[(&str, &[&[Route]])] = &[
    ("kapacitor", kapacitor::ROUTES),
    ("levada", own::ROUTES),
    ("gateway", gateway::ROUTES),
    (NAMED_ONLY, gateway::INFLUX_ROUTES),
];

/// The dialect that a listener speaks only when it is named: its paths are those of another.
pub const NAMED_ONLY: &str = "influx";

pub use answer::Answer;
pub use api::{
    Api, Gate, Health, Identity, Limits, LogControl, NoGate, Subscriptions, TestedService, Visit,
};
pub use error::ApiError;
pub use list::{ListQuery, Page};
pub use listen::{HEAD_BYTES_MAX, Listener, Served, serve};
pub use request::{Query, Request};
pub use router::{Access, Body, Handle, Refuse, Route, Router};
pub use vitals::{Counts, Statistic, Vitals};
