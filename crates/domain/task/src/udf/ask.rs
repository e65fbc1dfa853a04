//! What functions are: each is asked once, by a run of its own that ends after the answer.

use std::sync::Arc;
use std::time::Duration;

use levada_clients::udf::{Connection, Output};
use levada_codec::udf::{EdgeKind, Frames, Info, Request, Response, ValueType};
use levada_model::Str;
use levada_runtime::{Backoff, BackoffPolicy, Clock, TaskKind, Tasks};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::conversation::ErrorLines;
use super::{Known, UdfConfig, Udfs};
use crate::nodes::udf::{Function, OptionType};
use crate::spec::Edge;

/// How long a program has to end after it has said what it is, before it is killed.
const END_PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries, at first and at most. Ours.
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_MAX: Duration = Duration::from_secs(30);

impl Udfs {
    /// Asks all functions that have not said what they are, at the same time; gives the names of those that do now.
    ///
    /// - Takes as long as the longest of their timeouts. What the others do wrong is logged and shown by [`Udfs::known`].
    pub async fn ask_missing(&self, clock: &Arc<dyn Clock>, tasks: &Tasks) -> Vec<String> {
        let mut asked = Vec::new();
        for name in self.missing() {
            let Some(config) = self.config(&name).cloned() else { continue };
            let (own, clock) = (name.clone(), Arc::clone(clock));
            let ask = async move { ask(&own, &config, &*clock).await };
            asked.push((name, tasks.spawn(TaskKind::Connector, "info of a function", ask)));
        }
        let mut answered = Vec::new();
        for (name, handle) in asked {
            let known: Known = handle.await.unwrap_or_else(|_| Err("the process ends".into()));
            match &known {
                Ok(_) => {
                    tracing::info!(function = &*name, "the function has said what it is");
                    answered.push(name.clone());
                }
                Err(error) => {
                    let error = &**error;
                    tracing::error!(function = &*name, error, "the function cannot be used");
                }
            }
            self.note(&name, known);
        }
        answered
    }

    /// Asks like [`Udfs::ask_missing`], over and over until one has answered; nothing when all have.
    pub async fn await_missing(&self, clock: &Arc<dyn Clock>, tasks: &Tasks) -> Vec<String> {
        let policy = BackoffPolicy { initial: AGAIN_FIRST, max: AGAIN_MAX, attempts_max: 0 };
        let mut backoff = Backoff::new(policy, clock.now().0 as u64);
        let mut answered = Vec::new();
        while answered.is_empty() && !self.missing().is_empty() {
            clock.sleep(backoff.next_delay().unwrap_or(AGAIN_MAX)).await;
            answered = self.ask_missing(clock, tasks).await;
        }
        answered
    }

    /// Gives the names of functions that have not said what they are.
    pub fn missing(&self) -> Vec<String> {
        let known = self.known().into_iter();
        known.filter(|(_, known)| known.is_err()).map(|(name, _)| name).collect()
    }
}

/// Asks one function what it is.
async fn ask(name: &str, config: &UdfConfig, clock: &dyn Clock) -> Result<Function, Str> {
    let connection = config.agent.open().await;
    let Connection { mut input, output, errors, mut process } =
        connection.map_err(|error| Str::from(format!("it cannot be opened: {error}")))?;
    let mut question = Vec::new();
    Request::Info.append(&mut question);
    let talk = async {
        let said = input.write_all(&question).await;
        said.map_err(|error| Str::from(format!("it cannot be asked: {error}")))?;
        answer(output, config.limits.frame_bytes).await
    };
    let log = async {
        if let Some(errors) = errors {
            log(name, errors).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::pin!(log);
    let mut answered = tokio::select! {
        biased;
        answered = talk => answered,
        () = clock.sleep(config.timeout) => {
            Err(format!("it has not said within {:?} what it is", config.timeout).into())
        }
        () = &mut log => Err("unreachable".into()),
    };
    drop(input);
    if let Some(process) = &mut process {
        let ended = tokio::select! {
            ended = process.wait() => ended.ok(),
            () = clock.sleep(END_PATIENCE) => {
                // What is not killed here is killed when it is dropped.
                process.kill().ok();
                None
            }
            () = &mut log => None,
        };
        if let (Err(text), Some(ended)) = (&mut answered, ended) {
            *text = format!("{text} ({ended})").into();
        }
    }
    answered.map(function)
}

async fn answer(mut output: Output, frame_bytes: usize) -> Result<Info, Str> {
    let mut frames = Frames::new(frame_bytes);
    let mut buffer = vec![0; 4 << 10];
    let wrong = |text: String| Err(Str::from(text));
    loop {
        match output.read(&mut buffer).await {
            Ok(0) => return wrong("it ends without saying what it is".to_owned()),
            Ok(count) => frames.push(&buffer[..count]),
            Err(error) => return wrong(format!("read error: {error}")),
        }
        loop {
            let response = match frames.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => Response::read(frame),
                Err(error) => Err(error),
            };
            match response {
                Ok(Response::Info(info)) => return Ok(info),
                Ok(Response::Error { text }) => return wrong(text),
                Ok(_) => {}
                Err(error) => return wrong(format!("read error: {error}")),
            }
        }
    }
}

async fn log(function: &str, mut errors: Output) {
    let mut lines = ErrorLines::default();
    let mut buffer = vec![0; 4 << 10];
    let tell = |line: &str| tracing::info!(function, "{line}");
    while let Ok(count @ 1..) = errors.read(&mut buffer).await {
        lines.push(&buffer[..count], tell);
    }
    lines.finish(tell);
}

fn function(info: Info) -> Function {
    let edge = |kind| match kind {
        EdgeKind::Stream => Edge::Stream,
        EdgeKind::Batch => Edge::Batch,
    };
    let option_type = |value_type| match value_type {
        ValueType::Bool => OptionType::Bool,
        ValueType::Int => OptionType::Int,
        ValueType::Double => OptionType::Double,
        ValueType::String => OptionType::String,
        ValueType::Duration => OptionType::Duration,
    };
    let options = info.options.into_iter();
    let options = options.map(|(name, types)| (name, types.into_iter().map(option_type).collect()));
    Function { wants: edge(info.wants), provides: edge(info.provides), options: options.collect() }
}
