//! Arguments of `positions`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do with the positions of a flow.
#[derive(Subcommand, Debug)]
pub(crate) enum Positions {
    /// Show where the flow goes on, and what it promises
    Show(PositionsOf),
    /// Forget where the flow stood; it starts as its source says
    Reset(PositionsOf),
    /// Go on at other positions in some partitions
    Rewind(PositionsRewind),
}

#[derive(Args, Debug)]
pub(crate) struct PositionsOf {
    /// The flow file; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The name of the flow, when the file declares several
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    /// Folder with secrets as files: NAMESPACE/NAME/KEY or NAME/KEY
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct PositionsRewind {
    #[command(flatten)]
    pub(crate) of: PositionsOf,
    /// Where to go on in a partition, as `positions show` names them; may be repeated
    #[arg(long, required = true, value_name = "PARTITION=POSITION")]
    pub(crate) to: Vec<String>,
}
