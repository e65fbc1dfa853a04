//! Who gets in.

use reqwest::{Client, Method, StatusCode};

use crate::started::Started;

const SETTINGS: &[&str] = &[
    "auth.enabled=true",
    "auth.admin-password=pw",
    "auth.bcrypt-cost=4",
    "auth.shared-secret=secret",
];

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

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_closed_to_those_without_its_privilege() {
    let data = tempfile::tempdir().unwrap();
    let server = Started::new(data.path(), SETTINGS).await;
    let (client, url) = (Client::new(), &server.url);
    for (name, permissions) in
        [("none", "[]"), ("reader", r#"["api"]"#), ("writer", r#"["write_points"]"#)]
    {
        let body = format!(r#"{{"name":"{name}","password":"pw","permissions":{permissions}}}"#);
        let made = client.post(format!("{url}/kapacitor/v1/users")).basic_auth("admin", Some("pw"));
        let made = made.body(body).send().await.unwrap();
        assert_eq!(made.status(), StatusCode::OK);
    }
    let routes = routes(&client, url).await;
    assert!(routes.len() > 8, "{routes:?}");
    for (method, path) in routes {
        let is_open = (&method, &*path) == (&Method::GET, "/health") || method == Method::HEAD;
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
        let status = ask(Some(("none", "pw"))).await;
        assert_eq!(status == StatusCode::FORBIDDEN, !is_open, "none: {method} {path}");
        let is_for_admins =
            ["/users", "/backup", "/config", "/write"].iter().any(|part| path.contains(part));
        let status = ask(Some(("reader", "pw"))).await;
        // Those of the gateway are closed to strangers; tenants are the subject of its own tests.
        if path.starts_with("/kapacitor/") || path.starts_with("/api/v1/silences") {
            assert_eq!(status == StatusCode::FORBIDDEN, is_for_admins, "reader: {method} {path}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_the_old_one() {
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
}
