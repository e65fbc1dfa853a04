//! `levada gateway`: looks after the gateway of a server.

use std::time::Duration;

use levada_client::gateway::{self, Command, Ended, Options, Which};

use super::kapacitor::{format, in_world};
use crate::args::{Common, Gateway, GatewayCommand, GatewayLetters, GatewayQueue, GatewayWhich};
use crate::exit::Exit;
use crate::{log, output};

pub(super) fn run(args: Gateway, common: &Common) -> Exit {
    let server = match args.server {
        Some(server) => server,
        None => match log::settings(common) {
            Ok(settings) => settings.client.server,
            Err(message) => {
                output::note(&format!("error: {message}"));
                return Exit::Invalid;
            }
        },
    };
    let which = |which: GatewayWhich| Which { queue: which.queue, numbers: which.numbers };
    let command = match args.command {
        GatewayCommand::Status => Command::Status,
        GatewayCommand::Queue(GatewayQueue::List) => Command::Queues,
        GatewayCommand::Queue(GatewayQueue::Show { name }) => Command::Queue(name),
        GatewayCommand::Queue(GatewayQueue::Wait { name, timeout }) => {
            Command::Wait { queue: name, timeout: timeout.map(Duration::from_secs) }
        }
        GatewayCommand::DeadLetter(GatewayLetters::List { queue }) => Command::Letters { queue },
        GatewayCommand::DeadLetter(GatewayLetters::Show { queue, number }) => {
            Command::Letter { queue, number }
        }
        GatewayCommand::DeadLetter(GatewayLetters::Replay(letters)) => {
            Command::Replay(which(letters))
        }
        GatewayCommand::DeadLetter(GatewayLetters::Drop(letters)) => Command::Drop(which(letters)),
    };
    let options = Options {
        server,
        skip_verify: args.skip_verify,
        format: format(common),
        is_quiet: common.quiet,
        command,
    };
    match in_world(|world| gateway::run(&options, world)) {
        Ended::Done => Exit::Done,
        Ended::Refused => Exit::Invalid,
        Ended::Failed => Exit::Failed,
    }
}
