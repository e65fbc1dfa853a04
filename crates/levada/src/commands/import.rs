//! `levada import`: brings what another server knows to a Levada server.

use levada_client::import::{self, Ended, Options};

use super::kapacitor::{format, in_world};
use crate::args::{Common, Import};
use crate::exit::Exit;
use crate::{log, output};

pub(super) fn run(args: Import, common: &Common) -> Exit {
    let Import::Kapacitor(args) = args;
    let server = match server(args.server, common) {
        Ok(server) => server,
        Err(exit) => return exit,
    };
    let options = Options {
        source: args.source,
        server,
        skip_verify: args.skip_verify,
        dry_run: args.dry_run,
        disabled: args.disabled,
        format: format(common),
    };
    match in_world(|world| import::run(&options, world)) {
        Ended::Done => Exit::Done,
        Ended::SomeFailed => Exit::Invalid,
        Ended::Failed => Exit::Failed,
    }
}

/// Gives the server that was named, or that of the settings.
pub(super) fn server(named: Option<String>, common: &Common) -> Result<String, Exit> {
    match named {
        Some(server) => Ok(server),
        None => log::settings(common).map(|settings| settings.client.server).map_err(|message| {
            output::note(&format!("error: {message}"));
            Exit::Invalid
        }),
    }
}
