//! The settings of the consumer.

use std::time::Duration;

use super::Spec;
use crate::BuildContext;

/// Bytes that the client holds before the engine takes them, fetched ones under way aside.
const QUEUED_KIB_MAX: u32 = 4 << 10;

/// Bytes of one answer: what may come on top of the queue, per broker.
const FETCH_BYTES_MAX: i32 = 2 << 20;

/// Longest record that is read; a longer one is fetched alone all the same.
const RECEIVE_BYTES_MAX: i64 = 256 << 20;

/// Source: the original's client (sarama); killed members are missed after this time.
const SESSION: Duration = Duration::from_secs(10);

/// The group of every flow of the original that names none. Source: dataflow-operator.md §1.5.
const COMPAT_GROUP: &str = "dataflow-operator";

// === impl Spec ===

impl Spec {
    /// Gives the settings of the consumer beside those of the connection.
    ///
    /// - Errors: a duration that `check` refuses too.
    pub(super) fn consumer_settings(
        &self,
        ctx: &BuildContext,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let max_wait = millis("consumerMaxWait", self.consumer_max_wait.as_deref())?;
        let session = millis("sessionTimeout", self.session_timeout.as_deref())?
            .unwrap_or(SESSION.as_millis() as u64);
        let fetch_bytes = self.fetch_max_bytes.unwrap_or(FETCH_BYTES_MAX).max(1);
        let mut settings = vec![
            ("group.id", self.group(ctx)),
            ("partition.assignment.strategy", "cooperative-sticky".into()),
            ("session.timeout.ms", session.to_string()),
            ("heartbeat.interval.ms", (session / 3).clamp(1, 3000).to_string()),
            // The thread of the source polls always, whatever the engine does.
            ("max.poll.interval.ms", session.max(300_000).to_string()),
            ("enable.auto.commit", "false".into()),
            ("enable.auto.offset.store", "false".into()),
            // Starts are decided by the source; this is for offsets that are not there any more.
            ("auto.offset.reset", "earliest".into()),
            ("isolation.level", "read_committed".into()),
            // The original's client asks the brokers to create what is missing.
            ("allow.auto.create.topics", "true".into()),
            ("queued.max.messages.kbytes", QUEUED_KIB_MAX.to_string()),
            // The client's second would leave an emptied queue empty for as long.
            ("fetch.queue.backoff.ms", "5".into()),
            ("fetch.max.bytes", fetch_bytes.to_string()),
            // A record may be longer than everything else allows; then it comes alone.
            (
                "receive.message.max.bytes",
                RECEIVE_BYTES_MAX.max(i64::from(fetch_bytes) + 512).to_string(),
            ),
            // Also where the lag comes from.
            ("statistics.interval.ms", "5000".into()),
        ];
        if self.stop_at_end {
            settings.push(("enable.partition.eof", "true".into()));
        }
        if !self.group_instance_id.is_empty() {
            settings.push(("group.instance.id", self.group_instance_id.clone()));
        }
        if fetch_bytes < 1_000_000 {
            // The client wants an answer to hold at least one message.
            settings.push(("message.max.bytes", fetch_bytes.max(1000).to_string()));
        }
        settings.extend(max_wait.map(|wait| ("fetch.wait.max.ms", wait.to_string())));
        if let Some(bytes) = self.fetch_min_bytes {
            settings.push(("fetch.min.bytes", bytes.max(1).to_string()));
        }
        if let Some(bytes) = self.max_partition_fetch_bytes {
            settings.push(("fetch.message.max.bytes", bytes.to_string()));
        }
        // The client has one time-out for both ways.
        let read = millis("netReadTimeout", self.net_read_timeout.as_deref())?;
        let write = millis("netWriteTimeout", self.net_write_timeout.as_deref())?;
        if let Some(timeout) = read.max(write) {
            let timeout = timeout.max(max_wait.unwrap_or(500) + 1);
            settings.push(("socket.timeout.ms", timeout.clamp(10, 300_000).to_string()));
        }
        Ok(settings)
    }

    /// Source: dataflow-operator.md §3.1, *Do*; §10.11 for `compat`.
    fn group(&self, ctx: &BuildContext) -> String {
        match self.consumer_group.as_str() {
            "" if ctx.is_compat => COMPAT_GROUP.to_owned(),
            "" => format!("dataflow-{}-{}", ctx.flow.namespace, ctx.flow.name),
            group => group.to_owned(),
        }
    }
}

/// Reads a duration as the client wants it, from 1 ms.
fn millis(field: &str, text: Option<&str>) -> Result<Option<u64>, String> {
    let Some(text) = text else { return Ok(None) };
    let duration: levada_settings::Duration =
        text.parse().map_err(|_| format!("{field} is no duration"))?;
    let millis = Duration::from(duration).as_millis();
    Ok(Some(u64::try_from(millis).unwrap_or(u64::MAX).clamp(1, i32::MAX as u64)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::sources::testing::context;

    #[test]
    fn the_default_group_is_the_flows_own_unless_compat_is_asked_for() {
        let group = |spec: &Spec, is_compat| {
            let settings = spec.consumer_settings(&BuildContext { is_compat, ..context() });
            settings.unwrap().into_iter().find(|(name, _)| *name == "group.id").unwrap().1
        };
        let flow = context().flow;
        let own = format!("dataflow-{}-{}", flow.namespace, flow.name);
        assert_eq!(group(&Spec::default(), false), own);
        assert_eq!(group(&Spec::default(), true), "dataflow-operator");
        let named = Spec { consumer_group: "g".into(), ..Spec::default() };
        assert_eq!(group(&named, true), "g");
    }
}
