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
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    use_small_pages();
    if let Ok(place) = std::env::var(levada_settings::env::FAULT)
        && let Err(error) = levada_runtime::fault::arm(&place)
    {
        output::note(&format!("error: {}: {error}", levada_settings::env::FAULT));
        return exit::Exit::Usage.into();
    }
    let arguments = args::parse();
    commands::run(arguments).into()
}

/// Keeps the system from backing memory with pages of 2 MB.
///
/// The allocator takes and gives back pieces of some hundred kilobytes for each write or batch. With large pages the system
/// clears megabytes for each of them, and twice as much memory is resident, for no time that could be measured.
fn use_small_pages() {
    // Where the system refuses, everything works as well.
    rustix::thread::disable_transparent_huge_pages(true).ok();
}
