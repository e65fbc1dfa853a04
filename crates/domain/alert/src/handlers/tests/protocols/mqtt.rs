use levada_testkit::mqtt::Subscriber;
use levada_testkit::services::MOSQUITTO;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn brokers_are_found_by_name() {
    let Some(address) = MOSQUITTO.address("alert mqtt brokers") else { return };
    let topic = format!("levada/alert/{}", std::process::id());
    let subscriber = Subscriber::start(&address, &format!("{topic}/#"));
    let url = format!("tcp://{address}");
    let away =
        json!({"enabled": true, "name": "away", "default": true, "url": "tcp://127.0.0.1:1"});
    let here = json!({"enabled": true, "name": "levada-here", "url": url});
    let services = MemoryServices::with("mqtt", json!([away, here]));
    let deps = deps(&services);
    for (quality, number) in [("at-most-once", 0), ("at-least-once", 1), ("exactly-once", 2)] {
        let topic = format!("{topic}/{{{{ index .Tags \"host\" }}}}/{{{{ .Level }}}}");
        let value = json!({"broker-name": "levada-here", "topic": topic, "qos": quality});
        handler("mqtt", value, &deps).handle(&one()).await.unwrap();
        let heard = subscriber.next();
        assert!(heard.topic.ends_with("/a/CRITICAL"), "{}", heard.topic);
        assert_eq!(
            (&heard.payload[..], heard.qos as i32),
            (&b"cpu:host=a is CRITICAL"[..], number)
        );
    }
    let by_default = handler("mqtt", json!({"topic": topic}), &deps);
    let (text, may_help) = failure(&by_default, &one()).await;
    assert!(text.contains("`127.0.0.1:1` cannot be reached") && may_help, "{text}");
    for (value, expected) in [
        (
            json!({"broker-name": "x", "topic": topic}),
            "unknown name \"x\" of section `mqtt`; known: away, levada-here",
        ),
        (json!({"broker-name": "levada-here"}), "missing MQTT topic"),
        (json!({"broker-name": "levada-here", "topic": "a/#"}), "invalid MQTT topic \"a/#\""),
    ] {
        let outcome = failure(&handler("mqtt", value, &deps), &one()).await;
        assert_eq!(outcome, (expected.to_owned(), false));
    }
    // The settings change under the handler.
    services.set("mqtt", json!({"enabled": true, "name": "levada-changed", "url": url}));
    by_default.handle(&one()).await.unwrap();
    assert_eq!(&subscriber.next().payload[..], b"cpu:host=a is CRITICAL");
    tried("mqtt", json!({"topic": topic, "message": "hello", "retained": true}), &deps)
        .await
        .unwrap();
    assert_eq!(&subscriber.next().payload[..], b"hello");
    let late = Subscriber::start(&address, &topic);
    assert!(late.next().retain);
    tried("mqtt", json!({"topic": topic, "message": "", "retained": true}), &deps).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_holds_up_nobody_else() {
    let Some(address) = MOSQUITTO.address("alert mqtt isolation") else { return };
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("tcp://{}", silent.local_addr().unwrap());
    let services = MemoryServices::with(
        "mqtt",
        json!([
            {"enabled": true, "name": "silent", "url": silent_url},
            {"enabled": true, "name": "levada-isolated", "url": format!("tcp://{address}")},
        ]),
    );
    let deps = HandlerDeps { request_timeout: Duration::from_millis(500), ..deps(&services) };
    let to = |name: &str| {
        handler(
            "mqtt",
            json!({"broker-name": name, "topic": "levada/t", "qos": "at-least-once"}),
            &deps,
        )
    };
    let (held, other, event) = (to("silent"), to("levada-isolated"), one());
    let waiting = failure(&held, &event);
    let going = async {
        for _ in 0..20 {
            other.handle(&event).await.unwrap();
        }
    };
    let ((text, may_help), ()) = tokio::join!(waiting, going);
    assert!(text.contains("within 500ms") && may_help, "{text}");
}
