//! Kapacitor's HTTP API, version 1. Source: reference (server) §1.

mod alerts;
mod recordings;
mod replays;
mod small;
mod subscriptions;
mod tasks;
mod templates;
pub mod users;
mod write;

pub use write::{Points, PointsDeps, Seen};
mod config;
mod logs;
mod service_tests;
mod storage;
mod vars;

use levada_pattern::Glob;
use serde::Serialize;

use crate::router::Route;

/// The table of each group of routes that every server has.
pub const ROUTES: &[&[Route]] = &[
    small::ROUTES,
    alerts::ROUTES,
    recordings::ROUTES,
    replays::ROUTES,
    tasks::ROUTES,
    templates::ROUTES,
    write::ROUTES,
    config::ROUTES,
    service_tests::ROUTES,
    storage::ROUTES,
    logs::ROUTES,
    vars::ROUTES,
    subscriptions::ROUTES,
];

const BASE: &str = "/kapacitor/v1/";

/// Where an object is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    rel: &'static str,
    href: String,
}

impl Link {
    /// Makes the link of an object to itself, e.g. `tasks/cpu`.
    pub fn to(path: &str) -> Self {
        Self::called("self", path)
    }

    /// Makes a link with another relation.
    pub fn called(rel: &'static str, path: &str) -> Self {
        Link { rel, href: format!("{BASE}{path}") }
    }
}

/// Tells whether a name is like a glob; a malformed one is like no name.
fn matches(pattern: &str, name: &str) -> bool {
    Glob::lenient(pattern).matches(name)
}
