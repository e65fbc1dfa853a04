//! The `levada` binary: arguments, output, exit codes.

fn main() {}
