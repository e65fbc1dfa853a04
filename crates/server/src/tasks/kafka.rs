//! Producers of Kafka for alert handlers: what the domain needs, by what the connectors have.

use std::sync::Arc;

use async_trait::async_trait;
use levada_alert::handlers::{
    KafkaProducer, KafkaProducers, KafkaSasl, KafkaSettings, Partitioner,
};
use levada_alert::topics::HandlerError;
use levada_connectors::{
    MessageProducer, ProducerError, ProducerLogin, ProducerPartitioner, ProducerSettings,
    ProducerTls,
};
use levada_runtime::{Clock, Tasks};

/// Makes producers.
pub(super) struct Producers {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: Tasks,
}

struct Producer(MessageProducer);

impl KafkaProducers for Producers {
    fn producer(&self, settings: &KafkaSettings) -> Result<Arc<dyn KafkaProducer>, HandlerError> {
        let settings = settings_of(settings);
        let producer = MessageProducer::new(&settings, Arc::clone(&self.clock), &self.tasks);
        Ok(Arc::new(Producer(producer.map_err(failed)?)))
    }
}

#[async_trait]
impl KafkaProducer for Producer {
    async fn send(&self, topic: &str, key: &str, value: Vec<u8>) -> Result<(), HandlerError> {
        self.0.send(topic, key, &value).await.map_err(failed)
    }
}

fn failed(error: ProducerError) -> HandlerError {
    let is_final = !error.is_transient();
    HandlerError { is_final, ..HandlerError::new(error.to_string()) }
}

fn settings_of(settings: &KafkaSettings) -> ProducerSettings {
    ProducerSettings {
        brokers: settings.brokers.clone(),
        timeout: settings.timeout,
        batch_size: settings.batch_size,
        batch_timeout: settings.batch_timeout,
        tls: settings.tls.as_ref().map(|tls| ProducerTls {
            ca_file: tls.ca_file.clone(),
            cert_file: tls.cert_file.clone(),
            key_file: tls.key_file.clone(),
            insecure_skip_verify: tls.insecure_skip_verify,
        }),
        login: settings.sasl.as_ref().map(|sasl| match sasl {
            KafkaSasl::Password { mechanism, username, password } => ProducerLogin::Password {
                mechanism: mechanism.clone(),
                username: username.clone(),
                password: password.clone(),
            },
            KafkaSasl::Token(token) => ProducerLogin::Token(token.clone()),
        }),
        partitioner: match settings.partitioner {
            Partitioner::Crc32 => ProducerPartitioner::Crc32,
            Partitioner::Murmur2 => ProducerPartitioner::Murmur2,
            Partitioner::Murmur3 => ProducerPartitioner::Murmur3,
            Partitioner::Fnv1a => ProducerPartitioner::Fnv1a,
            Partitioner::Random => ProducerPartitioner::Random,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use levada_clients::http::TlsOptions;
    use levada_runtime::SystemClock;
    use levada_settings::Secret;

    use super::*;

    #[test]
    fn all_settings_are_passed_on() {
        let tls = TlsOptions {
            ca_file: "/ca".into(),
            cert_file: "/cert".into(),
            key_file: "/key".into(),
            insecure_skip_verify: true,
        };
        let settings = KafkaSettings {
            brokers: vec!["a:1".to_owned()],
            timeout: Duration::from_secs(3),
            batch_size: 7,
            batch_timeout: Duration::from_millis(9),
            tls: Some(tls),
            sasl: Some(KafkaSasl::Token(Secret::from("t".to_owned()))),
            partitioner: Partitioner::Murmur2,
        };
        let expected = ProducerSettings {
            brokers: vec!["a:1".to_owned()],
            timeout: Duration::from_secs(3),
            batch_size: 7,
            batch_timeout: Duration::from_millis(9),
            tls: Some(ProducerTls {
                ca_file: "/ca".into(),
                cert_file: "/cert".into(),
                key_file: "/key".into(),
                insecure_skip_verify: true,
            }),
            login: Some(ProducerLogin::Token(Secret::from("t".to_owned()))),
            partitioner: ProducerPartitioner::Murmur2,
        };
        assert_eq!(settings_of(&settings), expected);
    }

    #[tokio::test]
    async fn errors_say_whether_trying_again_may_help() {
        let producers = Producers { clock: SystemClock::new(), tasks: Tasks::new() };
        let settings = KafkaSettings {
            brokers: vec!["127.0.0.1:1".to_owned()],
            timeout: Duration::from_millis(300),
            batch_size: 1,
            ..KafkaSettings::default()
        };
        let Ok(producer) = producers.producer(&settings) else { panic!("it connects later") };
        let away = producer.send("t", "k", Vec::new()).await;
        assert!(away.is_err_and(|error| !error.is_final));
        let tls = Some(TlsOptions { ca_file: "/none".into(), ..TlsOptions::default() });
        let wrong = producers.producer(&KafkaSettings { tls, ..settings });
        assert!(wrong.is_err_and(|error| error.is_final && error.message.contains("/none")));
    }
}
