//! Fakes, scenario helpers and the connector conformance suite.
