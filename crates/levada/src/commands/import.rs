//! `levada import`: brings what another server knows to a Levada server.

use levada_client::import::{self, Ended, Options};
use levada_gateway::wal::ImportReport;
use levada_model::with_causes;
use levada_server::flows::Host;
use levada_server::gateway::import::import_cache;
use serde_json::json;

use super::kapacitor::{format, in_world};
use crate::args::{Common, Import, ImportCache, OutputFormat};
use crate::exit::Exit;
use crate::{log, output};

pub(super) fn run(args: Import, common: &Common) -> Exit {
    let args = match args {
        Import::Kapacitor(args) => args,
        Import::DatakitCache(args) => return cache(&args, common),
    };
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

/// Takes over what waits in the caches of a `DataKit`.
fn cache(args: &ImportCache, common: &Common) -> Exit {
    let imported = log::settings(common).and_then(|settings| {
        if !args.folder.is_dir() {
            return Err(format!("`{}` is no folder", args.folder.display()));
        }
        let host = Host::new(settings).map_err(|error| with_causes(&error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let work = import_cache(&host, &args.folder, args.wrote, &args.destination);
        runtime.block_on(work).map_err(|error| with_causes(&error))
    });
    let report = match imported {
        Ok(report) => report,
        Err(message) => {
            output::note(&format!("error: {message}"));
            return Exit::Invalid;
        }
    };
    let ImportReport { files, records, points, bytes, dropped_records, .. } = report;
    let (undecodable, damaged) = (report.undecodable_records, report.damaged_bytes);
    match common.output {
        OutputFormat::Json => output::line(
            &json!({
                "files": files, "bodies": records, "points": points, "bytes": bytes,
                "dropped_bodies": dropped_records, "undecodable_bodies": undecodable,
                "damaged_bytes": damaged,
            })
            .to_string(),
        ),
        OutputFormat::Text => {
            output::line(&format!("{records} bodies of {points} points from {files} files"));
        }
    }
    if dropped_records + undecodable + damaged > 0 {
        output::note(&format!(
            "error: {dropped_records} bodies found no room, {undecodable} could not be read, {damaged} bytes are damaged"
        ));
        return Exit::Invalid;
    }
    Exit::Done
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
