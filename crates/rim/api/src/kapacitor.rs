//! Kapacitor's HTTP API, version 1. Source: reference (server) §1.

mod small;

use crate::router::Route;

/// The table of each group of routes.
pub const ROUTES: &[&[Route]] = &[small::ROUTES];
