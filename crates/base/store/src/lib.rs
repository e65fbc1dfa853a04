//! Crash-safe checkpoints.
