//! Against a real broker, Mosquitto.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use levada_clients::http::TlsOptions;
use levada_clients::mqtt::{Message, MqttClient, MqttSettings, Quality};
use levada_model::ErrorKind;
use levada_runtime::{SystemClock, TaskKind, Tasks};
use levada_settings::Secret;
use levada_testkit::instance::Instance;
use levada_testkit::mqtt::Subscriber;
use levada_testkit::services;

const PATIENCE: Duration = Duration::from_secs(5);

fn settings(address: &str, id: &str) -> MqttSettings {
    MqttSettings {
        url: format!("tcp://{address}"),
        tls: TlsOptions::default(),
        client_id: id.to_owned(),
        username: String::new(),
        password: Secret::new(String::new()),
        timeout: PATIENCE,
    }
}

fn client(settings: MqttSettings) -> MqttClient {
    MqttClient::new(settings, SystemClock::new(), &Tasks::new()).unwrap()
}

fn message(topic: &str, payload: &str) -> Message {
    Message {
        topic: topic.to_owned(),
        payload: payload.to_owned().into(),
        quality: Quality::AtLeastOnce,
        is_retained: false,
    }
}

fn port(address: &str, further: u16) -> String {
    let (host, port) = address.rsplit_once(':').unwrap();
    format!("{host}:{}", port.parse::<u16>().unwrap() + further)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_with_every_quality() {
    let Some(address) = services::MOSQUITTO.address("clients mqtt") else { return };
    let topic = format!("levada/clients/quality-{}", std::process::id());
    let subscriber = Subscriber::start(&address, &format!("{topic}/#"));
    let client = client(settings(&address, "levada-quality"));
    for (index, quality) in
        [Quality::AtMostOnce, Quality::AtLeastOnce, Quality::ExactlyOnce].into_iter().enumerate()
    {
        let text = format!("cpu is CRITICAL {index} ü");
        let message = Message { quality, ..message(&format!("{topic}/{index}"), &text) };
        client.publish(message).await.unwrap();
        let heard = subscriber.next();
        assert_eq!((heard.topic, heard.qos as usize), (format!("{topic}/{index}"), index));
        assert_eq!((&heard.payload[..], heard.retain), (text.as_bytes(), false));
    }
    let large = "x".repeat(300_000);
    client.publish(message(&topic, &large)).await.unwrap();
    assert_eq!(subscriber.next().payload.len(), large.len());
    let retained = Message { is_retained: true, ..message(&topic, "last") };
    client.publish(retained).await.unwrap();
    let late = Subscriber::start(&address, &topic);
    let heard = late.next();
    assert_eq!((&heard.payload[..], heard.retain), (&b"last"[..], true));
    // An empty one takes it away.
    client.publish(Message { is_retained: true, ..message(&topic, "") }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_under_way_at_a_time() {
    const COUNT: usize = 500;
    let Some(address) = services::MOSQUITTO.address("clients mqtt many") else { return };
    let topic = format!("levada/clients/many-{}", std::process::id());
    let subscriber = Subscriber::start(&address, &topic);
    let client = client(settings(&address, "levada-many"));
    let tasks = Tasks::new();
    let sends: Vec<_> = (0..COUNT)
        .map(|index| {
            let (client, topic) = (client.clone(), topic.clone());
            tasks.spawn(TaskKind::Alert, "publish", async move {
                let quality =
                    if index % 2 == 0 { Quality::ExactlyOnce } else { Quality::AtLeastOnce };
                let message = Message { quality, ..message(&topic, &index.to_string()) };
                client.publish(message).await
            })
        })
        .collect();
    for send in sends {
        send.await.unwrap().unwrap();
    }
    let mut heard: Vec<usize> = (0..COUNT)
        .map(|_| std::str::from_utf8(&subscriber.next().payload).unwrap().parse().unwrap())
        .collect();
    heard.sort_unstable();
    assert!(heard.into_iter().eq(0..COUNT));
    assert!(subscriber.rest().is_empty(), "each came once");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_passwords_are_checked() {
    let Some(address) = services::MOSQUITTO.address("clients mqtt login") else { return };
    let address = port(&address, 1);
    let login = |username: &str, password: &str| MqttSettings {
        username: username.to_owned(),
        password: Secret::new(password.to_owned()),
        ..settings(&address, &format!("levada-login-{username}"))
    };
    client(login("levada", "secret")).publish(message("levada/login", "x")).await.unwrap();
    for wrong in [login("levada", "wr0ng"), login("", "")] {
        let error = client(wrong).publish(message("levada/login", "x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        let text = error.to_string();
        assert!(text.contains("refused the connection") && !text.contains("wr0ng"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_show_certificates() {
    let Some(address) = services::MOSQUITTO.address("clients mqtt tls") else { return };
    let (_, port) =
        port(&address, 2).rsplit_once(':').map(|(_, port)| ((), port.to_owned())).unwrap();
    let folder = services::MOSQUITTO.state().join("tls");
    let both = TlsOptions {
        ca_file: folder.join("ca.pem"),
        cert_file: folder.join("client.pem"),
        key_file: folder.join("client.key"),
        insecure_skip_verify: false,
    };
    let with = |tls: &TlsOptions| MqttSettings {
        url: format!("ssl://localhost:{port}"),
        tls: tls.clone(),
        ..settings("", "levada-tls")
    };
    client(with(&both)).publish(message("levada/tls", "x")).await.unwrap();
    let any = TlsOptions { ca_file: "".into(), insecure_skip_verify: true, ..both.clone() };
    client(with(&any)).publish(message("levada/tls", "x")).await.unwrap();
    let unknown = TlsOptions { ca_file: "".into(), ..both.clone() };
    let anonymous = TlsOptions { cert_file: "".into(), key_file: "".into(), ..both.clone() };
    for (tls, expected) in [
        (unknown, "certificate"),
        (anonymous, ""),
        (
            TlsOptions { key_file: "".into(), ..both.clone() },
            "needs both its file and that of its key",
        ),
        (TlsOptions { ca_file: folder.join("none"), ..both.clone() }, "cannot read `"),
        (TlsOptions { ca_file: folder.join("ca.key"), ..both.clone() }, "holds no certificate"),
        (TlsOptions { key_file: folder.join("ca.pem"), ..both.clone() }, "holds no key"),
    ] {
        let error = client(with(&tls)).publish(message("levada/tls", "x")).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_away_is_found_again() {
    let test = "clients mqtt restart";
    let Some(broker) = Instance::start(services::MOSQUITTO, &[], test) else { return };
    let client = client(settings(&broker.address(), "levada-restart"));
    client.publish(message("levada/restart", "1")).await.unwrap();
    broker.kill();
    let error = client.publish(message("levada/restart", "2")).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    broker.restart();
    let subscriber = Subscriber::start(&broker.address(), "levada/restart");
    client.publish(message("levada/restart", "3")).await.unwrap();
    assert_eq!(&subscriber.next().payload[..], b"3");
    // Without a message under way the client notices by itself that the connection is gone.
    broker.kill();
    broker.restart();
    let subscriber = Subscriber::start(&broker.address(), "levada/restart");
    client.publish(message("levada/restart", "4")).await.unwrap();
    assert_eq!(&subscriber.next().payload[..], b"4");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_long_and_nobody_waits_for_others() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let timeout = Duration::from_millis(200);
    let client = client(MqttSettings { timeout, ..settings(&address, "levada-hang") });
    // The broker accepts nothing: two wait for the same attempt.
    let (first, second) =
        tokio::join!(client.publish(message("t", "1")), client.publish(message("t", "2")));
    for error in [first.unwrap_err(), second.unwrap_err()] {
        assert!(error.is_transient(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_speaks_otherwise_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = client(settings(&address, "levada-nonsense"));
    let answering = std::thread::spawn(move || {
        let mut streams = Vec::new();
        for nonsense in [&[0x40, 2, 0, 1][..], &[0xff; 8]] {
            let (mut stream, _) = listener.accept().unwrap();
            // The client of the first connection is gone already.
            stream.write_all(nonsense).ok();
            streams.push(stream);
        }
        streams
    });
    for expected in ["unexpected PubAck", "Malformed remaining length"] {
        let error = client.publish(message("t", "3")).await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains(expected), "{error}");
    }
    drop(answering.join().unwrap());
    let error = client.publish(message("t", "4")).await.unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}
