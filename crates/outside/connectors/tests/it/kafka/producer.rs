//! Single messages, as alerts write them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::Duration;

use levada_connectors::{
    MessageProducer, ProducerLogin, ProducerPartitioner, ProducerSettings, ProducerTls,
};
use levada_model::ErrorKind;
use levada_runtime::{SystemClock, Tasks};
use levada_settings::Secret;
use levada_testkit::kafka::Proxy;

use super::security::{certificates, listener};
use super::support::{broker, stored, topic, unique};

fn settings(broker: &str) -> ProducerSettings {
    ProducerSettings {
        brokers: vec![broker.to_owned()],
        timeout: Duration::from_secs(10),
        batch_size: 100,
        batch_timeout: Duration::from_secs(1),
        ..ProducerSettings::default()
    }
}

fn producer(settings: &ProducerSettings) -> MessageProducer {
    MessageProducer::new(settings, SystemClock::new(), &Tasks::new()).unwrap()
}

/// Partition of each key among three, by hashes that were computed apart from the client.
const KEYS: [(&str, [i32; 4]); 4] = [
    // CRC-32, murmur2, murmur3, FNV-1a.
    ("hello", [1, 0, 1, 0]),
    ("cpu:host=a", [1, 2, 2, 1]),
    ("cpu:host=b", [2, 0, 0, 1]),
    ("x", [0, 1, 2, 1]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_decide_about_partitions() {
    let Some(broker) = broker("keys_decide_about_partitions") else { return };
    let ways = [
        ProducerPartitioner::Crc32,
        ProducerPartitioner::Murmur2,
        ProducerPartitioner::Murmur3,
        ProducerPartitioner::Fnv1a,
    ];
    for (index, partitioner) in ways.into_iter().enumerate() {
        let topic = topic("spread", 3).await;
        let producer = producer(&ProducerSettings { partitioner, ..settings(&broker) });
        for (key, _) in KEYS {
            producer.send(&topic, key, format!("{key} ü").as_bytes()).await.unwrap();
        }
        let found: BTreeMap<Vec<u8>, (i32, Vec<u8>)> = stored(&topic)
            .into_iter()
            .map(|one| (one.key.unwrap(), (one.partition, one.payload.unwrap())))
            .collect();
        for (key, partitions) in KEYS {
            let expected = (partitions[index], format!("{key} ü").into_bytes());
            assert_eq!(found[key.as_bytes()], expected, "{partitioner:?} {key}");
        }
    }
    let topic = topic("chance", 3).await;
    let partitioner = ProducerPartitioner::Random;
    let producer = producer(&ProducerSettings { partitioner, ..settings(&broker) });
    for _ in 0..50 {
        producer.send(&topic, "same", b"x").await.unwrap();
    }
    let used: BTreeSet<i32> = stored(&topic).into_iter().map(|one| one.partition).collect();
    assert_eq!(used.len(), 3, "by chance all are used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_was_away_is_found_again() {
    let Some(broker) = broker("a_cluster_that_was_away_is_found_again") else { return };
    let topic = topic("away", 1).await;
    let proxy = Proxy::start(&broker);
    let timeout = Duration::from_secs(2);
    let producer = producer(&ProducerSettings { timeout, ..settings(&proxy.address()) });
    producer.send(&topic, "k", b"1").await.unwrap();
    proxy.cut();
    let error = producer.send(&topic, "k", b"2").await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    proxy.restore();
    // The client waits a little before it connects again.
    while producer.send(&topic, "k", b"3").await.is_err() {}
    let payloads: Vec<_> = stored(&topic).into_iter().map(|one| one.payload.unwrap()).collect();
    assert_eq!((&payloads[0][..], &payloads[payloads.len() - 1][..]), (&b"1"[..], &b"3"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_are_under_way_at_a_time() {
    const COUNT: usize = 500;
    let Some(broker) = broker("many_messages_are_under_way_at_a_time") else { return };
    let topic = topic("many", 3).await;
    let producer = std::sync::Arc::new(producer(&settings(&broker)));
    let tasks = Tasks::new();
    let sends: Vec<_> = (0..COUNT)
        .map(|index| {
            let (producer, topic) = (producer.clone(), topic.clone());
            tasks.spawn(levada_runtime::TaskKind::Alert, "send", async move {
                producer.send(&topic, &index.to_string(), b"x").await
            })
        })
        .collect();
    for send in sends {
        send.await.unwrap().unwrap();
    }
    let keys: BTreeSet<_> = stored(&topic).into_iter().map(|one| one.key.unwrap()).collect();
    assert_eq!(keys.len(), COUNT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_not_taken_say_why() {
    let Some(broker) = broker("messages_that_are_not_taken_say_why") else { return };
    let topic = topic("refused", 1).await;
    let producer = producer(&settings(&broker));
    let large = vec![b'x'; 2 << 20];
    let error = producer.send(&topic, "k", &large).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let error = producer.send("no such topic?", "k", b"x").await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    producer.send(&topic, "k", b"x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_silent_broker_beyond_the_time_out() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let timeout = Duration::from_millis(500);
    let producer = producer(&ProducerSettings { timeout, ..settings(&address) });
    let topic = unique("silent");
    let sent = producer.send(&topic, "k", b"x");
    let error = tokio::time::timeout(Duration::from_secs(5), sent).await.unwrap().unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_log_in_and_encrypt() {
    let Some(broker) = broker("producers_log_in_and_encrypt") else { return };
    let Some(folder) = certificates("producers_log_in_and_encrypt") else { return };
    let topic = topic("secured", 1).await;
    let tls = ProducerTls {
        ca_file: folder.join("ca.pem"),
        cert_file: folder.join("client.pem"),
        key_file: folder.join("client.key"),
        insecure_skip_verify: false,
    };
    let login = |mechanism: &str, password: &str| {
        Some(ProducerLogin::Password {
            mechanism: mechanism.to_owned(),
            username: "alice".to_owned(),
            password: Secret::from(password.to_owned()),
        })
    };
    for (offset, tls, login) in [
        (2, None, login("PLAIN", "alice-secret")),
        (2, None, login("SCRAM-SHA-512", "alice-secret")),
        (3, Some(tls.clone()), None),
        (4, Some(tls), login("SCRAM-SHA-256", "alice-secret")),
    ] {
        let secured = ProducerSettings { tls, login, ..settings(&listener(&broker, offset)) };
        producer(&secured).send(&topic, "k", b"x").await.unwrap();
    }
    assert_eq!(stored(&topic).len(), 4);
    let timeout = Duration::from_secs(3);
    let wrong = ProducerSettings {
        timeout,
        login: login("PLAIN", "wr0ng"),
        ..settings(&listener(&broker, 2))
    };
    let error = producer(&wrong).send(&topic, "k", b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    assert!(!error.to_string().contains("wr0ng"), "{error}");
    let token = Some(ProducerLogin::Token(Secret::from("s3cret".to_owned())));
    let refused = ProducerSettings { timeout, login: token, ..settings(&listener(&broker, 2)) };
    let error = producer(&refused).send(&topic, "k", b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
}
