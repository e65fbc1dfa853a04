//! The path and condition languages of flows.
