//! `levada silence`: silences of a server.

use levada_client::silence::{self, Ended, NewSilence, Options, Silence};

use super::import::server;
use super::kapacitor::{format, in_world};
use crate::args::{self, Common};
use crate::exit::Exit;

pub(super) fn run(args: args::Silence, common: &Common) -> Exit {
    let (of, command) = match args {
        args::Silence::List(list) => (list.server, Silence::List { state: list.state }),
        args::Silence::Add(add) => {
            let args::SilenceAdd { matchers, start, end, duration, author, comment, server } = add;
            let new = NewSilence { matchers, start, end, duration, author, comment };
            (server, Silence::Add(new))
        }
        args::Silence::Expire(expire) => (expire.server, Silence::Expire { ids: expire.ids }),
    };
    let server = match server(of.server, common) {
        Ok(server) => server,
        Err(exit) => return exit,
    };
    let options = Options { server, skip_verify: of.skip_verify, format: format(common) };
    match in_world(|world| silence::run(&command, &options, world)) {
        Ended::Done => Exit::Done,
        Ended::Refused => Exit::Invalid,
        Ended::Failed => Exit::Failed,
    }
}
