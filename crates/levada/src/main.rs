//! The `levada` binary: arguments, output, exit codes.

mod args;
mod commands;
mod exit;
mod lines;
mod load;
mod log;
mod output;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = args::parse();
    commands::run(arguments).into()
}
