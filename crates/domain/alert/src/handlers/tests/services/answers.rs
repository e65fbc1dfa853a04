//! What handlers make of answers, and of what cannot be sent.

use super::super::run::SecretServer;
use super::*;

/// What is left of an error: reason, whether it is final, and the wait in seconds.
fn parts(error: &HandlerError) -> (&str, bool, Option<u64>) {
    (error.reason(), error.is_final, error.retry_after.map(|wait| wait.as_secs()))
}

fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let headers = headers.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Reply { headers: headers.collect(), ..Reply::new(status, body) }
}

#[tokio::test]
async fn every_kind_is_off_unless_enabled() {
    for kind in KINDS {
        let error = handle(kind, &json!({}), &at(Level::Critical), &HandlerDeps::default())
            .await
            .unwrap_err();
        assert_eq!(parts(&error), ("service is not enabled", true, None), "{kind}");
        assert!(error.message.starts_with("failed to send event to "), "{kind}: {error}");
    }
}

/// Each kind takes its own status and no other.
#[tokio::test]
async fn statuses_are_checked() {
    let statuses = [
        ("slack", "200"),
        ("discord", "204"),
        ("teams", "200 204"),
        ("telegram", "200 201 202 204"),
        ("hipchat", "200 201 202 204"),
        ("talk", "200 201 202 204"),
        ("pagerduty", "200"),
        ("pagerduty2", "200 202"),
        ("opsgenie", "200"),
        ("opsgenie2", "202"),
        ("victorops", "200 201 202 204"),
        ("alerta", "201"),
        ("bigpanda", "201"),
        ("servicenow", "200"),
        ("zenoss", "200"),
        ("pushover", "200 201 202 204"),
    ];
    assert_eq!(statuses.len(), KINDS.len());
    for (kind, expected) in statuses {
        let mut taken = Vec::new();
        for status in [200, 201, 202, 204, 400, 503] {
            let (server, _) = server(Reply::new(status, ""));
            let deps = deps(kind, addressed(&enabled(kind).0, &server));
            match handle(kind, &json!({}), &at(Level::Critical), &deps).await {
                Ok(()) => taken.push(status.to_string()),
                Err(error) => {
                    assert_eq!(error.is_final, status < 500, "{kind} {status}");
                    assert!(error.reason().contains(&status.to_string()), "{kind}: {error:?}");
                }
            }
        }
        assert_eq!(taken.join(" "), expected, "{kind}");
    }
}

#[tokio::test]
async fn refusals_say_why_and_when_to_try_again() {
    let soon = [
        ("Date", "Sun, 29 Nov 2026 08:00:00 GMT"),
        ("Retry-After", "Sun, 29 Nov 2026 08:02:00 GMT"),
    ];
    let past = [
        ("Date", "Sun, 29 Nov 2026 08:00:00 GMT"),
        ("Retry-After", "Sun, 29 Nov 2026 07:00:00 GMT"),
    ];
    let cases = [
        ("slack", with(404, &[], "no_team"), "Slack answered 404: no_team", true, None),
        ("slack", with(429, &[("Retry-After", "30")], ""), "Slack answered 429", false, Some(30)),
        ("slack", with(503, &soon, ""), "Slack answered 503", false, Some(120)),
        ("slack", with(503, &past, ""), "Slack answered 503", false, Some(0)),
        ("slack", with(503, &soon[1..], ""), "Slack answered 503", false, None),
        ("slack", with(503, &[("Retry-After", "soon")], ""), "Slack answered 503", false, None),
        ("slack", with(503, &[("Retry-After", "-1")], ""), "Slack answered 503", false, None),
        (
            "slack",
            with(503, &[("Retry-After", "99999999999")], ""),
            "Slack answered 503",
            false,
            Some(86_400),
        ),
        ("slack", with(408, &[], ""), "Slack answered 408", false, None),
        ("slack", with(425, &[], ""), "Slack answered 425", false, None),
        (
            "slack",
            with(200, &[], r#"{"ok":false,"error":"channel_not_found"}"#),
            r#"Slack answered 200: {"ok":false,"error":"channel_not_found"}"#,
            true,
            None,
        ),
        (
            "slack",
            with(200, &[], r#"{"ok":false,"error":"ratelimited"}"#),
            r#"Slack answered 200: {"ok":false,"error":"ratelimited"}"#,
            false,
            None,
        ),
        (
            "zenoss",
            with(200, &[], r#"{"result":{"success":false}}"#),
            r#"Zenoss answered 200: {"result":{"success":false}}"#,
            true,
            None,
        ),
        (
            "telegram",
            with(
                400,
                &[],
                r#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}"#,
            ),
            "sendMessage error (400) description: Bad Request: chat not found",
            true,
            None,
        ),
        (
            "telegram",
            with(
                429,
                &[],
                r#"{"ok":false,"error_code":429,"description":"Too Many Requests","parameters":{"retry_after":7}}"#,
            ),
            "sendMessage error (429) description: Too Many Requests",
            false,
            Some(7),
        ),
        ("telegram", with(502, &[], "<html>"), "Telegram answered 502: <html>", false, None),
        ("victorops", with(404, &[], "x"), "URL or API key not found: 404", true, None),
    ];
    for (kind, reply, reason, is_final, wait) in cases {
        let (server, _) = server(reply);
        let deps = deps(kind, addressed(&enabled(kind).0, &server));
        let error = handle(kind, &json!({}), &at(Level::Critical), &deps).await.unwrap_err();
        assert_eq!(parts(&error), (reason, is_final, wait), "{kind}");
    }
    let (server, _) = server(with(500, &[], &"é".repeat(600)));
    let deps = deps("talk", addressed(&enabled("talk").0, &server));
    let error = handle("talk", &json!({}), &at(Level::Critical), &deps).await.unwrap_err();
    assert_eq!(error.reason(), format!("Talk answered 500: {}", "é".repeat(500)));
}

/// `post` passes on what a receiver asks for, too.
#[tokio::test]
async fn post_says_when_to_try_again() {
    for (status, is_final) in [(429, false), (503, false), (404, true)] {
        let (server, _) = server(with(status, &[("Retry-After", "5")], ""));
        let options = json!({"url": server.url("/")});
        let error = handle("post", &options, &at(Level::Critical), &HandlerDeps::default())
            .await
            .unwrap_err();
        assert_eq!((error.is_final, error.retry_after), (is_final, Some(Duration::from_secs(5))));
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_final() {
    let no_resource = json!({"resource": "{{ if false }}x{{ end }}"});
    let cases = [
        (
            "pagerduty",
            json!({}),
            json!({}),
            Level::Info,
            "AlertLevel 'info' is currently ignored by the PagerDuty service",
        ),
        (
            "alerta",
            json!({}),
            no_resource,
            Level::Ok,
            "Resource and Event are required to send an alert",
        ),
        ("slack", json!({"url": ""}), json!({}), Level::Ok, "invalid URL: it is empty"),
        (
            "slack",
            json!({"url": "hooks/s3cret"}),
            json!({}),
            Level::Ok,
            "invalid URL: relative URL without a base",
        ),
        (
            "slack",
            json!({"url": "file:///etc/s3cret"}),
            json!({}),
            Level::Ok,
            "invalid URL: its scheme is not http or https",
        ),
        (
            "slack",
            json!({"token": "s3\ncret"}),
            json!({}),
            Level::Ok,
            "the token has characters no header can hold",
        ),
        (
            "slack",
            json!({"url": 5}),
            json!({}),
            Level::Ok,
            "a setting of the service has the wrong type",
        ),
    ];
    for (kind, more, options, level, reason) in cases {
        let (server, seen) = server(Reply::new(200, ""));
        let mut section = super::super::options(addressed(&enabled(kind).0, &server));
        section.extend(super::super::options(more));
        let deps = deps(kind, section.into());
        let error = handle(kind, &options, &at(level), &deps).await.unwrap_err();
        assert_eq!(parts(&error), (reason, true, None), "{kind}");
        assert!(seen.lock().unwrap().is_empty(), "{kind}");
    }
    let deps = deps("discord", json!({"enabled": true}));
    let options = json!({"embed-title": "{{ .Nope }}"});
    let error = handle("discord", &options, &at(Level::Ok), &deps).await.unwrap_err();
    assert!(error.is_final && error.reason().contains("can't evaluate field Nope"), "{error:?}");
}

#[tokio::test]
async fn nobody_there_may_pass_and_shows_no_secrets() {
    let gone = FakeServer::start(|_| Reply { status: 0, ..Reply::default() });
    let deps =
        deps("telegram", json!({"enabled": true, "url": gone.url("/bot"), "token": "s3cret"}));
    let error = handle("telegram", &json!({}), &at(Level::Ok), &deps).await.unwrap_err();
    assert!(!error.is_final && error.retry_after.is_none());
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");

    let slow = FakeServer::start(|_| {
        std::thread::sleep(Duration::from_millis(300));
        Reply::new(200, "")
    });
    let settings = addressed(&enabled("slack").0, &slow);
    let deps = HandlerDeps {
        request_timeout: Duration::from_millis(20),
        ..super::deps("slack", settings)
    };
    let error = handle("slack", &json!({}), &at(Level::Ok), &deps).await.unwrap_err();
    assert!(!error.is_final && error.reason().contains("timed out"), "{error:?}");
}

fn denying(networks: &[&str], deps: HandlerDeps) -> HandlerDeps {
    let networks = networks.iter().map(|network| network.parse().unwrap());
    HandlerDeps { clients: Clients::new(AddressFilter::deny(networks)), ..deps }
}

#[tokio::test]
async fn denied_addresses_are_not_reached() {
    let (server, seen) = server(Reply::new(200, ""));
    let target = server.url("/in");
    let redirecting = FakeServer::start(move |_| with(307, &[("Location", &target)], ""));
    let port = server.url("").rsplit(':').next().unwrap().to_owned();
    let by_name = format!("http://localhost:{port}/in");
    let local = ["127.0.0.0/8", "::1"];
    for (url, what) in [(server.url("/in"), "a number"), (by_name.clone(), "a name")] {
        let settings = json!({"enabled": true, "url": url});
        let error =
            handle("talk", &json!({}), &at(Level::Ok), &denying(&local, deps("talk", settings)))
                .await
                .unwrap_err();
        assert!(error.is_final, "{what}");
        assert!(
            error.reason().contains("1 is on the deny list for outgoing requests"),
            "{what}: {error:?}"
        );
        let error = handle(
            "post",
            &json!({"url": url}),
            &at(Level::Ok),
            &denying(&local, HandlerDeps::default()),
        )
        .await
        .unwrap_err();
        assert!(error.is_final && error.reason().contains("deny list"), "{what}: {error:?}");
        let address = url.trim_start_matches("http://").trim_end_matches("/in");
        let error = handle(
            "tcp",
            &json!({"address": address}),
            &at(Level::Ok),
            &denying(&local, HandlerDeps::default()),
        )
        .await
        .unwrap_err();
        assert!(error.reason().contains("deny list"), "{what}: {error:?}");
    }
    assert!(seen.lock().unwrap().is_empty());
    // What is not denied is reached, by name and by number.
    let elsewhere = ["169.254.0.0/16", "fd00::/8"];
    for url in [server.url("/in"), by_name, redirecting.url("/")] {
        let deps = denying(&elsewhere, deps("talk", json!({"enabled": true, "url": url})));
        handle("talk", &json!({}), &at(Level::Ok), &deps).await.unwrap();
    }
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn redirects_are_checked_and_counted() {
    let denied =
        FakeServer::start(|_| with(307, &[("Location", "http://169.254.169.254/latest")], ""));
    let settings = json!({"enabled": true, "url": denied.url("/")});
    let deps_of = |settings| denying(&["169.254.0.0/16"], deps("talk", settings));
    let error = handle("talk", &json!({}), &at(Level::Ok), &deps_of(settings)).await.unwrap_err();
    assert_eq!(
        parts(&error),
        ("address 169.254.169.254 is on the deny list for outgoing requests", true, None)
    );
    let (circle, seen) = server(with(307, &[("Location", "/again")], ""));
    let settings = json!({"enabled": true, "url": circle.url("/")});
    let error = handle("talk", &json!({}), &at(Level::Ok), &deps_of(settings)).await.unwrap_err();
    assert!(error.reason().contains("more than 10 redirects"), "{error:?}");
    assert_eq!(seen.lock().unwrap().len(), 11);
}

#[tokio::test]
async fn files_of_tls_settings_are_read_when_they_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let path = path.to_str().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (server, seen) = server(Reply::new(200, ""));
    let with_ca = json!({"enabled": true, "url": server.url("/"), "ssl-ca": path});
    let deps = deps("slack", with_ca);
    let one = at(Level::Ok);
    let error = handle("slack", &json!({}), &one, &deps).await.unwrap_err();
    assert!(error.reason().starts_with(&format!("cannot read `{path}`: ")), "{error:?}");
    std::fs::write(path, "nonsense").unwrap();
    let error = handle("slack", &json!({}), &one, &deps).await.unwrap_err();
    assert!(!error.is_final, "a file may be mended: {error:?}");
    assert_eq!(error.reason(), format!("no certificates in `{path}`"));
    std::fs::write(path, made.cert.pem()).unwrap();
    handle("slack", &json!({}), &one, &deps).await.unwrap();
    std::fs::write(path, vec![b'x'; (1 << 20) + 1]).unwrap();
    let error = handle("slack", &json!({}), &one, &deps).await.unwrap_err();
    assert_eq!(error.reason(), format!("`{path}` is larger than 1048576 bytes"));
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn certificates_are_checked_as_the_section_says() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ours = rcgen::generate_simple_self_signed(vec!["us".to_owned()]).unwrap();
    let cert = write("cert.pem", ours.cert.pem());
    let key = write("key.pem", ours.signing_key.serialize_pem());
    let both =
        write("both.pem", format!("{}{}", ours.signing_key.serialize_pem(), ours.cert.pem()));
    let open = SecretServer::start(None).await;
    let closed = SecretServer::start(Some(&ours.cert)).await;
    let (of_open, of_closed) =
        (write("open.pem", open.pem.clone()), write("closed.pem", closed.pem.clone()));
    let cases = [
        (&open, json!({}), false),
        (&open, json!({"insecure-skip-verify": true}), true),
        (&open, json!({"ssl-ca": of_open}), true),
        (&open, json!({"ssl-ca": of_closed}), false),
        (&closed, json!({"ssl-ca": of_closed}), false),
        (&closed, json!({"ssl-ca": of_closed, "ssl-cert": cert, "ssl-key": key}), true),
        (&closed, json!({"ssl-ca": of_closed, "ssl-cert": both}), true),
    ];
    for (server, tls, expected) in cases {
        let mut settings = super::super::options(json!({"enabled": true, "url": server.url}));
        settings.extend(super::super::options(tls.clone()));
        let outcome =
            handle("slack", &json!({}), &at(Level::Ok), &deps("slack", settings.into())).await;
        assert_eq!(outcome.is_ok(), expected, "{tls}: {outcome:?}");
    }
    let settings = json!({"enabled": true, "url": open.url, "ssl-cert": cert});
    let error =
        handle("slack", &json!({}), &at(Level::Ok), &deps("slack", settings)).await.unwrap_err();
    assert_eq!(error.reason(), format!("no certificate with its key in `{cert}`"));
}
