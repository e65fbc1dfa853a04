//! Who gets in.

use reqwest::{Client, Method, StatusCode};

use crate::started::{Started, run};

const SETTINGS: &[&str] = &[
    "auth.enabled=true",
    "auth.admin-password=pw",
    "auth.bcrypt-cost=4",
    "auth.shared-secret=secret",
];

/// What is open to everybody: that a server is there, what time it is, and what clients of Influx ask before they write.
const OPEN: &[&str] = &[
    "/health",
    "/gateway/ping",
    "/gateway/query",
    "/v1/ntp",
    "/v1/ntp/",
    "/v1/ping",
    "/v1/check/token/x",
    "/v1/check/x",
];

/// How paths of the gateway begin, which are for those who write points.
const GATEWAY: &[&str] = &["/v1/", "/v2/", "/gateway/"];

/// Every route of the router, asked by `OPTIONS`-free means: its path with `x` in place of what is open.
async fn routes(client: &Client, url: &str) -> Vec<(Method, String)> {
    let listed = client.get(format!("{url}/kapacitor/v1/:routes")).basic_auth("admin", Some("pw"));
    let listed = listed.send().await.unwrap().text().await.unwrap();
    let listed: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&listed).unwrap();
    let mut routes = Vec::new();
    for (path, methods) in listed {
        let path: Vec<&str> =
            path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
        for method in methods.as_array().unwrap() {
            routes.push((method.as_str().unwrap().parse().unwrap(), path.join("/")));
        }
    }
    routes
}

#[test]
fn every_route_is_closed_to_those_without_its_privilege() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), SETTINGS).await;
        let (client, url) = (Client::new(), &server.url);
        for (name, permissions) in
            [("none", "[]"), ("reader", r#"["api"]"#), ("writer", r#"["write_points"]"#)]
        {
            let body =
                format!(r#"{{"name":"{name}","password":"pw","permissions":{permissions}}}"#);
            let made =
                client.post(format!("{url}/kapacitor/v1/users")).basic_auth("admin", Some("pw"));
            let made = made.body(body).send().await.unwrap();
            assert_eq!(made.status(), StatusCode::OK);
        }
        let routes = routes(&client, url).await;
        assert!(routes.len() > 8, "{routes:?}");
        for (method, path) in routes {
            let is_open = OPEN.contains(&&*path) || method == Method::HEAD;
            let ask = |user: Option<(&str, &str)>| {
                let mut request = client.request(method.clone(), format!("{url}{path}"));
                if let Some((name, password)) = user {
                    request = request.basic_auth(name, Some(password));
                }
                async { request.send().await.unwrap().status() }
            };
            let status = ask(None).await;
            assert_eq!(status == StatusCode::UNAUTHORIZED, !is_open, "nobody: {method} {path}");
            for (name, password) in [("admin", "wrong"), ("stranger", "pw"), ("", "pw")] {
                let status = ask(Some((name, password))).await;
                assert_eq!(status == StatusCode::UNAUTHORIZED, !is_open, "{name}: {method} {path}");
            }
            let is_for_writers =
                path.contains("/write") || GATEWAY.iter().any(|part| path.starts_with(part));
            let is_for_admins =
                ["/users", "/backup", "/config"].iter().any(|part| path.contains(part));
            for (name, is_closed) in [
                ("none", true),
                ("reader", is_for_admins || is_for_writers),
                ("writer", !is_for_writers && !path.ends_with("/ping")),
            ] {
                let status = ask(Some((name, "pw"))).await;
                let is_closed = is_closed && !is_open;
                assert_eq!(status == StatusCode::FORBIDDEN, is_closed, "{name}: {method} {path}");
            }
        }
        server.stop().await;
    });
}

#[test]
fn a_new_password_ends_the_old_one() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), SETTINGS).await;
        let (client, url) = (Client::new(), &server.url);
        let ask = |password: &'static str| {
            let request = client.get(format!("{url}/kapacitor/v1/users/admin"));
            let request = request.basic_auth("admin", Some(password));
            async { request.send().await.unwrap().status().as_u16() }
        };
        assert_eq!((ask("pw").await, ask("pw").await), (200, 200));
        let changed = client.patch(format!("{url}/kapacitor/v1/users/admin"));
        let changed = changed.basic_auth("admin", Some("pw")).body(r#"{"password":"new"}"#);
        let changed = changed.send().await.unwrap();
        let text = changed.text().await.unwrap();
        assert!(text.contains("\"type\": \"admin\"") && !text.contains("hash"), "{text}");
        assert_eq!((ask("pw").await, ask("new").await), (401, 200));
        server.stop().await;
    });
}

#[test]
fn users_have_their_names_whatever_is_asked_of_them() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), SETTINGS).await;
        let request = Client::new().get(format!("{}/kapacitor/v1/users?fields=type", server.url));
        let listed = request.basic_auth("admin", Some("pw")).send().await.unwrap();
        let listed: serde_json::Value =
            serde_json::from_str(&listed.text().await.unwrap()).unwrap();
        let expected = serde_json::json!({
            "link": {"rel": "self", "href": "/kapacitor/v1/users/admin"},
            "name": "admin",
            "type": "admin",
        });
        assert_eq!(listed["users"], serde_json::json!([expected]));
        server.stop().await;
    });
}
