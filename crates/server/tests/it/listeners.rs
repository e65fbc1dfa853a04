//! Several listeners: what each answers, to whom, with TLS or without.

use std::net::TcpListener;

use levada_server::flows::Host;
use levada_server::serve::{Server, ServerDeps};
use reqwest::{Certificate, Client, Method};

use crate::started::{Started, log, run};

/// A free port of this machine; nobody else is given it soon.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn status(client: &Client, method: Method, url: &str) -> u16 {
    client.request(method, url).send().await.unwrap().status().as_u16()
}

#[test]
fn each_listener_has_dialects_and_authentication_of_its_own() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let (own, points) = (free_port(), free_port());
        let settings = [
            "auth.enabled=true".to_owned(),
            "auth.admin-password=pw".to_owned(),
            "auth.bcrypt-cost=4".to_owned(),
            format!("http.listeners.own.listen=127.0.0.1:{own}"),
            "http.listeners.own.dialects=levada".to_owned(),
            "http.listeners.own.auth=none".to_owned(),
            format!("http.listeners.points.listen=127.0.0.1:{points}"),
            "http.listeners.points.dialects=kapacitor".to_owned(),
            "http.listeners.points.points-bytes=10B".to_owned(),
        ];
        let settings: Vec<&str> = settings.iter().map(|setting| &**setting).collect();
        let server = Started::new(data.path(), &settings).await;
        let client = Client::new();
        let (own, points) =
            (format!("http://127.0.0.1:{own}"), format!("http://127.0.0.1:{points}"));
        // Which address, which path, what nobody is answered.
        for (base, path, expected) in [
            (&server.url, "/metrics", 401),
            (&server.url, "/kapacitor/v1/tasks", 401),
            (&server.url, "/kapacitor/v1/users", 401),
            (&own, "/metrics", 200),
            (&own, "/health", 200),
            (&own, "/api/v1/silences", 200),
            (&own, "/kapacitor/v1/tasks", 404),
            (&own, "/kapacitor/v1/users", 404),
            (&points, "/metrics", 404),
            (&points, "/health", 404),
            (&points, "/kapacitor/v1/tasks", 401),
            (&points, "/kapacitor/v1/users", 401),
        ] {
            let found = status(&client, Method::GET, &format!("{base}{path}")).await;
            assert_eq!(found, expected, "{base}{path}");
        }
        for (base, expected) in [(&server.url, 204), (&points, 413)] {
            let write = client.post(format!("{base}/write?db=d&u=admin&p=pw"));
            let found = write.body("cpu value=1 1000").send().await.unwrap();
            assert_eq!(found.status().as_u16(), expected, "{base}");
        }
        let metrics =
            client.get(format!("{own}/metrics")).send().await.unwrap().text().await.unwrap();
        for name in [
            "levada_store_waiting_changes 0",
            "levada_store_waiting_bytes 0",
            "levada_store_waits_total 0",
            "levada_log_lines_lost_total ",
        ] {
            assert!(metrics.contains(name), "{name}");
        }
        server.stop().await;
    });
}

#[test]
fn a_listener_that_cannot_be_stops_the_start_before_anybody_comes_in() {
    // What a start has begun goes on until the process ends.
    run(refused_starts());
}

async fn refused_starts() {
    let port = free_port();
    let open = format!("http.listeners.open.listen=0.0.0.0:{port}");
    for (settings, expected) in [
        (
            vec![
                "http.listeners.x.listen=127.0.0.1:0",
                "http.listeners.x.dialects=kapacitor, graphite",
            ],
            "setting `http.listeners.x.dialects`: there is no dialect \"graphite\"; known: kapacitor, levada, gateway, influx",
        ),
        (vec![&open], "set `http.listeners.open.allow-anyone = true`"),
        (
            vec![
                &open,
                "auth.enabled=true",
                "auth.admin-password=pw",
                "http.listeners.open.auth=none",
            ],
            "set `http.listeners.open.allow-anyone = true`",
        ),
        (
            vec!["http.tls-certificate=/nowhere.pem"],
            "TLS cannot be offered (settings `http.tls-certificate`, `http.tls-key`): cannot read `/nowhere.pem`",
        ),
    ] {
        let data = tempfile::tempdir().unwrap();
        let mut loader = levada_settings::Loader::new()
            .flag("--data", "data.dir", &data.path().to_string_lossy())
            .flag("--listen", "http.listen", "127.0.0.1:0");
        for assignment in &settings {
            loader = loader.assignment("--set", assignment);
        }
        let host = Host::new(loader.load().unwrap().settings).unwrap();
        let (_handle, shutdown) = levada_runtime::ShutdownHandle::new();
        let error = Server::start(ServerDeps { host, log: log(), shutdown, flows: Vec::new() })
            .await
            .err()
            .unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_listener_with_a_certificate_takes_tls_only() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (data.path().join("cert.pem"), data.path().join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let plain = free_port();
        let settings = [
            format!("http.tls-certificate={}", certificate.display()),
            format!("http.tls-key={}", key.display()),
            format!("http.listeners.plain.listen=127.0.0.1:{plain}"),
        ];
        let settings: Vec<&str> = settings.iter().map(|setting| &**setting).collect();
        let server = Started::new(&data.path().join("data"), &settings).await;
        let port = server.server().addresses()[0].port();
        let trusted = Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
        let client = Client::builder().tls_certs_only([trusted]).build().unwrap();
        let url = format!("https://localhost:{port}/kapacitor/v1/ping");
        assert_eq!(status(&client, Method::GET, &url).await, 204);
        // Who does not know the certificate does not believe it, and without TLS there is no answer.
        assert!(Client::new().get(&url).send().await.is_err());
        let url = format!("http://localhost:{port}/kapacitor/v1/ping");
        assert!(Client::new().get(&url).send().await.is_err());
        // The other listener has none.
        let url = format!("http://127.0.0.1:{plain}/kapacitor/v1/ping");
        assert_eq!(status(&Client::new(), Method::GET, &url).await, 204);
        server.stop().await;
    });
}
