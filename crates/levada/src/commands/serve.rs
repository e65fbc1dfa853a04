//! `levada serve`: the server.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use levada_model::with_causes;
use levada_runtime::ShutdownHandle;
use levada_server::flows::{Host, Job};
use levada_server::serve::{ReadSettings, Server, ServerDeps};
use levada_server::signals;
use levada_settings::Settings;
use levada_telemetry::console::Console;
use serde::Serialize;

use crate::args::{Common, Serve};
use crate::exit::Exit;
use crate::load::{self, Loaded};
use crate::{log, output};

/// What is written when the server accepts requests.
#[derive(Serialize)]
struct Ready {
    ready: bool,
    listen: Vec<String>,
}

pub(super) fn run(args: &Serve, common: &Common) -> Exit {
    match serve(args, common) {
        Ok(exit) => exit,
        Err(message) => {
            output::note(&format!("error: {message}"));
            Exit::Failed
        }
    }
}

fn serve(args: &Serve, common: &Common) -> Result<Exit, String> {
    let mut common = common.clone();
    if let Some(listen) = &args.listen {
        common.settings.push(format!("http.listen={listen}"));
    }
    let settings = log::settings(&common)?;
    let jobs = match flows(args, &settings, &common)? {
        Some(jobs) => jobs,
        None => return Ok(Exit::Invalid),
    };
    let console = Console::stderr();
    let adjustable = log::install_adjustable(&settings, &console)?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if settings.runtime.worker_threads > 0 {
        builder.worker_threads(settings.runtime.worker_threads);
    }
    let runtime = builder.enable_all().build().map_err(|error| error.to_string())?;
    let host = Host::new(settings).map_err(|error| with_causes(&error))?;
    let exit =
        runtime.block_on(supervise(host, jobs, Arc::new(adjustable), args, &common, &console));
    runtime.shutdown_timeout(Duration::from_millis(200));
    exit
}

/// Reads the flows of the arguments and of the settings; nothing when a file cannot be used, which has been said.
fn flows(args: &Serve, settings: &Settings, common: &Common) -> Result<Option<Vec<Job>>, String> {
    let mut files = args.files.clone();
    if !settings.flow.load_dir.is_empty() {
        files.extend(manifests(Path::new(&settings.flow.load_dir))?);
    }
    let loaded = Loaded::read(&files);
    load::complain(&loaded.findings, !common.quiet);
    if loaded.has_errors() {
        return Ok(None);
    }
    let secrets = loaded.shared_secrets(args.secrets.clone());
    let jobs = loaded.flows.into_iter();
    Ok(Some(jobs.map(|one| Job::new(one.flow, secrets.clone(), one.base_dir)).collect()))
}

/// Gives the manifests of a folder, in the order of their names.
fn manifests(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| {
        format!(
            "the folder `{}` of the setting `flow.load-dir` cannot be read: {error}",
            folder.display()
        )
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml")) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

async fn supervise(
    host: Host,
    flows: Vec<Job>,
    log: Arc<log::Adjustable>,
    args: &Serve,
    common: &Common,
    console: &Console,
) -> Result<Exit, String> {
    let (handle, mut shutdown) = ShutdownHandle::new();
    let interrupted = signals::install(&handle, &host.tasks).map_err(|error| error.to_string())?;
    let common = common.clone();
    let read_settings: ReadSettings = Arc::new(move || log::settings(&common));
    let deps = ServerDeps {
        host,
        log,
        shutdown: shutdown.clone(),
        flows,
        read_settings: Some(read_settings),
    };
    let server = Server::start(deps).await.map_err(|error| with_causes(&error))?;
    let ready =
        Ready { ready: true, listen: server.addresses().iter().map(ToString::to_string).collect() };
    tell(&ready, args, console)?;
    shutdown.draining().await;
    server.stop(&handle).await;
    Ok(if interrupted.is_set() { Exit::Interrupted } else { Exit::Done })
}

/// Says that requests are accepted: on a terminal, and where the caller waits for it.
fn tell(ready: &Ready, args: &Serve, console: &Console) -> Result<(), String> {
    let line = serde_json::to_string(ready).map_err(|error| error.to_string())?;
    if let Some(descriptor) = args.ready_fd {
        // The descriptor by its name in the file system: it is the caller's, and is not closed here.
        let path = format!("/dev/fd/{descriptor}");
        let failed = |error| format!("--ready-fd {descriptor}: {error}");
        let mut file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
        writeln!(file, "{line}").map_err(failed)?;
    }
    if args.ready_fd.is_none() || console.is_terminal() {
        output::line(&line);
        output::flush();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn manifests_of_a_folder_are_those_with_the_extension_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yaml", "c.json", "d.yaml.off"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("e.yaml")).unwrap();
        let found = manifests(folder.path()).unwrap();
        assert_eq!(found, ["a.yaml", "b.yml"].map(|name| folder.path().join(name)));
        let error = manifests(&folder.path().join("none")).unwrap_err();
        assert!(error.contains("`flow.load-dir`"), "{error}");
    }
}
