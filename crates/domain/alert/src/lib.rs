//! Alert levels, events, topics and handlers.
