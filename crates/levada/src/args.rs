//! Arguments.

mod dlq;
mod gateway;
mod positions;
mod silence;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use levada_codec::line_protocol::Precision;
use levada_condition::filter::Compat;
use levada_gateway::wal::ImportTable;
use levada_model::Category;

pub(crate) use self::dlq::{Dlq, DlqFilter, DlqList, DlqReplay};
pub(crate) use self::gateway::{
    Gateway, GatewayCommand, GatewayLetters, GatewayQueue, GatewayWhich,
};
pub(crate) use self::positions::{Positions, PositionsOf, PositionsRewind};
pub(crate) use self::silence::{Silence, SilenceAdd};

/// Moves records and computes on points: flows and TICKscript tasks. One binary, one file per flow or task.
#[derive(Parser, Debug)]
#[command(name = "levada", version, about, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  levada init > flow.yaml              write a commented flow to start from
  levada check flow.yaml               every problem, with line and column
  levada run flow.yaml                 run it, with progress
  levada dry-run flow.yaml --input sample.ndjson
                                       show what would leave; contact nothing
  levada dry-run cpu.tick --input cpu.lp
                                       what a TICKscript task would do with these points
  levada fmt cpu.tick                  lay out a script

Exit codes: 0 done, 1 invalid input, 2 wrong usage, 3 runtime failure, 130 interrupted.";

/// Options of every command.
#[derive(Args, Debug, Clone)]
pub(crate) struct Common {
    /// Results as tables and text for people, or as one JSON value per line
    #[arg(long, short, global = true, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT")]
    pub(crate) output: OutputFormat,
    /// No progress and no notes on standard error; errors still
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Settings file; `levada.toml` in this folder when there is one
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// One setting, such as `flow.batch-records=500`; may be repeated
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Folder for everything that is kept [default: ./levada-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Log level, or levels per target
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
}

/// Arguments of `serve`.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Flow files: their flows run in the server, beside those of the setting `flow.load-dir`
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Folder with secrets of the flows as files: NAMESPACE/NAME/KEY or NAME/KEY
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets: Option<PathBuf>,
    /// Address to listen on; several are separated by commas [default: 127.0.0.1:9092]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Write the line with the bound addresses to this file descriptor, too
    #[arg(long, value_name = "N")]
    pub(crate) ready_fd: Option<i32>,
}

/// What results look like.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    /// For people.
    Text,
    /// One JSON value per line.
    Json,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Write a commented flow to start from
    #[command(
        after_help = "Examples:\n  levada init > flow.yaml\n  levada init metrics.yaml --template metrics"
    )]
    Init(Init),
    /// Run flows in the foreground until their sources end or they are stopped
    #[command(after_help = "\
Examples:
  levada run flow.yaml
  levada run flow.yaml other.yaml --output json
  levada run flow.yaml --from-start        forget where the last run stopped

Ctrl-C finishes what is under way and stops; a second Ctrl-C stops at once.
Where a run stopped is kept under levada-data/ and the next run goes on from there.")]
    Run(Run),
    /// Report every problem of flows and TICKscript files, with line and column
    #[command(after_help = "\
Examples:
  levada check flow.yaml cpu.tick
  levada check *.yaml *.tick --output json
  cat flow.yaml | levada check -
  levada check - --type stream < cpu.tick

A file ending in .tick is a script. Errors end with 1; warnings alone with 0.")]
    Check(Check),
    /// Lay out TICKscript files
    #[command(after_help = "\
Examples:
  levada fmt cpu.tick                 rewrite the file
  levada fmt tasks/*.tick --check     name the files that are not laid out, and end with 1
  levada fmt - < cpu.tick             write the formatted text")]
    Fmt(Fmt),
    /// Show what would leave a flow or a task; contact nothing, write nothing
    #[command(after_help = "\
Examples:
  levada dry-run flow.yaml --input sample.ndjson
  levada dry-run flow.yaml --input messages.ndjson --input-format message
  levada dry-run cpu.tick --input cpu.lp --precision s
  levada dry-run cpu.tick --input recording.srpl --db telegraf --rp autogen --stats
  levada dry-run batch.tick --input recording.brpl

DATA of a task is line protocol or a recording (.srpl, .brpl); plain, gzip and zip are recognised.
A batch task takes one input per query node, the last query of the script first. Each effect is one
line of JSON; problems with single points go to standard error and change nothing about the end.")]
    DryRun(DryRun),
    /// Show which points a filter of the gateway matches, and why
    #[command(after_help = "\
Examples:
  levada filter \"{ host match ['^web-'], status >= 500 }\" --input points.lp
  levada filter \"{ source = 'nginx' }\" --category logging --input points.lp --explain
  levada filter \"{ a notin ['x', nil] }\" --compat head --input - --output json < points.lp

The points are line protocol, plain or compressed. Without a category no key is injected: `source`,
`measurement`, `class` and `category` are then keys like others.")]
    Filter(Filter),
    /// Run the cases written next to flows and tasks: inputs and what must come out
    #[command(after_help = "\
Examples:
  levada test flow.yaml          cases in flow.yaml and flow.test.yaml
  levada test cpu.tick           cases in cpu.test.yaml
  levada test examples/          everything in the folder that has cases

A document with cases has `kind: FlowTest` or `kind: TaskTest`; see the reference page `tests`.")]
    Test(Test),
    /// Draw a flow or a task
    #[command(after_help = "\
Examples:
  levada graph flow.yaml
  levada graph flow.yaml --format svg > flow.svg
  levada graph cpu.tick | dot -Tsvg > cpu.svg")]
    Graph(Graph),
    /// Run one flow as the original's processor does, with its flags
    #[command(
        after_help = "Example:\n  levada processor --spec-path=/etc/dataflow/spec.json --namespace=default --name=orders"
    )]
    Processor(Processor),
    /// Run the server: Kapacitor's HTTP API, durable tasks and alerts, the gateway, flows
    #[command(after_help = "\
Examples:
  levada serve                             on 127.0.0.1:9092, data under ./levada-data
  levada serve --listen 127.0.0.1:0        on a free port; a line says which
  levada serve flow.yaml                   runs a flow as well, such as one with `sink: {type: gateway, …}`
  KAPACITOR_URL=http://127.0.0.1:9092 kapacitor list tasks

Ctrl-C takes no more requests, finishes what is under way and stops; a second Ctrl-C stops at once.
SIGHUP reads the gateway's destinations and rules, and the folder `task.load-dir`, again.")]
    Serve(Serve),
    /// Print the JSON Schema of flows, for editors
    #[command(after_help = "Example:\n  levada schema > dataflow.schema.json")]
    Schema,
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  levada completions bash > /etc/bash_completion.d/levada")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Show where a flow goes on, or change it
    #[command(
        subcommand,
        after_help = "\
Examples:
  levada positions show flow.yaml
  levada positions reset flow.yaml                          read everything again
  levada positions rewind flow.yaml --to orders/0=12000     go on there in this partition

The flow must not run. The checkpoint is changed, and what the sink or a consumer group keeps."
    )]
    Positions(Positions),
    /// Look at dead letters, or send them through their flow again
    #[command(
        subcommand,
        after_help = "\
Examples:
  levada dlq list errors.ndjson
  levada dlq list errors.ndjson --class invalid_data --output json
  levada dlq replay errors.ndjson --flow flow.yaml --class invalid_data"
    )]
    Dlq(Dlq),
    /// Talk to a server as Kapacitor's client does, with its commands and flags
    #[command(
        disable_help_flag = true,
        after_help = "\
Examples:
  levada kapacitor define cpu -tick cpu.tick -dbrp telegraf.autogen
  levada kapacitor enable cpu
  levada kapacitor list tasks
  levada kapacitor help                every command
  levada kapacitor help define         what a command takes

Flags have one dash or two and stand before other words, as in the original; so do its exit codes.
A binary that is called `kapacitor` is this command. The server is -url, else KAPACITOR_URL,
else http://localhost:9092."
    )]
    Kapacitor {
        /// A command of the original and what it takes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORDS")]
        words: Vec<String>,
    },
    /// Bring what another server knows to a Levada server
    #[command(subcommand)]
    Import(Import),
    /// Look after the gateway of a server: what came in, what waits, what receivers refused
    Gateway(Gateway),
    /// Keep alerts of a server quiet for some time: its handlers do not hear of them
    #[command(
        subcommand,
        after_help = "\
Examples:
  levada silence list
  levada silence add tag.host=db1 --for 2h --comment 'new disks'
  levada silence expire 6f2c9e1ab0d34785

States and history go on; what still alerts when a silence ends is told with its next event."
    )]
    Silence(Silence),
    /// Write the generated reference pages into a folder
    #[command(hide = true)]
    GenDocs {
        /// The folder
        folder: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Init {
    /// The file to write; standard output when absent. An existing file is never overwritten
    pub(crate) file: Option<PathBuf>,
    /// What to start from
    #[arg(long, value_enum, default_value_t = Template::Files)]
    pub(crate) template: Template,
}

/// A flow to start from.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Template {
    /// NDJSON files, filtered, masked and routed into files
    Files,
    /// This machine's metrics, routed into files
    Metrics,
    /// Records received over HTTP
    Http,
    /// Kafka to PostgreSQL, as the original's users write it
    Kafka,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// Flow files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Forget where the last run stopped, and read from the start
    #[arg(long)]
    pub(crate) from_start: bool,
    /// Keep no positions
    #[arg(long)]
    pub(crate) no_checkpoints: bool,
    /// Stop after this long, as if by Ctrl-C but with exit code 0, such as `30s`
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) duration: Option<levada_settings::Duration>,
    /// Serve probes and metrics here, such as `127.0.0.1:9090`
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<String>,
    /// Folder with secrets as files: NAMESPACE/NAME/KEY or NAME/KEY
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Flows and scripts; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Resolve references to secrets too; with a DIR, look there
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    pub(crate) secrets: Option<Option<PathBuf>>,
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// Scripts are templates: variables need no value, and what depends on values is not checked
    #[arg(long)]
    pub(crate) template: bool,
}

/// What a script is read with.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct TaskArgs {
    /// Scripts: what feeds the task; what the script says when absent
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    pub(crate) task_type: Option<ScriptType>,
    /// Scripts: values of variables, `{"NAME": {"type": "int", "value": 1}}`
    #[arg(long, value_name = "FILE")]
    pub(crate) vars: Option<PathBuf>,
}

/// What feeds a task.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScriptType {
    /// Points as they are written
    Stream,
    /// Queries
    Batch,
}

#[derive(Args, Debug)]
pub(crate) struct Fmt {
    /// Scripts; `-` is standard input, which is written to standard output
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Change nothing: name the files that would change, and end with 1 when there are any
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DryRun {
    /// The flow or the script; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The messages, one per line, or the points of a task; `-` is standard input; tasks: may be repeated
    #[arg(long, required = true, value_name = "DATA")]
    pub(crate) input: Vec<PathBuf>,
    /// Flows: how a line is read [default: payload]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) input_format: Option<InputFormat>,
    /// Flows: which one, when the file has several
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// Tasks: the database that line protocol is taken to have been written to
    #[arg(long, value_name = "DATABASE")]
    pub(crate) db: Option<String>,
    /// Tasks: its retention policy
    #[arg(long, value_name = "POLICY")]
    pub(crate) rp: Option<String>,
    /// Tasks: the unit of times in line protocol: n, u, ms, s, m or h [default: n]
    #[arg(long, value_name = "UNIT")]
    pub(crate) precision: Option<Precision>,
    /// Tasks: print the statistics of the nodes as the last line
    #[arg(long)]
    pub(crate) stats: bool,
    /// Tasks: close windows and the like when the data have moved on by this much, such as `5s`; later points are dropped
    #[arg(long, value_name = "LATENESS")]
    pub(crate) watermark: Option<levada_settings::Duration>,
    /// Tasks: bring back what this version of the original does: 1.8
    #[arg(long, value_name = "VERSION", value_parser = ["1.8"])]
    pub(crate) compat: Option<String>,
}

/// How a line of input is read.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputFormat {
    /// The line is the payload, JSON or not
    Payload,
    /// The line is {"payload": …} or {"payloadBase64": "…"}, with optional "metadata"
    Message,
}

#[derive(Args, Debug)]
pub(crate) struct Filter {
    /// The filter, such as `{ host = 'web-1' and status in [500, 502] }`
    #[arg(value_name = "CONDITION")]
    pub(crate) condition: String,
    /// The category that the points were written to, such as `logging`
    #[arg(long, value_name = "CATEGORY", value_parser = category)]
    pub(crate) category: Option<Category>,
    /// Whose rules the filter follows: strict, seed (DataKit 1.6) or head (DataKit 1.84)
    #[arg(long, default_value_t = Compat::Strict, value_name = "MODE")]
    pub(crate) compat: Compat,
    /// The points as line protocol; `-` is standard input
    #[arg(long, value_name = "POINTS")]
    pub(crate) input: PathBuf,
    /// Say of every part of the filter what it found
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Test {
    /// Flows, scripts, files with cases, and folders that hold them
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Graph {
    /// The flow or the script; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// text, mermaid, dot or svg [default: text for flows, dot for scripts]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<levada_flow::graph::Format>,
    /// Flows: which one, when the file has several
    #[arg(long, value_name = "NAME")]
    pub(crate) flow: Option<String>,
    #[command(flatten)]
    pub(crate) task: TaskArgs,
}

#[derive(Args, Debug)]
pub(crate) struct Processor {
    /// The spec: the `spec` object of a DataFlow as JSON
    #[arg(long, default_value = "/etc/dataflow/spec.json", value_name = "FILE")]
    pub(crate) spec_path: PathBuf,
    /// Namespace of the DataFlow
    #[arg(long, default_value = "default")]
    pub(crate) namespace: String,
    /// Name of the DataFlow
    #[arg(long)]
    pub(crate) name: String,
    /// Where probes and metrics are served
    #[arg(long, default_value = ":9090", value_name = "ADDRESS")]
    pub(crate) metrics_port: String,
    /// Folder with secrets as files: NAMESPACE/NAME/KEY or NAME/KEY
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets: Option<PathBuf>,
    /// Development log: console encoding, debug level
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) zap_devel: Option<bool>,
    /// Log encoding: json or console
    #[arg(long, value_name = "ENCODER")]
    pub(crate) zap_encoder: Option<String>,
    /// Log level: debug, info, error or panic
    #[arg(long, value_name = "LEVEL")]
    pub(crate) zap_log_level: Option<String>,
    /// Accepted and without effect: stack traces are not logged
    #[arg(long, value_name = "LEVEL")]
    pub(crate) zap_stacktrace_level: Option<String>,
    /// Accepted and without effect: times are RFC 3339
    #[arg(long, value_name = "ENCODING")]
    pub(crate) zap_time_encoding: Option<String>,
}

/// What is imported.
#[derive(Subcommand, Debug)]
pub(crate) enum Import {
    /// Take over tasks, templates, topic handlers and the states of alerts from Kapacitor
    #[command(after_help = "\
Examples:
  levada import kapacitor http://old:9092 --dry-run     what would be created and changed
  levada import kapacitor http://old:9092
  levada import kapacitor /etc/kapacitor/load           a load directory

It may be run again: what is the same is left alone, and nothing is deleted. Tasks are enabled when
all else is there. Recordings, users and overrides of the configuration are not taken over.

Exit codes: 0 all is there, 1 something failed, 3 a server or the folder cannot be reached.")]
    Kapacitor(ImportKapacitor),
    /// Take over what waits in the disk caches of a DataKit
    #[command(
        name = "datakit-cache",
        after_help = "\
Examples:
  levada import datakit-cache /usr/local/datakit/cache --wrote 1.6
  levada import datakit-cache /usr/local/datakit/cache/dw-wal --wrote 1.84 --destination team-a

Neither the DataKit nor a server with this data folder may run. Bodies go into the queue of the
destination, which the next `levada serve` sends; what has waited longer than the destination allows
is given up then. Files that were read are renamed, so it may be run again.

Exit codes: 0 done, 1 the destination or the folder is wrong or in use, or something could not be read."
    )]
    DatakitCache(ImportCache),
}

#[derive(Args, Debug)]
pub(crate) struct ImportCache {
    /// The folder of one cache, or the folder that holds one for each category
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Who wrote it, 1.6 or 1.84: the numbers of categories differ, and nothing in the files tells
    #[arg(long, value_name = "VERSION")]
    pub(crate) wrote: ImportTable,
    /// The destination that gets it
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) destination: String,
}

#[derive(Args, Debug)]
pub(crate) struct ImportKapacitor {
    /// The URL of a running original, or a load directory
    #[arg(value_name = "DIR|URL")]
    pub(crate) source: String,
    /// The Levada server [default: the setting client.server]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Say what would be created, changed and left alone; write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Enable nothing, and leave the status of tasks that are there
    #[arg(long)]
    pub(crate) disabled: bool,
    /// Believe any TLS certificate of either server
    #[arg(long)]
    pub(crate) skip_verify: bool,
}

/// Reads the name of a category.
fn category(word: &str) -> Result<Category, String> {
    Category::of_name(word).ok_or_else(|| {
        let known: Vec<&str> = Category::ALL.iter().map(|category| category.name()).collect();
        format!("unknown category; known: {}", known.join(", "))
    })
}

/// Parses the arguments of the process; ends it with 2 on wrong usage.
///
/// - A binary called `processor` is `levada processor`, and that command takes Go's single dashes too.
/// - A binary called `kapacitor` is `levada kapacitor`, whose words are read by that command alone.
pub(crate) fn parse() -> Arguments {
    Arguments::parse_from(rewrite(std::env::args_os().collect()))
}

fn rewrite(arguments: Vec<OsString>) -> Vec<OsString> {
    let called = arguments.first().map(Path::new).and_then(Path::file_name);
    let command = ["processor", "kapacitor"].into_iter().find(|name| called == Some(name.as_ref()));
    let mut rewritten = arguments;
    if let Some(command) = command {
        rewritten.insert(1, command.into());
    }
    let Some(at) = command_at(&rewritten) else { return rewritten };
    if rewritten[at] == "processor" {
        dashes(&mut rewritten[at + 1..]);
    } else if rewritten[at] == "kapacitor" {
        rewritten.insert(at + 1, "--".into());
    }
    rewritten
}

/// Finds the command among the options of every command.
fn command_at(arguments: &[OsString]) -> Option<usize> {
    let common = Common::augment_args(clap::Command::new("levada"));
    let takes_value = |word: &str| {
        let mut short = word.strip_prefix('-').unwrap_or_default().chars();
        let short = short.next().filter(|_| short.next().is_none());
        let option = common.get_arguments().find(|arg| match word.strip_prefix("--") {
            Some(long) => arg.get_long() == Some(long),
            None => short.is_some() && arg.get_short() == short,
        });
        option.is_some_and(|arg| arg.get_action().takes_values())
    };
    let mut at = 1;
    loop {
        let word = arguments.get(at)?.to_str()?;
        if !word.starts_with('-') {
            return Some(at);
        }
        at += if takes_value(word) { 2 } else { 1 };
    }
}

/// Doubles Go's single dashes.
fn dashes(arguments: &mut [OsString]) {
    for argument in arguments {
        let text = argument.to_string_lossy();
        let is_go_flag = text.len() > 2 && text.starts_with('-') && !text.starts_with("--");
        if is_go_flag && text.as_bytes()[1].is_ascii_alphabetic() {
            *argument = format!("-{text}").into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_processor_takes_flags_as_go_does() {
        let words = ["/processor", "-spec-path=/x.json", "--name", "n", "-zap-devel"];
        let rewritten = rewrite(words.iter().map(OsString::from).collect());
        let arguments = Arguments::parse_from(rewritten);
        let Command::Processor(processor) = arguments.command else {
            panic!("not the processor: {:?}", arguments.command)
        };
        assert_eq!(processor.spec_path, Path::new("/x.json"));
        assert_eq!(processor.zap_devel, Some(true));
        assert_eq!(processor.metrics_port, ":9090");
    }

    #[test]
    fn the_words_of_the_original_client_are_its_own() {
        for words in [
            &["levada", "kapacitor", "-url", "http://h", "-help", "--output", "x"][..],
            &["/usr/bin/kapacitor", "-url", "http://h", "-help", "--output", "x"],
            &[
                "levada",
                "--config",
                "kapacitor",
                "-q",
                "kapacitor",
                "-url",
                "http://h",
                "-help",
                "--output",
                "x",
            ],
        ] {
            let rewritten = rewrite(words.iter().map(OsString::from).collect());
            let arguments = Arguments::parse_from(rewritten);
            let Command::Kapacitor { words } = arguments.command else {
                panic!("not the client: {:?}", arguments.command)
            };
            assert_eq!(words, ["-url", "http://h", "-help", "--output", "x"]);
        }
    }

    #[test]
    fn common_options_may_stand_before_the_client() {
        for words in [
            &["levada", "--output=json", "kapacitor", "list", "tasks"][..],
            &["levada", "-o", "json", "kapacitor", "list", "tasks"],
            &["levada", "-ojson", "-q", "kapacitor", "list", "tasks"],
        ] {
            let words = rewrite(words.iter().map(OsString::from).collect());
            let arguments = Arguments::parse_from(words);
            assert_eq!(arguments.common.output, OutputFormat::Json);
            assert!(matches!(arguments.command, Command::Kapacitor { words } if words.len() == 2));
        }
    }
}
