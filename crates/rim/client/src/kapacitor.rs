//! The client of Kapacitor: its commands, one file each.
//!
//! Follows Kapacitor 1.8. Deliberate differences:
//! - `-o json|yaml` gives results for programs; the tables are those of the original. It may also stand at the end of the words.
//! - `record` and `replay` with `-no-wait` print the ID of what they began; the original prints nothing.
//! - `define ID -no-reload` is not refused for the number of its words.
//! - Requests have time-outs; `backup` leaves no half file behind.
//! - Variables that are lists may hold more than texts and stars; the original refuses to show them.
//! - The texts of the help are our own.

mod backup;
pub(crate) mod define;
mod flux;
mod help;
mod list;
mod logs;
pub(crate) mod objects;
mod record;
mod replay;
mod server;
mod show;
mod stats;
mod status;
mod value;
mod wait;

use std::io;

use serde_json::Value;

use crate::api::{Api, ApiError, StreamError};
use crate::flags::{self, Flag, FlagError, Parsed, switch, text};
use crate::format::{self, Format};
use crate::world::World;

/// Where the server is when nothing says otherwise. Source: Kapacitor's client.
const DEFAULT_URL: &str = "http://localhost:9092";
/// The exit code of wrong usage, an unknown command or a wrong environment. Source: Kapacitor's client, as all of these.
const EXIT_USAGE: u8 = 1;
/// The exit code when arguments are missing or flags are wrong.
const EXIT_ARGUMENTS: u8 = 2;
/// The exit code of an error.
const EXIT_ERROR: u8 = 3;
/// The exit code when the client cannot be made.
const EXIT_CLIENT: u8 = 4;

/// The flags before the command.
const GLOBAL_FLAGS: &[Flag] = &[
    text(
        "url",
        "URL",
        "the server, credentials included; else KAPACITOR_URL, else http://localhost:9092",
    ),
    switch("skipVerify", "believe any TLS certificate; else KAPACITOR_UNSAFE_SSL"),
    OUTPUT_FLAG,
];

/// The flag of commands whose results can be had for programs.
const OUTPUT_FLAG: Flag = text("o", "FORMAT", "text (default), json (one value per line) or yaml");

/// The commands, in the order of the help.
const COMMANDS: &[Command] = &[
    record::STREAM,
    record::BATCH,
    record::QUERY,
    define::TASK,
    define::TEMPLATE,
    define::TOPIC_HANDLER,
    replay::RECORDING,
    replay::LIVE_BATCH,
    replay::LIVE_QUERY,
    logs::WATCH,
    logs::LOGS,
    status::ENABLE,
    status::DISABLE,
    status::RELOAD,
    status::DELETE,
    list::LIST,
    show::TASK,
    show::TEMPLATE,
    show::TOPIC_HANDLER,
    show::TOPIC,
    backup::BACKUP,
    server::LEVEL,
    stats::STATS,
    server::VERSION,
    server::VARS,
    server::SERVICE_TESTS,
    flux::CREATE,
    flux::LIST,
    flux::UPDATE,
    flux::DELETE,
    flux::RETRY_FAILED,
    flux::LOG_LIST,
    flux::RUN_LIST,
    flux::RUN_RETRY,
    help::HELP,
];

/// What a command tells about itself.
struct Command {
    /// Its words.
    name: &'static str,
    /// What stands behind it, for the help.
    arguments: &'static str,
    /// One line.
    summary: &'static str,
    /// More lines, each complete; may be empty.
    detail: &'static str,
    /// What is said when the word before the flags is missing; empty when there is no such word.
    leading: &'static str,
    flags: &'static [Flag],
    run: Run,
}

/// What a command does; the words behind its flags are in the `rest`.
#[derive(Clone, Copy)]
enum Run {
    /// It needs no server.
    Alone(fn(&mut World<'_>, &Parsed) -> Result<(), Failure>),
    /// It asks the server.
    Server(fn(&mut Session<'_, '_>, &Parsed) -> Result<(), Failure>),
}

/// A command under way.
struct Session<'s, 'w> {
    api: Api,
    format: Format,
    world: &'s mut World<'w>,
}

/// Why a command ends before it is done.
enum Failure {
    /// Something did not work.
    Error(String),
    /// An argument is missing.
    Missing(String),
    /// The results cannot be written.
    Output(io::Error),
}

/// Runs a command line, the name of the program left out, and gives the exit code.
///
/// - `format`: how results look unless a flag says otherwise.
pub fn run(words: &[String], format: Format, world: &mut World<'_>) -> u8 {
    let code = run_words(words, format, world);
    match world.out.flush() {
        Ok(()) => code,
        Err(error) => output_failed(&error, world),
    }
}

/// Names the commands, for completions and help of a program that contains this one.
pub fn command_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    COMMANDS.iter().map(|command| (command.name, command.summary))
}

fn run_words(words: &[String], format: Format, world: &mut World<'_>) -> u8 {
    let global = match flags::parse(GLOBAL_FLAGS, words) {
        Ok(global) => global,
        Err(FlagError::Help) => return end(world.print(&help::overview()), world),
        Err(FlagError::Wrong(message)) => {
            world.note(&message);
            world.note(help::overview().trim_end());
            return EXIT_USAGE;
        }
    };
    if global.rest.is_empty() {
        world.note(help::overview().trim_end());
        return EXIT_USAGE;
    }
    let Some((command, words)) = find(&global.rest) else {
        return unknown(&global.rest, world);
    };
    let parsed = match arguments(command, words) {
        Ok(parsed) => parsed,
        Err(Wrong::Help) => return end(world.print(&help::of(command)), world),
        Err(Wrong::Text(message)) => {
            world.note(&message);
            world.note(help::of(command).trim_end());
            return EXIT_ARGUMENTS;
        }
    };
    let wanted = parsed.get("o").or_else(|| global.get("o")).map(str::parse);
    let format = match wanted.transpose() {
        Ok(wanted) => wanted.unwrap_or(format),
        Err(message) => {
            world.note(&message);
            return EXIT_ARGUMENTS;
        }
    };
    let result = match command.run {
        Run::Alone(run) => run(world, &parsed),
        Run::Server(run) => match connect(&global, world) {
            Ok(api) => run(&mut Session { api, format, world }, &parsed),
            Err(code) => return code,
        },
    };
    match result {
        Ok(()) => 0,
        Err(Failure::Error(message)) => {
            world.note(&format!("Error: {message}"));
            EXIT_ERROR
        }
        Err(Failure::Missing(message)) => {
            world.note(&message);
            world.note(help::of(command).trim_end());
            EXIT_ARGUMENTS
        }
        Err(Failure::Output(error)) => output_failed(&error, world),
    }
}

/// Finds the command that words begin with, and the words behind it.
fn find(words: &[String]) -> Option<(&'static Command, &[String])> {
    COMMANDS.iter().find_map(|command| {
        let names: Vec<&str> = command.name.split(' ').collect();
        let rest = words.get(names.len()..)?;
        (words[..names.len()] == names[..]).then_some((command, rest))
    })
}

/// Tells about words that are no command: the first of them may begin several.
fn unknown(words: &[String], world: &mut World<'_>) -> u8 {
    let family: Vec<&Command> = help::family(words.first().map_or("", |word| word)).collect();
    if family.is_empty() {
        world.note(&format!("Unknown command '{}'", words[0]));
        world.note(help::overview().trim_end());
        return EXIT_USAGE;
    }
    world.note(match words.get(1) {
        Some(_) => "Unknown command. Known are:",
        None => "Must provide one of:",
    });
    family.iter().for_each(|command| world.note(&format!("  {}", help::usage(command))));
    EXIT_ARGUMENTS
}

enum Wrong {
    Help,
    Text(String),
}

/// Reads what stands behind a command.
///
/// - The format may also stand at the end, behind words that are no flags, where the original takes it for two of them.
fn arguments(command: &Command, words: &[String]) -> Result<Parsed, Wrong> {
    // What stands behind a script of Flux is read as the original does.
    let is_flux = command.name.starts_with("flux ");
    let has_format = !is_flux && command.flags.iter().any(|flag| flag.name == OUTPUT_FLAG.name);
    match format_at_end(words).filter(|_| has_format) {
        Some((count, format)) => {
            let mut parsed = flags_and_words(command, &words[..words.len() - count])?;
            parsed.set(OUTPUT_FLAG.name, format);
            Ok(parsed)
        }
        None => flags_and_words(command, words),
    }
}

/// Finds `-o FORMAT` or `-o=FORMAT` at the end; gives of how many words it is. Behind `--` there are no flags.
fn format_at_end(words: &[String]) -> Option<(usize, String)> {
    if words.iter().any(|word| word == "--") {
        return None;
    }
    let is_format = |text: &&str| text.parse::<Format>().is_ok();
    let last = words.last()?;
    let value = ["-o=", "--o="].iter().find_map(|start| last.strip_prefix(start));
    if let Some(value) = value.filter(is_format) {
        return Some((1, value.to_owned()));
    }
    let before = words.len().checked_sub(2).and_then(|at| words.get(at))?;
    let is_flag = matches!(before.as_str(), "-o" | "--o");
    Some(&**last).filter(|last| is_flag && is_format(last)).map(|last| (2, last.to_owned()))
}

fn flags_and_words(command: &Command, words: &[String]) -> Result<Parsed, Wrong> {
    let read = |words: &[String]| {
        flags::parse(command.flags, words).map_err(|error| match error {
            FlagError::Help => Wrong::Help,
            FlagError::Wrong(message) => Wrong::Text(message),
        })
    };
    if command.leading.is_empty() {
        return read(words);
    }
    match words.split_first() {
        // A name may begin with a dash, but not be a flag.
        Some((first, rest))
            if read(std::slice::from_ref(first)).is_ok_and(|p| !p.rest.is_empty()) =>
        {
            let mut parsed = read(rest)?;
            parsed.rest.insert(0, first.clone());
            Ok(parsed)
        }
        Some((first, _)) if matches!(first.trim_start_matches('-'), "h" | "help") => {
            Err(Wrong::Help)
        }
        _ => Err(Wrong::Text(command.leading.to_owned())),
    }
}

/// Makes the client, as flags and environment say; or gives the exit code.
fn connect(global: &Parsed, world: &mut World<'_>) -> Result<Api, u8> {
    let variable = |name: &str| (world.variable)(name).filter(|value| !value.is_empty());
    let url = global.get("url").map(str::to_owned);
    let url = url.or_else(|| variable(levada_settings::env::KAPACITOR_URL));
    let mut is_insecure = global.is_set("skipVerify");
    if global.get("skipVerify").is_none()
        && let Some(text) = variable(levada_settings::env::KAPACITOR_UNSAFE_SSL)
    {
        let Some(value) = flags::parse_bool(&text) else {
            let name = levada_settings::env::KAPACITOR_UNSAFE_SSL;
            world.note(&format!("{name}: {text:?} is not a boolean"));
            return Err(EXIT_USAGE);
        };
        is_insecure = value;
    }
    let url = url.as_deref().unwrap_or(DEFAULT_URL);
    Api::new(url, is_insecure, world.answer_timeout).map_err(|message| {
        world.note(&format!("Error: {message}"));
        EXIT_CLIENT
    })
}

fn end(written: io::Result<()>, world: &mut World<'_>) -> u8 {
    match written {
        Ok(()) => 0,
        Err(error) => output_failed(&error, world),
    }
}

/// A reader that went away (`… | head`) is no failure.
fn output_failed(error: &io::Error, world: &mut World<'_>) -> u8 {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return 0;
    }
    world.note(&format!("Error: the output cannot be written: {error}"));
    EXIT_ERROR
}

// === impl Session ===

impl Session<'_, '_> {
    fn print(&mut self, text: &str) -> Result<(), Failure> {
        Ok(self.world.print(text)?)
    }

    /// Prints values for programs; says whether that is what is wanted.
    fn gives(&mut self, values: &[Value]) -> Result<bool, Failure> {
        match self.format {
            Format::Text => return Ok(false),
            Format::Json => {
                for value in values {
                    self.print(&format!("{value}\n"))?;
                }
            }
            Format::Yaml => self.print(&format::yaml(&Value::from(values)))?,
        }
        Ok(true)
    }

    /// Prints one value for programs; says whether that is what is wanted.
    fn gives_one(&mut self, value: &Value) -> Result<bool, Failure> {
        if self.format == Format::Yaml {
            self.print(&format::yaml(value))?;
            return Ok(true);
        }
        self.gives(std::slice::from_ref(value))
    }
}

// === impl Failure ===

impl Failure {
    fn error(message: impl Into<String>) -> Self {
        Failure::Error(message.into())
    }

    fn missing(message: impl Into<String>) -> Self {
        Failure::Missing(message.into())
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Failure::Error(error.message)
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Api(error) => error.into(),
            StreamError::Sink(error) => Failure::Output(error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

/// Refuses words that a command does not take.
fn no_more(words: &[String]) -> Result<(), Failure> {
    match words.first() {
        None => Ok(()),
        Some(word) => Err(Failure::missing(format!("Unexpected argument '{word}'"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_none_hides_another() {
        for (at, command) in COMMANDS.iter().enumerate() {
            let words: Vec<String> = command.name.split(' ').map(str::to_owned).collect();
            let (found, rest) = find(&words).unwrap();
            assert!(std::ptr::eq(found, &COMMANDS[at]) || found.name == command.name);
            assert!(rest.is_empty(), "{}", command.name);
            let same = COMMANDS.iter().filter(|other| other.name == command.name).count();
            assert_eq!(same, 1, "{}", command.name);
        }
    }

    #[test]
    fn every_command_has_a_help() {
        for command in COMMANDS {
            assert!(help::of(command).contains(command.name), "{}", command.name);
            assert!(!command.summary.is_empty(), "{}", command.name);
            for line in command.detail.lines() {
                assert!(line.len() <= 100, "{line}");
            }
        }
    }
}
