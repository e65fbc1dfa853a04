//! Arguments of `dlq`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use levada_model::ErrorClass;

#[derive(Subcommand, Debug)]
pub(crate) enum Dlq {
    /// List dead letters that an error sink wrote, in files, a topic or a table
    #[command(after_help = "\
Examples:
  levada dlq list errors.ndjson
  levada dlq list --flow flow.yaml
  levada dlq list errors.ndjson --class invalid_data --output json")]
    List(DlqList),
    /// Send dead letters through their flow again, from the stage that failed
    #[command(after_help = "\
Examples:
  levada dlq replay errors.ndjson --flow flow.yaml --class invalid_data
  levada dlq replay --flow flow.yaml           from the topic or table of the flow's error sink

Letters of a file or a table stay there. Of a topic, a consumer group keeps what was replayed: the next call goes
on behind it, but not past a letter that was left, because of its class for instance.")]
    Replay(DlqReplay),
}

#[derive(Args, Debug)]
pub(crate) struct DlqFilter {
    /// Files with dead letters, one JSON object per line; `-` is standard input. None: the topic
    /// or table that the error sink of the flow writes
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Only this class, such as invalid_data
    #[arg(long, value_name = "CLASS", value_parser = error_class)]
    pub(crate) class: Option<String>,
    /// Only this stage, such as `transform[2]:cast`
    #[arg(long, value_name = "STAGE")]
    pub(crate) stage: Option<String>,
    /// Only this flow, as NAMESPACE/NAME
    #[arg(long, value_name = "FLOW")]
    pub(crate) dataflow: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct DlqList {
    #[command(flatten)]
    pub(crate) filter: DlqFilter,
    /// Show at most this many letters
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) limit: usize,
    /// The flow file, for the topic or table of its error sink
    #[arg(long = "flow", value_name = "FLOW_FILE", required_unless_present = "files")]
    pub(crate) flow: Option<PathBuf>,
    /// Consumer group that reads the topic [default: one of the flow's own]
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Folder with secrets as files: NAMESPACE/NAME/KEY or NAME/KEY
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct DlqReplay {
    #[command(flatten)]
    pub(crate) filter: DlqFilter,
    /// The flow file
    #[arg(long, value_name = "FILE")]
    pub(crate) flow: PathBuf,
    /// A letter that was replayed this often is left alone
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) attempts_max: u64,
    /// Consumer group that keeps how far the topic was replayed [default: one of the flow's own]
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Replay the topic from its start, and not from where the last replay stopped
    #[arg(long)]
    pub(crate) from_start: bool,
    /// Folder with secrets as files: NAMESPACE/NAME/KEY or NAME/KEY
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets: Option<PathBuf>,
}

/// Accepts the classes of failed records.
fn error_class(word: &str) -> Result<String, String> {
    if ErrorClass::parse(word).is_some() {
        return Ok(word.to_owned());
    }
    let known: Vec<&str> = ErrorClass::ALL.iter().map(|class| class.as_str()).collect();
    Err(format!("unknown class; known: {}", known.join(", ")))
}
