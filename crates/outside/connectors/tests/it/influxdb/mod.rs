//! InfluxDB 1.x as it is: what our reader of line protocol makes of a body against what a server makes of it.

#![allow(clippy::unwrap_used, reason = "tests end by panicking")]
#![expect(clippy::print_stdout, reason = "how much was compared is worth knowing")]

mod bodies;
mod line_protocol;
mod server;
