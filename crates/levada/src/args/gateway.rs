//! Arguments of `gateway`.

use clap::{Args, Subcommand};

/// Arguments of `gateway`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  levada gateway status                         what came in, and whether the sums agree
  levada gateway queue show default             one destination: points, endpoints, reasons
  levada gateway queue wait --timeout 60        until nothing waits any more, with progress
  levada gateway dead-letter list               what receivers refused for good, and why
  levada gateway dead-letter replay default 17  send it again
  levada gateway status --output json | jq .received

Exit codes: 0 done, 1 there is no such thing, or sums do not agree, 3 the server cannot be reached
or the time was over.")]
pub(crate) struct Gateway {
    #[command(subcommand)]
    pub(crate) command: GatewayCommand,
    /// The Levada server [default: the setting client.server]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Believe any TLS certificate of the server
    #[arg(long, global = true)]
    pub(crate) skip_verify: bool,
}

/// What to do with a gateway.
#[derive(Subcommand, Debug)]
pub(crate) enum GatewayCommand {
    /// What came in, where it is, how often rules matched
    Status,
    /// Queues of destinations
    #[command(subcommand)]
    Queue(GatewayQueue),
    /// What receivers refused for good
    #[command(subcommand)]
    DeadLetter(GatewayLetters),
}

/// What to do with queues.
#[derive(Subcommand, Debug)]
pub(crate) enum GatewayQueue {
    /// A line for each
    List,
    /// All about one
    Show {
        /// Its name
        name: String,
    },
    /// Wait until nothing waits any more, with progress
    Wait {
        /// Only this one; all when absent
        name: Option<String>,
        /// Seconds after which it fails; without end when absent
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
    },
}

/// What to do with dead letters.
#[derive(Subcommand, Debug)]
pub(crate) enum GatewayLetters {
    /// A line for each
    List {
        /// Only of this queue
        #[arg(long, value_name = "NAME")]
        queue: Option<String>,
    },
    /// All about one
    Show {
        /// Its queue
        queue: String,
        /// Its number
        number: u64,
    },
    /// Send some again
    Replay(GatewayWhich),
    /// Give some up; their points count as dropped
    Drop(GatewayWhich),
}

#[derive(Args, Debug)]
pub(crate) struct GatewayWhich {
    /// Their queue
    pub(crate) queue: String,
    /// Their numbers
    #[arg(required_unless_present = "all")]
    pub(crate) numbers: Vec<u64>,
    /// All of the queue
    #[arg(long, conflicts_with = "numbers")]
    pub(crate) all: bool,
}
