//! The commands, one file each.

mod check;
mod completions;
mod dlq;
mod dry_run;
mod filter;
mod fmt;
mod gateway;
mod gen_docs;
mod graph;
mod import;
mod init;
mod kapacitor;
mod positions;
mod processor;
mod run;
mod schema;
mod serve;
mod silence;
mod test;

use crate::args::{Arguments, Command};
use crate::exit::Exit;

/// Runs a command.
pub(crate) fn run(arguments: Arguments) -> Exit {
    let Arguments { common, command } = arguments;
    let exit = match command {
        Command::Init(args) => init::run(&args, &common),
        Command::Run(args) => run::run(args, &common),
        Command::Check(args) => check::run(&args, &common),
        Command::Fmt(args) => fmt::run(&args, &common),
        Command::DryRun(args) => dry_run::run(&args, &common),
        Command::Filter(args) => filter::run(&args, &common),
        Command::Test(args) => test::run(&args, &common),
        Command::Graph(args) => graph::run(&args),
        Command::Processor(args) => processor::run(args, &common),
        Command::Serve(args) => serve::run(&args, &common),
        Command::Schema => schema::run(),
        Command::Completions { shell } => completions::run(shell),
        Command::Positions(args) => positions::run(args, &common),
        Command::Dlq(args) => dlq::run(args, &common),
        Command::Kapacitor { words } => kapacitor::run(&words, &common),
        Command::Import(args) => import::run(args, &common),
        Command::Gateway(args) => gateway::run(args, &common),
        Command::Silence(args) => silence::run(args, &common),
        Command::GenDocs { folder } => gen_docs::run(&folder),
    };
    crate::output::flush();
    exit
}
