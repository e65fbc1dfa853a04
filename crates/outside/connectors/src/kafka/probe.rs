//! Whether the cluster answers, and for the topic.

use std::thread;
use std::time::Duration;

use levada_model::ErrorClass;
use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::connection::Connection;
use super::error::{Problem, class_of, is_missing_topic};
use super::events::Events;

/// One question to the cluster.
const ASK: Duration = Duration::from_secs(1);

/// Questions without an answer before the cluster counts as away.
const ASK_MAX: u32 = 8;

/// Events that are looked at between two questions; among them is why there is no answer.
const EVENTS_MAX: u32 = 50;

/// A topic that is being created shows within this time.
const CREATION: Duration = Duration::from_millis(100);
const CREATION_MAX: u32 = 50;

/// Asks until the cluster has answered for the topic; blocks, at most about 15 seconds.
///
/// `serve` lets the client say what it has to say. Brokers that create topics on demand are asked to.
pub(crate) fn topic<C: ClientContext>(
    client: &Client<C>,
    connection: &Connection,
    events: &Events,
    serve: impl Fn(),
) -> Result<(), Problem> {
    let (topic, brokers) = (connection.topic.as_str(), connection.brokers());
    let (mut silent, mut missing) = (0, 0);
    loop {
        let answer = client.fetch_metadata(Some(topic), ASK);
        for _ in 0..EVENTS_MAX {
            serve();
        }
        let code = match answer {
            Ok(metadata) => {
                let found = metadata.topics().iter().find(|found| found.name() == topic);
                let error = found.and_then(|found| found.error());
                error.map_or(Code::NoError, Code::from)
            }
            Err(KafkaError::MetadataFetch(code)) => code,
            Err(error) => return Err(Problem::of("cannot ask for the topic", &error)),
        };
        match code {
            Code::NoError => {
                events.forget();
                return Ok(());
            }
            code if is_missing_topic(code) || code == Code::LeaderNotAvailable => {
                missing += 1;
                if missing == CREATION_MAX {
                    let text = match is_missing_topic(code) {
                        true => "is not there, and the brokers do not create it",
                        false => "has no leader",
                    };
                    let class = class_of(code);
                    return Err(Problem::new(
                        class,
                        format!("topic `{topic}` on {brokers} {text}"),
                    ));
                }
                thread::sleep(CREATION);
            }
            Code::TopicAuthorizationFailed => {
                let text = format!("no right to use topic `{topic}` on {brokers}");
                return Err(Problem::new(ErrorClass::AuthError, text));
            }
            code if class_of(code).is_transient() => {
                silent += 1;
                let is_refused = events.code().is_some_and(|code| code == Code::Authentication);
                if silent == ASK_MAX || is_refused {
                    let what = format!("cannot connect to {brokers}");
                    return Err(events.explain(what, ErrorClass::ConnectionError));
                }
            }
            code => {
                let text = format!("topic `{topic}` on {brokers}: {code}");
                return Err(Problem::new(class_of(code), text));
            }
        }
    }
}
