use super::*;

#[test]
fn addresses_are_read_as_upstream_reads_them() {
    for (text, expected, has_tls) in [
        ("tcp://broker:1884", "broker:1884", false),
        ("mqtt://broker", "broker:1883", false),
        ("ssl://broker", "broker:8883", true),
        ("mqtts://user:pass@10.0.0.1:1", "10.0.0.1:1", true),
        ("tls://[::1]:99", "[::1]:99", true),
    ] {
        let address = Address::parse(text).unwrap();
        assert_eq!((&*address.to_string(), address.has_tls), (expected, has_tls), "{text}");
    }
    for (text, expected) in [
        ("", "the URL of the MQTT broker is none: relative URL without a base"),
        ("broker", "the URL of the MQTT broker is none: relative URL without a base"),
        (
            "ws://u:s3cret@h",
            "the URL of the MQTT broker has the unknown scheme `ws`; known: tcp, mqtt, ssl, tls, mqtts, tcps",
        ),
        ("tcp:broker", "the URL of the MQTT broker has no host"),
    ] {
        let error = Address::parse(text).unwrap_err();
        assert_eq!((&*error.to_string(), error.kind()), (expected, ErrorKind::Invalid));
    }
}

#[test]
fn topics_and_messages_have_bounds() {
    let message = |topic: &str, length: usize| Message {
        topic: topic.to_owned(),
        payload: vec![b'x'; length].into(),
        ..Message::default()
    };
    let (longest, longer) = ("t".repeat(TEXT_BYTES_MAX), "t".repeat(TEXT_BYTES_MAX + 1));
    assert!(packet(message(&longest, PAYLOAD_BYTES_MAX)).is_ok());
    for wrong in [
        message("", 0),
        message("a/+/b", 0),
        message("a/#", 0),
        message("a\0b", 0),
        message(&longer, 0),
        message("t", PAYLOAD_BYTES_MAX + 1),
    ] {
        let error = packet(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().len() < 200, "{error}");
    }
}
