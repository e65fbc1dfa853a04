//! The settings of the producer.

use std::time::Duration;

use super::Spec;
use crate::BuildContext;
use crate::kafka::slot::Slot;

/// What waits in the client at most: one batch of the engine is written at a time.
const QUEUED_RECORDS_MAX: u32 = 200_000;
const QUEUED_KIB_MAX: u32 = 64 << 10;

/// How long a record may take to be acknowledged before the engine is told and tries again.
const DELIVERY: Duration = Duration::from_secs(30);

/// How long a transaction may stay open before the brokers undo it.
const TRANSACTION: Duration = Duration::from_secs(60);

/// More requests under way would not be kept in order, nor are they allowed to be idempotent.
const IDEMPOTENT_REQUESTS_MAX: i32 = 5;

/// How long records gather for a request, in milliseconds. A batch of the engine is put into the client at
/// once, so the time is only what that takes; `examples/kafka_bench.rs` shows no gain from 0 to 5.
const LINGER: &str = "1";

/// Records of one request: more than a batch of the engine usually holds; bytes bound it before.
const REQUEST_RECORDS: i32 = 20_000;

// === impl Spec ===

impl Spec {
    /// Gives the settings of the producer beside those of the connection; `id` is that of its transactions,
    /// if it makes some.
    ///
    /// - Errors: a duration that `check` refuses too.
    pub(super) fn producer_settings(
        &self,
        id: Option<&str>,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let is_idempotent = self.is_idempotent_producer();
        let delivery = millis("deliveryTimeout", self.delivery_timeout.as_deref())?
            .unwrap_or(DELIVERY.as_millis() as u64)
            .max(1);
        let linger = match self.flush_frequency.as_deref() {
            None => LINGER.to_owned(),
            text => {
                let linger = millis("flushFrequency", text)?.unwrap_or_default();
                // The client wants a record to wait less than it may take.
                linger.min(delivery.saturating_sub(1)).to_string()
            }
        };
        let partitioner = match self.partitioner.as_str() {
            "murmur2" => "murmur2_random",
            "crc32" => "consistent_random",
            _ => "fnv1a_random",
        };
        let mut settings = vec![
            ("acks", self.acks().into()),
            ("enable.idempotence", is_idempotent.to_string()),
            ("compression.codec", self.codec()),
            ("linger.ms", linger),
            ("partitioner", partitioner.into()),
            ("message.timeout.ms", delivery.to_string()),
            ("queue.buffering.max.messages", QUEUED_RECORDS_MAX.to_string()),
            ("queue.buffering.max.kbytes", QUEUED_KIB_MAX.to_string()),
        ];
        let records = match self.flush_messages.unwrap_or_default() {
            0 => REQUEST_RECORDS,
            records => records.clamp(1, 1_000_000),
        };
        settings.push(("batch.num.messages", records.to_string()));
        if let Some(bytes) = self.flush_bytes.filter(|&bytes| bytes > 0) {
            settings.push(("batch.size", bytes.to_string()));
        }
        if let Some(bytes) = self.max_message_bytes {
            settings.push(("message.max.bytes", bytes.clamp(1000, 1_000_000_000).to_string()));
        }
        if let Some(requests) = self.max_open_requests {
            let most = if is_idempotent { IDEMPOTENT_REQUESTS_MAX } else { 1_000_000 };
            let requests = requests.clamp(1, most).to_string();
            settings.push(("max.in.flight.requests.per.connection", requests));
        }
        if let Some(id) = id {
            let timeout = TRANSACTION.as_millis().max(u128::from(delivery));
            settings.push(("transactional.id", id.to_owned()));
            settings.push(("transaction.timeout.ms", timeout.to_string()));
        }
        Ok(settings)
    }

    /// An idempotent producer waits for all replicas.
    pub(super) fn is_idempotent_producer(&self) -> bool {
        self.idempotent.unwrap_or_else(|| self.acks() == "all")
    }

    fn acks(&self) -> &'static str {
        match self.required_acks.to_ascii_lowercase().as_str() {
            "local" => "1",
            "none" => "0",
            _ => "all",
        }
    }

    fn codec(&self) -> String {
        match self.compression.to_ascii_lowercase() {
            codec if codec.is_empty() => "none".into(),
            codec => codec,
        }
    }

    /// See the documentation of [`super::transaction`].
    pub(super) fn transactional_id(&self, ctx: &BuildContext) -> String {
        if !self.transactional_id.is_empty() {
            return self.transactional_id.clone();
        }
        let flow = format!("{}/{}", ctx.flow.namespace, ctx.flow.name);
        // Held by the links: a flow that starts again from what is stored keeps it.
        let slot = ctx.links.get::<Slot>().unwrap_or_else(|| {
            ctx.links.put(Slot::take(&std::env::temp_dir(), &flow));
            ctx.links.get::<Slot>().expect("it was just put")
        });
        let system = rustix::system::uname();
        let host = system.nodename().to_string_lossy();
        let (namespace, name) = (&ctx.flow.namespace, &ctx.flow.name);
        format!("levada-{namespace}-{name}-{host}{}", slot.suffix())
    }
}

fn millis(field: &str, text: Option<&str>) -> Result<Option<u64>, String> {
    let Some(text) = text else { return Ok(None) };
    let duration: levada_settings::Duration =
        text.parse().map_err(|_| format!("{field} is no duration"))?;
    let millis = Duration::from(duration).as_millis();
    Ok(Some(u64::try_from(millis).unwrap_or(u64::MAX).min(i32::MAX as u64)))
}
