//! `levada serve`: the server.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use levada_runtime::ShutdownHandle;
use levada_server::flows::Host;
use levada_server::serve::{ReadSettings, Server, ServerDeps};
use levada_server::signals;
use levada_telemetry::console::Console;
use serde::Serialize;

use crate::args::{Common, Serve};
use crate::exit::Exit;
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
    let console = Console::stderr();
    let adjustable = log::install_adjustable(&settings, &console)?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if settings.runtime.worker_threads > 0 {
        builder.worker_threads(settings.runtime.worker_threads);
    }
    let runtime = builder.enable_all().build().map_err(|error| error.to_string())?;
    let host = Host::new(settings).map_err(|error| output::chain(&error))?;
    let exit = runtime.block_on(supervise(host, Arc::new(adjustable), args, &common, &console));
    runtime.shutdown_timeout(Duration::from_millis(200));
    exit
}

async fn supervise(
    host: Host,
    log: Arc<log::Adjustable>,
    args: &Serve,
    common: &Common,
    console: &Console,
) -> Result<Exit, String> {
    let (handle, mut shutdown) = ShutdownHandle::new();
    let interrupted = signals::install(&handle, &host.tasks).map_err(|error| error.to_string())?;
    let common = common.clone();
    let read_settings: ReadSettings = Arc::new(move || log::settings(&common));
    let deps =
        ServerDeps { host, log, shutdown: shutdown.clone(), read_settings: Some(read_settings) };
    let server = Server::start(deps).await.map_err(|error| output::chain(&error))?;
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
