//! What would leave, message by message: steps only, nothing contacted.

use base64::Engine as _;
use levada_model::batch::MAIN;
use levada_model::text::{compact_json, encode_string};
use levada_model::{ErrorClass, Meta, RecordBatch, RecordError, Value};
use levada_runtime::Clock;

use crate::engine::{Pipeline, Rejected};
use crate::spec::Flow;
use crate::transforms::Scope;

/// How a line of input is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputFormat {
    /// The line is the payload, JSON or not.
    #[default]
    Payload,
    /// The line is `{"payload": …}` or `{"payloadBase64": "…"}`, with optional `"metadata": {…}`.
    Message,
}

/// One message on its way in.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The payload.
    pub payload: Vec<u8>,
    /// The metadata.
    pub metadata: Meta,
}

/// What became of one message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What leaves, in order.
    pub outputs: Vec<Output>,
    /// The first failure.
    pub error: Option<Failure>,
}

/// One message on its way out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// The payload.
    pub payload: Vec<u8>,
    /// The payload is one JSON value.
    pub is_json: bool,
    /// The label of the route; nothing: the main sink.
    pub route: Option<String>,
    /// The metadata after the last step.
    pub metadata: Meta,
}

/// Why a message, or a part of it, did not leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The class.
    pub class: ErrorClass,
    /// The stage.
    pub stage: String,
    /// Why.
    pub message: String,
}

/// The steps of a flow, ready for messages.
pub struct DryRun<'f> {
    flow: &'f Flow,
    pipeline: Pipeline,
    batch: RecordBatch,
    scope: Scope,
    rejected: Vec<Rejected>,
    steps_max: Option<usize>,
}

impl<'f> DryRun<'f> {
    /// Compiles the steps of a flow.
    ///
    /// Errors: a step cannot be compiled; says which.
    pub fn new(flow: &'f Flow) -> Result<Self, String> {
        Ok(DryRun {
            flow,
            pipeline: Pipeline::compile(flow)?,
            batch: RecordBatch::new(),
            scope: Scope::default(),
            rejected: Vec::new(),
            steps_max: None,
        })
    }

    /// Runs only the first `steps` steps.
    pub fn up_to(mut self, steps: usize) -> Self {
        self.steps_max = Some(steps);
        self
    }

    /// Runs the steps over one message.
    pub fn run(&mut self, message: &Message, clock: &dyn Clock) -> Outcome {
        let batch = &mut self.batch;
        batch.clear();
        self.rejected.clear();
        self.scope.now = clock.now();
        batch.received_at = self.scope.now;
        let origin = batch.push_origin("dry-run".into(), serde_json::Value::Null);
        batch.push(&message.payload, origin, 0);
        if !message.metadata.is_empty() {
            batch.set_meta(0, Some(std::sync::Arc::new(message.metadata.clone())));
        }
        let mut counts = Vec::new();
        self.pipeline.run_up_to(
            self.steps_max,
            batch,
            &mut self.scope,
            clock,
            &mut self.rejected,
            &mut counts,
        );
        let outputs = (0..batch.len()).map(|index| self.output(index)).collect();
        let error = self.rejected.first().map(|rejected| Failure {
            class: rejected.error.class,
            stage: crate::engine::stage_name(self.flow, rejected.stage),
            message: rejected.error.message.clone(),
        });
        Outcome { outputs, error }
    }

    fn output(&self, index: usize) -> Output {
        let payload = self.batch.payload(index).into_owned();
        let route = self.batch.records[index].route;
        let mut check = RecordBatch::new();
        check.push_origin("".into(), serde_json::Value::Null);
        check.push(&payload, 0, 0);
        Output {
            is_json: check.document(0).is_some(),
            route: (route != MAIN).then(|| self.flow.routes[route as usize].label.clone()),
            metadata: self.batch.meta(index).cloned().unwrap_or_default(),
            payload,
        }
    }
}

impl Message {
    /// Reads a line of input.
    ///
    /// Errors: the line is not in the format.
    pub fn parse(line: &[u8], format: InputFormat) -> Result<Self, RecordError> {
        if format == InputFormat::Payload {
            return Ok(Message { payload: line.to_vec(), metadata: Meta::new() });
        }
        let fail = |text: String| RecordError::invalid(format!("not a message: {text}"));
        let mut batch = RecordBatch::new();
        let origin = batch.push_origin("".into(), serde_json::Value::Null);
        batch.push(line, origin, 0);
        let root = batch.parse(0).map_err(|error| fail(error.to_string()))?;
        let (text, tree) = (&batch.text, &batch.tree);
        let payload = tree.member(text, root, b"payload");
        let encoded = tree.member(text, root, b"payloadBase64");
        let payload = match (payload, encoded) {
            (Some(node), None) => {
                let mut payload = Vec::new();
                tree.print(text, node, &mut payload);
                payload
            }
            (None, Some(node)) => {
                let encoded = tree.string(text, node);
                let encoded =
                    encoded.ok_or_else(|| fail("`payloadBase64` must be a string".into()))?;
                base64::engine::general_purpose::STANDARD
                    .decode(encoded.as_bytes())
                    .map_err(|error| fail(format!("`payloadBase64`: {error}")))?
            }
            _ => return Err(fail("it needs either `payload` or `payloadBase64`".into())),
        };
        let metadata = match tree.member(text, root, b"metadata") {
            None => Meta::new(),
            Some(node) => {
                let mut json = Vec::new();
                tree.print(text, node, &mut json);
                match serde_json::from_slice(&json) {
                    Ok(serde_json::Value::Object(entries)) => entries
                        .iter()
                        .map(|(key, value)| (key.as_str().into(), Value::from_json(value)))
                        .collect(),
                    _ => return Err(fail("`metadata` must be an object".into())),
                }
            }
        };
        Ok(Message { payload, metadata })
    }
}

impl Outcome {
    /// Makes the outcome of a line that is no message.
    pub fn unreadable(error: &RecordError) -> Self {
        let failure = Failure {
            class: error.class,
            stage: "decode".to_owned(),
            message: error.message.clone(),
        };
        Outcome { outputs: Vec::new(), error: Some(failure) }
    }

    /// Appends the outcome as one JSON line without its line feed; `input` counts from 1.
    pub fn write_json(&self, input: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"input\":");
        out.extend_from_slice(itoa::Buffer::new().format(input).as_bytes());
        out.extend_from_slice(b",\"outputs\":[");
        for (index, output) in self.outputs.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            output.write_json(out);
        }
        out.extend_from_slice(b"],\"error\":");
        match &self.error {
            None => out.extend_from_slice(b"null"),
            Some(error) => {
                out.extend_from_slice(b"{\"class\":");
                encode_string(error.class.as_str(), out);
                out.extend_from_slice(b",\"stage\":");
                encode_string(&error.stage, out);
                out.extend_from_slice(b",\"message\":");
                encode_string(&error.message, out);
                out.push(b'}');
            }
        }
        out.push(b'}');
    }
}

impl Output {
    fn write_json(&self, out: &mut Vec<u8>) {
        if self.is_json {
            out.extend_from_slice(b"{\"payload\":");
            if self.payload.contains(&b'\n') || self.payload.contains(&b'\r') {
                compact_json(&self.payload, out);
            } else {
                out.extend_from_slice(self.payload.trim_ascii());
            }
        } else {
            out.extend_from_slice(b"{\"payloadBase64\":\"");
            let encoded = base64::engine::general_purpose::STANDARD.encode(&self.payload);
            out.extend_from_slice(encoded.as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b",\"route\":");
        match &self.route {
            Some(route) => encode_string(route, out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"metadata\":");
        self.metadata.write_json(out);
        out.push(b'}');
    }
}
