//! `levada run`: runs flows and tasks in the foreground.

mod gateway;
mod tasks;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use levada_flow::engine::{Counters, FlowError, Guarantee, Outcome, Start};
use levada_flow::spec::secrets::Secrets;
use levada_model::with_causes;
use levada_runtime::{ShutdownHandle, TaskKind};
use levada_server::flows::{Host, Job};
use levada_server::probes::Probes;
use levada_server::signals;
use levada_server::tasks::TaskJob;
use levada_settings::Settings;
use levada_task::udf::Udfs;
use levada_telemetry::console::Console;
use levada_telemetry::progress::{Progress, Snapshot};

use crate::args::{Common, OutputFormat, Run};
use crate::exit::Exit;
use crate::load::{self, Loaded};
use crate::{functions, log, output, script};

pub(super) fn run(args: Run, common: &Common) -> Exit {
    let (scripts, manifests): (Vec<PathBuf>, Vec<PathBuf>) =
        args.files.iter().cloned().partition(|file| script::is_script(file));
    let loaded = Loaded::read(&manifests);
    load::complain(&loaded.findings, !common.quiet);
    let udfs = match functions::asked(!scripts.is_empty(), common) {
        Ok(udfs) => udfs,
        Err(message) => {
            output::note(&format!("error: {message}"));
            return Exit::Failed;
        }
    };
    let scripts = tasks::define_all(&scripts, &udfs, common);
    if loaded.has_errors() {
        return Exit::Invalid;
    }
    let scripts = match scripts {
        Ok(scripts) => scripts,
        Err(exit) => return exit,
    };
    if loaded.flows.is_empty() && scripts.is_empty() {
        output::note("error: the files declare no DataFlow");
        return Exit::Invalid;
    }
    if let Some(twice) = tasks::named_twice(&scripts) {
        output::note(&format!(
            "error: two scripts are called `{twice}`, and a task is known by the name of its file; rename one"
        ));
        return Exit::Invalid;
    }
    if let Some(script) = tasks::unfed(&scripts, &loaded) {
        output::note(&format!(
            "error: nothing feeds the stream task `{script}`; add a flow with `sink: {{type: task, …}}`, such as `levada run flow.yaml {script}.tick`"
        ));
        return Exit::Invalid;
    }
    let secrets = loaded.shared_secrets(args.secrets.clone());
    let jobs = loaded
        .flows
        .into_iter()
        .map(|loaded| {
            let mut job = Job::new(loaded.flow, secrets.clone(), loaded.base_dir);
            job.start = Start { from_start: args.from_start, ..Start::default() };
            job
        })
        .collect();
    let options = Options {
        no_checkpoints: args.no_checkpoints,
        duration: args.duration.map(Duration::from),
        probes: args.metrics,
        scripts,
        udfs,
    };
    match run_jobs(jobs, &options, common, None) {
        Ok(exit) => exit,
        Err(message) => {
            output::note(&format!("error: {message}"));
            Exit::Failed
        }
    }
}

/// How jobs are run.
pub(super) struct Options {
    /// Keep no positions.
    pub(super) no_checkpoints: bool,
    /// Stop after this long.
    pub(super) duration: Option<Duration>,
    /// Where probes are served.
    pub(super) probes: Option<String>,
    /// Scripts that run beside the flows.
    pub(super) scripts: Vec<TaskJob>,
    /// Functions that scripts call.
    pub(super) udfs: Udfs,
}

/// Runs jobs with signals, progress and a summary.
///
/// `settings`: those to use instead of loading them. Errors: nothing could be started.
pub(super) fn run_jobs(
    jobs: Vec<Job>,
    options: &Options,
    common: &Common,
    settings: Option<Settings>,
) -> Result<Exit, String> {
    let settings = match settings {
        Some(settings) => settings,
        None => log::settings(common)?,
    };
    let console = Console::stderr();
    log::install(&quieted(&settings, common, &console), &console)?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if settings.runtime.worker_threads > 0 {
        builder.worker_threads(settings.runtime.worker_threads);
    }
    let runtime = builder.enable_all().build().map_err(|error| error.to_string())?;
    let host = match options.no_checkpoints {
        true => Host::without_store(settings),
        false => Host::new(settings).map_err(|error| with_causes(&error))?,
    };
    let exit = runtime.block_on(supervise(host, jobs, options, common, &console));
    // A thread that waits for input, such as one on standard input, must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(200));
    exit
}

/// On a terminal the progress line tells what `info` would.
fn quieted(settings: &Settings, common: &Common, console: &Console) -> Settings {
    let mut settings = settings.clone();
    let is_default = common.log.is_none() && settings.log.level == "info";
    if is_default && (common.quiet || console.is_terminal()) {
        settings.log.level = if common.quiet { "error" } else { "warn" }.to_owned();
    }
    settings
}

async fn supervise(
    host: Host,
    mut jobs: Vec<Job>,
    options: &Options,
    common: &Common,
    console: &Console,
) -> Result<Exit, String> {
    let (handle, mut shutdown) = ShutdownHandle::new();
    let interrupted = signals::install(&handle, &host.tasks).map_err(|error| error.to_string())?;
    if let Some(duration) = options.duration {
        let (handle, clock) = (handle.clone(), host.clock.clone());
        host.tasks.spawn(TaskKind::Progress, "duration", async move {
            clock.sleep(duration).await;
            handle.drain();
        });
    }
    if let Some(address) = &options.probes {
        let probes = Probes {
            metrics: host.metrics.clone(),
            ready: jobs.iter().map(|job| job.is_ready.clone()).collect(),
        };
        let bound = probes
            .serve(address, &host.tasks, shutdown.clone())
            .await
            .map_err(|error| format!("probes cannot be served on `{address}`: {error}"))?;
        tracing::info!(address = %bound, "probes and metrics are served");
    }
    let gateway = gateway::start(&host, &jobs, options, &shutdown).await?;
    let tasks = tasks::start(&host, &mut jobs, options).await?;
    let counters: Vec<Arc<Counters>> = jobs.iter().map(|job| job.counters.clone()).collect();
    let progress = progress(&host, counters, common, console);
    let outcomes = host.run(jobs, &shutdown).await;
    if outcomes.is_empty() {
        // Only batch tasks run: they do so until somebody stops them.
        shutdown.draining().await;
    }
    let tasks = match tasks {
        Some(tasks) => tasks.stop().await,
        None => Vec::new(),
    };
    let waiting = match &gateway {
        Some(gateway) => gateway.finish().await,
        None => 0,
    };
    handle.abort();
    drain_http(&host).await;
    progress.finish();
    for outcome in &outcomes {
        report(outcome, common);
    }
    gateway::report(waiting, common);
    let is_task_failed = tasks::report(&tasks, common);
    let exit = exit_of(&outcomes, interrupted.is_set());
    Ok(if is_task_failed && exit == Exit::Done { Exit::Failed } else { exit })
}

/// Gives servers the time to send their last answers.
async fn drain_http(host: &Host) {
    const PATIENCE: Duration = Duration::from_secs(5);
    let deadline = host.clock.monotonic() + PATIENCE;
    let is_serving = || host.tasks.running().iter().any(|(kind, _)| *kind == TaskKind::Http);
    while is_serving() && host.clock.monotonic() < deadline {
        host.clock.sleep(Duration::from_millis(20)).await;
    }
}

fn progress(
    host: &Host,
    counters: Vec<Arc<Counters>>,
    common: &Common,
    console: &Console,
) -> Progress {
    if common.quiet {
        return Progress::disabled();
    }
    let clock = host.clock.clone();
    let started = clock.monotonic();
    Progress::start(console, move || {
        let mut sum = Snapshot::default();
        for counters in &counters {
            let counts = counters.snapshot();
            sum.records_in += counts.records_in;
            sum.records_out += counts.records_out;
            sum.errors += counts.errors;
            if let Some(lag) = counts.lag {
                sum.lag = Some(sum.lag.unwrap_or(0) + lag);
            }
        }
        sum.elapsed = clock.monotonic().saturating_sub(started);
        sum
    })
}

/// Prints how a flow ended: one JSON line, or a line for people.
fn report(outcome: &Outcome, common: &Common) {
    let summary = &outcome.summary;
    if common.output == OutputFormat::Json {
        let mut json = serde_json::to_value(summary).unwrap_or_default();
        if let Some(fields) = json.as_object_mut() {
            let error = outcome.error.as_ref().map(ToString::to_string);
            fields.insert("error".into(), error.into());
        }
        output::line(&json.to_string());
    } else if !common.quiet {
        output::note(&human(outcome));
    }
    if let Some(error) = &outcome.error {
        output::note(&format!("error: {}: {error}", summary.flow));
    }
}

fn human(outcome: &Outcome) -> String {
    let summary = &outcome.summary;
    let counts = &summary.counts;
    let rate = counts.records_in as f64 / summary.elapsed_seconds.max(0.001);
    let mut text = format!(
        "{}: {} in, {} out, {} filtered",
        summary.flow,
        grouped(counts.records_in),
        grouped(counts.records_out),
        grouped(counts.filtered)
    );
    let others = [
        (counts.dead_lettered, "dead-lettered"),
        (counts.dropped, "dropped"),
        (counts.retries, "retries"),
        (summary.unfinished, "unfinished"),
    ];
    for (count, word) in others {
        if count > 0 {
            text.push_str(&format!(", {} {word}", grouped(count)));
        }
    }
    let seconds = summary.elapsed_seconds;
    text.push_str(&format!(" in {seconds:.1} s ({} records/s)", grouped(rate as u64)));
    if summary.guarantee == Guarantee::ExactlyOnce {
        text.push_str(", exactly once");
    }
    text
}

/// Gives a number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn exit_of(outcomes: &[Outcome], is_interrupted: bool) -> Exit {
    let errors: Vec<&FlowError> =
        outcomes.iter().filter_map(|outcome| outcome.error.as_ref()).collect();
    let is_invalid = |error: &&FlowError| matches!(error, FlowError::Build(_));
    match errors.as_slice() {
        [] if is_interrupted => Exit::Interrupted,
        [] => Exit::Done,
        errors if errors.iter().all(is_invalid) => Exit::Invalid,
        _ => Exit::Failed,
    }
}

/// Makes a job of one flow; for commands that run a flow in another way.
pub(super) fn job(
    flow: levada_flow::spec::Flow,
    start: Start,
    secrets: Arc<Secrets>,
    base_dir: PathBuf,
) -> Job {
    let mut job = Job::new(flow, secrets, base_dir);
    job.start = start;
    job
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
