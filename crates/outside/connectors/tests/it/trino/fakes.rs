//! Tokens, repetition and cancelling against fakes that keep to the protocol: there is no Keycloak here, and
//! the real server checks no token.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use levada_connectors::Sink;
use levada_model::ErrorClass;
use levada_testkit::scripted::{Answer, Request, Scripted};
use levada_testkit::wait;
use serde_json::{Value, json};

use super::server::{batch_of, sink, source, with, write, write_all};

const COLUMNS: &str =
    r#"[{"name":"column_name","type":"varchar"},{"name":"data_type","type":"varchar"}]"#;

/// Answers statements in three steps: post, an answer without rows, an answer with rows.
fn statement(request: &Request, url: &str) -> Answer {
    let step = |number: u8| format!("\"id\":\"q\",\"nextUri\":\"{url}/v1/statement/q/{number}\"");
    let is_columns = "\"data\":[[\"id\",\"bigint\"]]";
    Answer::new(
        200,
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/v1/statement") => format!("{{{}}}", step(1)),
            ("GET", "/v1/statement/q/1") => format!("{{{}}}", step(2)),
            ("GET", "/v1/statement/q/2") => {
                format!("{{\"id\":\"q\",\"columns\":{COLUMNS},{is_columns}}}")
            }
            ("DELETE", _) => return Answer::new(204, ""),
            _ => return Answer::new(404, "no such thing"),
        },
    )
}

fn settings(server: &Scripted) -> Value {
    json!({"serverURL": server.url(), "catalog": "c", "schema": "s", "table": "t"})
}

fn bearer(request: &Request) -> Option<&str> {
    request.header("authorization")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_carries_the_token_and_who_asks() {
    let server = Scripted::start(|request, url| match bearer(request) {
        Some("Bearer secret") => statement(request, url),
        _ => Answer::new(401, "no token"),
    });
    let mut to = sink(&with(settings(&server), json!({"keycloak": {"token": "secret"}})));
    to.open().await.unwrap();
    write_all(&mut *to, &["{\"id\":1}"]).await;
    let requests = server.requests();
    assert_eq!(requests.len(), 6);
    let statement = &requests[3];
    assert_eq!(statement.body, "INSERT INTO \"c\".\"s\".\"t\" (\"id\") VALUES (1)");
    for (name, value) in [
        ("content-type", "text/plain"),
        ("x-trino-user", "dataflow-operator"),
        ("x-trino-catalog", "c"),
        ("x-trino-schema", "s"),
        ("x-trino-client-capabilities", "PARAMETRIC_DATETIME"),
    ] {
        assert_eq!(statement.header(name), Some(value), "{name}");
    }
    let mut to = sink(&with(settings(&server), json!({"keycloak": {"token": "wrong"}})));
    let error = to.open().await.unwrap_err();
    assert_eq!(error.message, "Trino query failed with status 401: no token");
    assert_eq!(error.class, ErrorClass::AuthError);
    let mut to = sink(&settings(&server));
    assert_eq!(to.open().await.unwrap_err().class, ErrorClass::AuthError);
}

/// A Keycloak that gives `t1`, `t2`, …, and a Trino that takes only the newest.
fn guarded(expires_in: u64) -> (Scripted, Scripted, Arc<AtomicU64>) {
    let newest = Arc::new(AtomicU64::new(0));
    let given = newest.clone();
    let keycloak = Scripted::start(move |request, _| {
        let is_right = request.path == "/auth/realms/r%2F1/protocol/openid-connect/token"
            && request.body == "grant_type=password&client_id=c&username=u&password=p%26q%2B%3D%20";
        if !is_right {
            return Answer::new(401, "{\"error\":\"invalid_grant\"}");
        }
        let number = given.fetch_add(1, Ordering::AcqRel) + 1;
        Answer::new(200, {
            json!({"access_token": format!("t{number}"), "expires_in": expires_in}).to_string()
        })
    });
    let wanted = newest.clone();
    let server = Scripted::start(move |request, url| {
        let token = format!("Bearer t{}", wanted.load(Ordering::Acquire));
        if bearer(request) == Some(&token) {
            statement(request, url)
        } else {
            Answer::new(401, "old")
        }
    });
    (keycloak, server, newest)
}

fn with_password(server: &Scripted, keycloak: &Scripted, password: &str) -> Value {
    with(settings(server), {
        json!({"keycloak": {
            "serverURL": format!("{}/auth/", keycloak.url()), "realm": "r/1", "clientID": "c",
            "username": "u", "password": password,
        }})
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_keycloak_are_kept_and_renewed_when_refused() {
    let (keycloak, server, newest) = guarded(300);
    let mut to = sink(&with_password(&server, &keycloak, "p&q+= "));
    to.open().await.unwrap();
    write_all(&mut *to, &["{\"id\":1}"]).await;
    assert_eq!(keycloak.requests().len(), 1);
    // Somebody else got a newer one, so this one is refused: once more, and no record notices.
    newest.fetch_add(1, Ordering::AcqRel);
    write_all(&mut *to, &["{\"id\":1}"]).await;
    assert_eq!(keycloak.requests().len(), 2);
    let form = "application/x-www-form-urlencoded";
    assert_eq!(keycloak.requests()[0].header("content-type"), Some(form));

    let mut wrong = sink(&with_password(&server, &keycloak, "wrong"));
    let error = wrong.open().await.unwrap_err();
    assert_eq!(
        error.message,
        "Keycloak token request failed with status 401: {\"error\":\"invalid_grant\"}"
    );
    assert_eq!(error.class, ErrorClass::AuthError);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_renewed_before_they_end() {
    let (keycloak, server, _) = guarded(1);
    let mut to = sink(&with_password(&server, &keycloak, "p&q+= "));
    to.open().await.unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    write_all(&mut *to, &["{\"id\":1}"]).await;
    assert!(keycloak.requests().len() >= 2);
    let refused = server.requests().iter().filter(|request| bearer(request).is_none()).count();
    assert_eq!(refused, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_goes_to_nobody_else() {
    let other = Scripted::start(statement);
    let elsewhere = other.url();
    let server = Scripted::start(move |request, _| statement(request, &elsewhere));
    let mut to = sink(&with(settings(&server), json!({"keycloak": {"token": "secret"}})));
    let error = to.open().await.unwrap_err();
    assert!(error.message.contains("http-server.process-forwarded"), "{error}");
    assert_eq!(error.class, ErrorClass::AuthError);
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_asked_again_within_bounds() {
    let busy = Arc::new(AtomicU64::new(3));
    let left = busy.clone();
    let server = Scripted::start(move |request, url| {
        let is_busy =
            left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        match is_busy {
            Ok(left) => Answer::new([502, 503, 504, 429][left as usize % 4], "busy"),
            Err(_) => statement(request, url),
        }
    });
    let mut to = sink(&settings(&server));
    to.open().await.unwrap();
    assert_eq!(server.requests().len(), 6);
    busy.store(1000, Ordering::Release);
    let error = to.open().await.unwrap_err();
    assert!(error.message.starts_with("Trino query failed with status "), "{error}");
    assert!(error.class.is_transient(), "{:?}", error.class);
    assert_eq!(server.requests().len(), 11, "a few times, and then the engine waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_is_cancelled() {
    let server = Scripted::start(|request, url| {
        if request.method == "GET" && request.path.ends_with("/2") {
            std::thread::sleep(Duration::from_millis(300));
            return Answer::new(
                200,
                format!("{{\"id\":\"q\",\"nextUri\":\"{url}/v1/statement/q/2\"}}"),
            );
        }
        statement(request, url)
    });
    let mut to = sink(&settings(&server));
    let open = tokio::time::timeout(Duration::from_millis(500), to.open());
    assert!(open.await.is_err(), "it never ends");
    wait::until_async("the query is cancelled", Duration::from_secs(5), || {
        server.requests().iter().any(|request| request.method == "DELETE")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_takes_too_long_is_given_up() {
    let server = Scripted::start(|request, url| {
        if request.method == "GET" {
            std::thread::sleep(Duration::from_millis(50));
            return Answer::new(
                200,
                format!("{{\"id\":\"q\",\"nextUri\":\"{url}/v1/statement/q/1\"}}"),
            );
        }
        statement(request, url)
    });
    let mut to = sink(&with(settings(&server), json!({"queryTimeoutSeconds": 1})));
    let error = to.open().await.unwrap_err();
    assert_eq!(error.message, "Trino query did not end within 1s");
    assert_eq!(error.class, ErrorClass::Timeout);
    wait::until_async("the query is cancelled", Duration::from_secs(5), || {
        server.requests().iter().any(|request| request.method == "DELETE")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_answers_are_errors() {
    for (status, body, part) in [
        (200, "", "no JSON"),
        (200, "<html>", "no JSON"),
        (200, "{}", "neither id nor stats"),
        (200, "[]", "neither id nor stats"),
        (200, "{\"id\":\"q\",\"nextUri\":\"nowhere\"}", "nextUri is no address"),
        (200, "{\"id\":\"q\",\"data\":[[1]]}", "rows without columns"),
        (302, "", "Trino query failed with status 302"),
        (500, "broken", "Trino query failed with status 500: broken"),
    ] {
        let server = Scripted::start(move |_, _| Answer::new(status, body));
        let error = sink(&settings(&server)).open().await.unwrap_err();
        assert!(error.message.contains(part), "{body}: {error}");
        let error = source(&settings(&server)).open(&[]).await.unwrap_err();
        assert!(error.message.contains(part), "{body}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_about_records_are_told_from_others() {
    for (name, kind, is_about_records, is_transient) in [
        ("INVALID_CAST_ARGUMENT", "USER_ERROR", true, false),
        ("CONSTRAINT_VIOLATION", "EXTERNAL", true, false),
        ("NO_NODES_AVAILABLE", "INTERNAL_ERROR", false, true),
        ("PERMISSION_DENIED", "USER_ERROR", false, false),
    ] {
        let server = Scripted::start(move |request, url| {
            if request.body.starts_with("INSERT") {
                let error =
                    json!({"message": "m", "errorName": name, "errorType": kind, "errorCode": 1});
                return Answer::new(200, json!({"id": "q", "error": error}).to_string());
            }
            statement(request, url)
        });
        let mut to: Box<dyn Sink> = sink(&settings(&server));
        to.open().await.unwrap();
        let error = write(&mut *to, &batch_of(&["{\"id\":1}"])).await.1.unwrap();
        assert_eq!(error.message, format!("Trino query failed: m (Error: {name}, Code: 1)"));
        assert_eq!((error.is_about_records, error.class.is_transient()), {
            (is_about_records, is_transient)
        });
    }
}
