use std::sync::Mutex;

use async_trait::async_trait;
use levada_runtime::{SystemClock, Tasks};

use super::*;

/// Keeps the settings of producers and what they are told to write: cluster, topic, key, value.
#[derive(Clone, Default)]
struct Kept {
    made: Arc<Mutex<Vec<KafkaSettings>>>,
    written: Arc<Mutex<Vec<[String; 4]>>>,
}

struct Producer {
    kept: Kept,
    cluster: String,
}

impl KafkaProducers for Kept {
    fn producer(&self, settings: &KafkaSettings) -> Result<Arc<dyn KafkaProducer>, HandlerError> {
        self.made.lock().unwrap().push(settings.clone());
        Ok(Arc::new(Producer { kept: self.clone(), cluster: settings.brokers[0].clone() }))
    }
}

#[async_trait]
impl KafkaProducer for Producer {
    async fn send(&self, topic: &str, key: &str, value: Vec<u8>) -> Result<(), HandlerError> {
        if topic == "full" {
            return Err(HandlerError::new("no room"));
        }
        let value = String::from_utf8(value).unwrap();
        let record = [self.cluster.clone(), topic.to_owned(), key.to_owned(), value];
        self.kept.written.lock().unwrap().push(record);
        Ok(())
    }
}

fn with_kafka(services: &Arc<MemoryServices>) -> (HandlerDeps, Kept) {
    let kept = Kept::default();
    let connections = Connections::new(Tasks::new(), SystemClock::new(), Arc::new(kept.clone()));
    (HandlerDeps { connections, ..deps(services) }, kept)
}

fn started(value: Value, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, String> {
    let spec =
        HandlerSpec::from_options(by_option_kind("kafka").unwrap(), &options(value)).unwrap();
    spec.start(deps).map_err(|error| error.to_string())
}

#[tokio::test]
async fn records_hold_the_event_or_what_the_template_says() {
    let services = MemoryServices::with(
        "kafka",
        json!([
            {"enabled": true, "id": "a", "brokers": ["a:1"]},
            {"enabled": true, "id": "default", "brokers": ["d:1"]},
            {"id": "off", "brokers": ["o:1"]},
        ]),
    );
    let (deps, kept) = with_kafka(&services);
    let template = "{{ .ID }} {{ .Level }} {{ index .Data.Series 0 | json }}";
    for (value, expected) in [
        (
            json!({"topic": "t"}),
            ["d:1", "t", "cpu:host=a", std::str::from_utf8(&one().to_json()).unwrap()],
        ),
        (
            json!({"cluster": "a", "topic": "t", "template": template}),
            [
                "a:1",
                "t",
                "cpu:host=a",
                "cpu:host=a CRITICAL {\"name\":\"cpu\",\"tags\":{\"host\":\"a\"},\"columns\":[\"time\",\"value\"],\"values\":[[\"1970-01-01T00:00:01Z\",61]]}\n",
            ],
        ),
    ] {
        started(value, &deps).unwrap().handle(&one()).await.unwrap();
        assert_eq!(kept.written.lock().unwrap().pop().unwrap(), expected);
    }
    for (value, expected) in [
        (json!({"cluster": "off", "topic": "t"}), NOT_ENABLED),
        (json!({"cluster": "a"}), "no topic: `kafkaTopic` is not set"),
    ] {
        let outcome = failure(&started(value, &deps).unwrap(), &one()).await;
        assert_eq!(outcome, (expected.to_owned(), false));
    }
    let unknown = started(json!({"cluster": "x", "topic": "t"}), &deps).err().unwrap();
    assert_eq!(unknown, "unknown cluster \"x\"");
    let full = started(json!({"cluster": "a", "topic": "full"}), &deps).unwrap();
    assert_eq!(failure(&full, &one()).await, ("no room".to_owned(), true));
    let mut stats = deps.connections.kafka_stats();
    stats.sort_by_key(|stats| (stats.cluster.clone(), stats.topic.clone()));
    let counted: Vec<_> = stats
        .iter()
        .map(|stats| (&*stats.cluster, &*stats.topic, stats.messages, stats.errors))
        .collect();
    assert_eq!(counted, [("a", "full", 0, 1), ("a", "t", 1, 0), ("default", "t", 1, 0)]);
    tried("kafka", json!({"cluster": "a", "message": "hello"}), &deps).await.unwrap();
    assert_eq!(kept.written.lock().unwrap().pop().unwrap(), ["a:1", "test", "key", "hello"]);
}

#[tokio::test]
async fn each_way_to_spread_records_has_its_producer() {
    let section =
        json!({"enabled": true, "brokers": ["a:1", "b:1"], "batch-size": 0, "timeout": "3s"});
    let services = MemoryServices::with("kafka", section.clone());
    let (deps, kept) = with_kafka(&services);
    let ways = [
        (json!({"topic": "t"}), Partitioner::Crc32),
        (json!({"topic": "t", "partitionAlgorithm": "murmur2"}), Partitioner::Murmur2),
        (json!({"topic": "t", "partitionAlgorithm": "murmur3"}), Partitioner::Murmur3),
        (json!({"topic": "t", "partitionAlgorithm": "fnv-1a"}), Partitioner::Fnv1a),
        (json!({"topic": "t", "disablePartitionById": true}), Partitioner::Random),
    ];
    for (value, partitioner) in ways.clone() {
        let handler = started(value, &deps).unwrap();
        handler.handle(&one()).await.unwrap();
        handler.handle(&one()).await.unwrap();
        let expected = KafkaSettings {
            brokers: vec!["a:1".to_owned(), "b:1".to_owned()],
            timeout: Duration::from_secs(3),
            batch_size: 1,
            batch_timeout: Duration::from_secs(1),
            tls: None,
            sasl: None,
            partitioner,
        };
        assert_eq!(kept.made.lock().unwrap().last(), Some(&expected));
    }
    assert_eq!(kept.made.lock().unwrap().len(), ways.len(), "one each");
    let handler = started(json!({"topic": "other"}), &deps).unwrap();
    handler.handle(&one()).await.unwrap();
    assert_eq!(kept.made.lock().unwrap().len(), ways.len(), "topics share it");
    let mut changed = section;
    changed["brokers"] = json!(["c:1"]);
    services.set("kafka", changed);
    handler.handle(&one()).await.unwrap();
    assert_eq!(kept.made.lock().unwrap().last().unwrap().brokers, ["c:1"], "settings changed");
    assert_eq!(kept.written.lock().unwrap().last().unwrap()[0], "c:1");
}

#[tokio::test]
async fn encryption_and_logins_are_passed_on() {
    for (more, expected) in [
        (json!({"use-ssl": true}), Ok("TLS ")),
        (json!({"ssl-ca": "/ca.pem"}), Ok("TLS /ca.pem")),
        (json!({"sasl-username": "u", "sasl-password": "s3cret"}), Ok("Password(PLAIN, u)")),
        (
            json!({"sasl-mechanism": "scram-sha-512", "sasl-username": "u"}),
            Ok("Password(SCRAM-SHA-512, u)"),
        ),
        (json!({"sasl-mechanism": "OAUTHBEARER", "sasl-access-token": "s3cret"}), Ok("Token(***)")),
        (
            json!({"sasl-mechanism": "OAUTHBEARER"}),
            Err("SASL mechanism OAUTHBEARER needs `sasl-access-token`"),
        ),
        (
            json!({"sasl-mechanism": "oauthbearer", "sasl-access-token": "s3cret", "sasl_extensions": {"k": "v"}}),
            Err("SASL extensions are not available here"),
        ),
        (
            json!({"sasl-mechanism": "GSSAPI"}),
            Err(
                "SASL mechanism GSSAPI is not available here; known: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER",
            ),
        ),
        (json!({"brokers": [" "]}), Err("no brokers: `brokers` is not set")),
    ] {
        let mut section = json!({"enabled": true, "brokers": ["a:1"]});
        section.as_object_mut().unwrap().extend(options(more.clone()));
        let services = MemoryServices::with("kafka", section);
        let (deps, kept) = with_kafka(&services);
        let handler = started(json!({"topic": "t"}), &deps).unwrap();
        let outcome = handler.handle(&one()).await;
        let shown = match outcome {
            Ok(()) => {
                let made = kept.made.lock().unwrap().pop().unwrap();
                let tls = made.tls.map(|tls| format!("TLS {}", tls.ca_file.display()));
                Ok(tls.unwrap_or_else(|| format!("{:?}", made.sasl.unwrap())))
            }
            Err(error) => Err(error.reason().to_owned()),
        };
        assert_eq!(shown, expected.map(str::to_owned).map_err(str::to_owned), "{more}");
    }
    let services = MemoryServices::with("kafka", json!({"enabled": true, "brokers": ["a:1"]}));
    let without = started(json!({"topic": "t"}), &deps(&services)).unwrap();
    let expected = "this program was built without a client of Kafka";
    assert_eq!(failure(&without, &one()).await, (expected.to_owned(), false));
}
