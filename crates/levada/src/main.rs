//! The `levada` binary: arguments, output, exit codes.

mod args;
mod commands;
mod effects;
mod exit;
mod functions;
mod lines;
mod load;
mod log;
mod output;
mod script;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Ok(place) = std::env::var(levada_settings::env::FAULT)
        && let Err(error) = levada_runtime::fault::arm(&place)
    {
        output::note(&format!("error: {}: {error}", levada_settings::env::FAULT));
        return exit::Exit::Usage.into();
    }
    let arguments = args::parse();
    commands::run(arguments).into()
}
