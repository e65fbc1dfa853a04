//! `help`: what there is.

use super::{COMMANDS, Command, Failure, GLOBAL_FLAGS, Run};
use crate::flags::{self, Parsed};
use crate::world::World;

pub(super) const HELP: Command = Command {
    name: "help",
    arguments: "[COMMAND]",
    summary: "what there is, or what a command takes",
    detail: "",
    leading: "",
    flags: &[],
    run: Run::Alone(run),
};

fn run(world: &mut World<'_>, parsed: &Parsed) -> Result<(), Failure> {
    let Some(first) = parsed.rest.first() else {
        return Ok(world.print(&overview())?);
    };
    let name = parsed.rest.join(" ");
    let exact = COMMANDS.iter().find(|command| command.name == name);
    let commands: Vec<&Command> = match exact {
        Some(command) => vec![command],
        None => family(first).filter(|command| command.name.starts_with(&name)).collect(),
    };
    if commands.is_empty() {
        world.note(&format!("Unknown command '{name}'"));
        return Ok(world.print(&overview())?);
    }
    let texts: Vec<String> = commands.into_iter().map(of).collect();
    Ok(world.print(&texts.join("\n"))?)
}

/// Gives the commands whose first word is this one.
pub(super) fn family(word: &str) -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(move |command| command.name.split(' ').next() == Some(word))
}

/// Gives how a command is called.
pub(super) fn usage(command: &Command) -> String {
    format!("kapacitor [options] {} {}", command.name, command.arguments).trim_end().to_owned()
}

/// Gives the help of a command.
pub(super) fn of(command: &Command) -> String {
    let mut text = format!("Usage: {}\n\n{}.\n", usage(command), capital(command.summary));
    if !command.detail.is_empty() {
        text.push_str(&format!("\n{}\n", command.detail.trim_end()));
    }
    if !command.flags.is_empty() {
        text.push_str(&format!("\nOptions:\n{}", flags::describe(command.flags)));
    }
    text
}

/// Gives the help of all.
pub(super) fn overview() -> String {
    let width = COMMANDS.iter().map(|command| command.name.len()).max().unwrap_or(0);
    let commands: String = COMMANDS
        .iter()
        .map(|command| format!("  {:width$}  {}\n", command.name, command.summary))
        .collect();
    let options = flags::describe(GLOBAL_FLAGS);
    format!(
        "Usage: kapacitor [options] COMMAND [arguments]\n\nCommands:\n{commands}\nOptions:\n{options}\n\
         Exit codes: 0 done, 1 wrong usage, 2 missing or wrong arguments, 3 error, 4 no client.\n"
    )
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}
