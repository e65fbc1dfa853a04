//! `backup`: a copy of the server's database.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Command, Failure, Run, Session};
use crate::api::{StreamError, V1};
use crate::flags::Parsed;

pub(super) const BACKUP: Command = Command {
    name: "backup",
    arguments: "FILE",
    summary: "save the server's database",
    detail: "",
    leading: "",
    flags: &[],
    run: Run::Server(backup),
};

fn backup(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    let [path] = parsed.rest.as_slice() else {
        return Err(Failure::missing("Must provide file path for backup."));
    };
    // An older backup stays until the new one is whole.
    let partial = PathBuf::from(format!("{path}.partial"));
    let result = download(session, &partial);
    let result = result.and_then(|()| {
        fs::rename(&partial, path).map_err(|error| cannot_write(Path::new(path), &error))
    });
    if result.is_err() {
        // What is left is of no use, and the first error is the one to tell.
        let _gone = fs::remove_file(&partial).is_ok();
    }
    result
}

fn download(session: &mut Session<'_, '_>, path: &Path) -> Result<(), Failure> {
    let mut file = None;
    let streamed = session.api.stream((V1, &["storage", "backup"]), &[], false, &mut |bytes| {
        let file = match &mut file {
            Some(file) => file,
            none => none.insert(File::create(path)?),
        };
        file.write_all(bytes)
    });
    let streamed = streamed.map_err(|error| match error {
        StreamError::Api(error) => error.into(),
        StreamError::Sink(error) => cannot_write(path, &error),
    })?;
    match streamed.announced {
        Some(all) if all != streamed.bytes => {
            let got = streamed.bytes;
            // Source: Kapacitor's client.
            return Err(Failure::error(format!(
                "failed to download entire backup, only wrote {got} bytes out of a total {all} bytes."
            )));
        }
        _ => {}
    }
    if let Some(error) = streamed.broken {
        return Err(error.into());
    }
    let file = match file {
        Some(file) => file,
        None => File::create(path).map_err(|error| cannot_write(path, &error))?,
    };
    file.sync_all().map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::error(format!("cannot write {}: {error}", path.display()))
}
