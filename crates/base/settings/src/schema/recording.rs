//! `[recording]`: recordings and replays.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ByteSize, Duration};

/// Recordings and replays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Recording {
    /// Where their files are; empty means Kapacitor's `[replay] dir`, or `replay` under `data.dir`.
    pub dir: String,
    /// Recordings at a time.
    pub recordings_max: usize,
    /// Replays at a time.
    pub replays_max: usize,
    /// Replays that wait.
    pub replays_waiting_max: usize,
    /// The largest file.
    pub file_bytes: ByteSize,
    /// The most that is kept of what one replay would have done.
    pub effects_bytes: ByteSize,
    /// Points of a stream that wait to be written.
    pub queue_points: usize,
    /// Executions of the queries of one recording.
    pub executions_max: usize,
    /// How long after its end a recording of a stream waits for a later point.
    pub grace: Duration,
    /// How long a replay that performs its effects waits for them at its end.
    pub patience: Duration,
}

// === impl Recording ===

impl Recording {
    pub(super) fn check(&self, problems: &mut Vec<(String, String)>) {
        let numbers = [
            ("recordings-max", self.recordings_max as u64, "must be at least 1"),
            ("replays-max", self.replays_max as u64, "must be at least 1"),
            ("queue-points", self.queue_points as u64, "must be at least 1"),
            ("executions-max", self.executions_max as u64, "must be at least 1"),
            ("file-bytes", self.file_bytes.bytes(), "must be at least 1B"),
            ("effects-bytes", self.effects_bytes.bytes(), "must be at least 1B"),
        ];
        for (key, value, message) in numbers {
            if value == 0 {
                problems.push((format!("recording.{key}"), message.to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_nothing_are_named() {
        let mut recording = crate::Settings::default().recording;
        let mut problems = Vec::new();
        recording.check(&mut problems);
        assert_eq!(problems, []);
        recording.replays_max = 0;
        recording.file_bytes = ByteSize::new(0);
        recording.check(&mut problems);
        let keys: Vec<&str> = problems.iter().map(|(key, _)| &**key).collect();
        assert_eq!(keys, ["recording.replays-max", "recording.file-bytes"]);
    }
}
