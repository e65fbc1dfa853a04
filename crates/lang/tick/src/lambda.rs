//! Lambda expressions: compiled once, run per point.
