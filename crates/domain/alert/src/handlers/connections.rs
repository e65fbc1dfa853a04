//! Connections that handlers share: one mailer, client or producer per element of a section, made when it is first used.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use levada_clients::ClientError;
use levada_clients::mqtt::{MqttClient, MqttSettings};
use levada_clients::smtp::{Mailer, SmtpSettings};
use levada_runtime::{Clock, SystemClock, Tasks};

use super::kafka_producer::{
    KafkaProducer, KafkaProducers, KafkaSettings, KafkaStats, KafkaTopics, NoKafka,
};
use crate::topics::HandlerError;

/// Connections of one kind. Ours: more elements than anybody writes; beyond them the one that was used longest ago is closed.
const KEPT_MAX: usize = 64;

/// Connections that handlers share; cheap to clone.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    tasks: Tasks,
    clock: Arc<dyn Clock>,
    kafka: Arc<dyn KafkaProducers>,
    kafka_topics: KafkaTopics,
    mailers: Kept<SmtpSettings, Mailer>,
    brokers: Kept<MqttSettings, MqttClient>,
    producers: Kept<KafkaSettings, Arc<dyn KafkaProducer>>,
}

/// What was made of settings, by the name of their element; the one that was used last is the last.
pub(super) struct Kept<S, C>(Mutex<Vec<(String, S, C)>>);

// === impl Connections ===

impl Connections {
    /// Makes one that nothing is connected with yet.
    pub fn new(tasks: Tasks, clock: Arc<dyn Clock>, kafka: Arc<dyn KafkaProducers>) -> Self {
        Connections(Arc::new(Inner {
            tasks,
            clock,
            kafka,
            kafka_topics: KafkaTopics::default(),
            mailers: Kept::default(),
            brokers: Kept::default(),
            producers: Kept::default(),
        }))
    }

    /// Gives what was written to topics of Kafka.
    pub fn kafka_stats(&self) -> Vec<KafkaStats> {
        self.0.kafka_topics.stats()
    }

    /// Gives the counters of topics of Kafka.
    pub(super) fn kafka_topics(&self) -> &KafkaTopics {
        &self.0.kafka_topics
    }

    /// Gives what sends mails with these settings.
    pub(super) fn mailer(&self, settings: SmtpSettings) -> Mailer {
        let made = self.0.mailers.get("", settings, |settings| {
            let clock = Arc::clone(&self.0.clock);
            Ok::<_, Infallible>(Mailer::new(settings.clone(), clock, self.0.tasks.clone()))
        });
        match made {
            Ok(mailer) => mailer,
            Err(never) => match never {},
        }
    }

    /// Gives what publishes to a broker.
    pub(super) fn broker(
        &self,
        name: &str,
        settings: MqttSettings,
    ) -> Result<MqttClient, HandlerError> {
        self.0.brokers.get(name, settings, |settings| {
            let clock = Arc::clone(&self.0.clock);
            MqttClient::new(settings.clone(), clock, &self.0.tasks).map_err(failed)
        })
    }

    /// Gives what writes to a cluster of Kafka.
    pub(super) fn producer(
        &self,
        name: &str,
        settings: KafkaSettings,
    ) -> Result<Arc<dyn KafkaProducer>, HandlerError> {
        self.0.producers.get(name, settings, |settings| self.0.kafka.producer(settings))
    }
}

impl Default for Connections {
    fn default() -> Self {
        Connections::new(Tasks::new(), SystemClock::new(), Arc::new(NoKafka))
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

/// Makes the error of a handler of that of a client.
pub(super) fn failed(error: ClientError) -> HandlerError {
    let is_final = !error.is_transient();
    let retry_after = error.retry_after();
    HandlerError { is_final, retry_after, ..HandlerError::new(error.to_string()) }
}

// === impl Kept ===

impl<S, C> Default for Kept<S, C> {
    fn default() -> Self {
        Kept(Mutex::default())
    }
}

impl<S: PartialEq, C: Clone> Kept<S, C> {
    /// Gives what was made of the settings; what was made of former settings of the name is let go.
    pub(super) fn get<E>(
        &self,
        name: &str,
        settings: S,
        make: impl FnOnce(&S) -> Result<C, E>,
    ) -> Result<C, E> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(known, _, _)| known == name);
        if let Some(at) = known {
            let entry = kept.remove(at);
            if entry.1 == settings {
                let connection = entry.2.clone();
                kept.push(entry);
                return Ok(connection);
            }
        }
        let connection = make(&settings)?;
        if kept.len() == KEPT_MAX {
            kept.remove(0);
        }
        kept.push((name.to_owned(), settings, connection.clone()));
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn connections_are_kept_until_their_settings_change() {
        let kept: Kept<u32, Arc<u32>> = Kept::default();
        let get = |name: &str, settings: u32| {
            kept.get(name, settings, |settings| Ok::<_, String>(Arc::new(*settings))).unwrap()
        };
        let first = get("a", 1);
        assert!(Arc::ptr_eq(&first, &get("a", 1)));
        assert!(!Arc::ptr_eq(&first, &get("b", 1)), "another element has its own");
        let changed = get("a", 2);
        assert!(!Arc::ptr_eq(&first, &changed) && Arc::ptr_eq(&changed, &get("a", 2)));
        assert_eq!(Arc::strong_count(&first), 1, "the former one is let go");
        assert_eq!(kept.get("a", 3, |_| Err::<Arc<u32>, _>("no")), Err("no"));
        assert!(!Arc::ptr_eq(&changed, &get("a", 2)), "settings that fail replace the former, too");
    }

    #[test]
    fn the_one_that_was_used_longest_ago_goes_first() {
        let kept: Kept<(), Arc<()>> = Kept::default();
        let get = |name: String| kept.get(&name, (), |()| Ok::<_, String>(Arc::new(()))).unwrap();
        let connections: Vec<_> = (0..KEPT_MAX).map(|n| get(n.to_string())).collect();
        get("0".to_owned());
        get("new".to_owned());
        let is_kept = |n: usize| Arc::strong_count(&connections[n]) == 2;
        assert!(is_kept(0) && !is_kept(1) && (2..KEPT_MAX).all(is_kept));
    }
}
