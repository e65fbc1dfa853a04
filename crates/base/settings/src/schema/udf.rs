//! `[udf.functions.NAME]`: functions of users that run outside.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ByteSize, Duration, Secret};

/// A function of users that runs outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Udf {
    /// The program.
    pub prog: String,
    /// The arguments of the program.
    pub args: Vec<String>,
    /// Variables of the program.
    pub env: Secret<Vec<String>>,
    /// The socket where it listens, instead of a program.
    pub socket: String,
    /// How long it may say nothing.
    pub timeout: Duration,
    /// Bytes of one message that it sends.
    pub frame_bytes: ByteSize,
    /// Points that wait for it, and from it.
    pub queue_points: usize,
    /// Bytes that wait for it, and from it.
    pub queue_bytes: ByteSize,
    /// The functions, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub functions: BTreeMap<String, Udf>,
}

/// Source: kapacitor reference §5.26.
const TIMEOUT_MIN: std::time::Duration = std::time::Duration::from_millis(1);

// === impl Udf ===

impl Udf {
    pub(super) fn check(&self, defaults: &Udf, problems: &mut Vec<(String, String)>) {
        // The section itself has no name that a script could call.
        let own = [
            ("prog", self.prog != defaults.prog),
            ("args", self.args != defaults.args),
            ("env", self.env != defaults.env),
            ("socket", self.socket != defaults.socket),
            ("timeout", self.timeout != defaults.timeout),
            ("frame-bytes", self.frame_bytes != defaults.frame_bytes),
            ("queue-points", self.queue_points != defaults.queue_points),
            ("queue-bytes", self.queue_bytes != defaults.queue_bytes),
        ];
        for (key, _) in own.into_iter().filter(|(_, is_set)| *is_set) {
            let message = "each function has a section of its own: write `[udf.functions.NAME]`";
            problems.push((format!("udf.{key}"), message.to_owned()));
        }
        for (name, function) in &self.functions {
            let mut expect = |holds: bool, key: &str, message: &str| {
                if !holds {
                    problems.push((format!("udf.functions.{name}.{key}"), message.to_owned()));
                }
            };
            expect(
                function.prog.is_empty() != function.socket.is_empty(),
                "prog",
                "either `prog` or `socket` must be set",
            );
            let pairs = function.env.expose().iter();
            let has_names = pairs
                .clone()
                .all(|pair| pair.split_once('=').is_some_and(|(name, _)| !name.is_empty()));
            expect(has_names, "env", "must be a list of `NAME=value`");
            expect(
                std::time::Duration::from(function.timeout) > TIMEOUT_MIN,
                "timeout",
                "must be longer than 1ms",
            );
            expect(
                (1 << 10..=1 << 30).contains(&function.frame_bytes.bytes()),
                "frame-bytes",
                "must be in 1KiB to 1GiB",
            );
            expect(function.queue_points > 0, "queue-points", "must be at least 1");
            expect(function.queue_bytes.bytes() > 0, "queue-bytes", "must be at least 1B");
        }
    }
}
