//! The point engine: pipelines, nodes, tasks.
