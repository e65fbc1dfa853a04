//! Tests of the codecs through their public interface.

mod fuzz;
mod mutate;
