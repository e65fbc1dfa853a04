//! Leaders that move and requests that fail, with the client's mock cluster: a cluster of three cannot be
//! started here.
//!
//! The mock cluster talks the protocol; it runs in a client of the test's own.
