use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bytes::Bytes;
use levada_model::{ErrorKind, Timestamp};
use levada_testkit::fake_http::{FakeServer, Reply};
use levada_testkit::proxy::{Link, Proxy};

use super::*;
use crate::writer::{Writer, WriterOptions};

/// Names that a test changes.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>);

#[async_trait]
impl Names for Told {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let known = self.0.lock().unwrap().get(host).cloned();
        known.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, host.to_owned()))
    }
}

impl Told {
    fn tell(&self, host: &str, address: [u8; 4]) {
        let address = IpAddr::V4(Ipv4Addr::from(address));
        self.0.lock().unwrap().insert(host.to_owned(), vec![address]);
    }
}

/// What a watch has heard, in words.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl NetWatch for Heard {
    fn looked_up(&self, _: Duration) {
        self.0.lock().unwrap().push("looked up".into());
    }
    fn connected(&self, _: Duration) {
        self.0.lock().unwrap().push("connected".into());
    }
    fn secured(&self, took: Duration) {
        let is_short = took < Duration::from_millis(80);
        let took = if is_short { "at once" } else { "after 80 ms" };
        self.0.lock().unwrap().push(format!("secured {took}"));
    }
    fn answered(&self, remote: Option<SocketAddr>, _: Duration, idle: Option<Duration>) {
        let again = if idle.is_some() { " again" } else { "" };
        self.0.lock().unwrap().push(format!("answered by {}{again}", remote.unwrap().ip()));
    }
    fn watched(&self, domain: &str, _: Duration, is_found: bool, has_moved: bool) {
        self.0.lock().unwrap().push(format!("watched {domain}: {is_found} {has_moved}"));
    }
}

async fn writer(url: String, net: Net, timeout: Duration) -> Writer {
    Writer::new(WriterOptions { url, net, timeout, ..WriterOptions::default() }).await.unwrap()
}

async fn post(writer: &Writer) -> Result<u16, ClientError> {
    let answered = writer.post(Bytes::from_static(b"x"), &[], Timestamp(0)).await?;
    Ok(answered.reply.status)
}

const SECONDS: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_name_that_moves_is_followed_and_connections_end() {
    let first = FakeServer::start(|_| Reply::new(201, ""));
    let port = first.address().split_once(':').unwrap().1.to_owned();
    let second = FakeServer::start_at(&format!("127.0.0.2:{port}"), |_| Reply::new(202, ""));
    let (names, heard) = (Told::default(), Heard::default());
    names.tell("moving.test", [127, 0, 0, 1]);
    let net = Net {
        names: Arc::new(names.clone()),
        watch: Some(Arc::new(heard.clone())),
        ..Net::default()
    };
    let writer = writer(format!("http://moving.test:{port}/w"), net, SECONDS).await;
    writer.look_up().await;
    assert_eq!(post(&writer).await.unwrap(), 201);
    names.tell("moving.test", [127, 0, 0, 2]);
    assert_eq!(post(&writer).await.unwrap(), 201, "the connection that is open is used");
    writer.look_up().await;
    assert_eq!(post(&writer).await.unwrap(), 202);
    // What is not known for a while changes nothing.
    names.0.lock().unwrap().clear();
    writer.look_up().await;
    assert_eq!(post(&writer).await.unwrap(), 202);
    assert_eq!((first.requests(), second.requests()), (2, 2));
    assert_eq!(
        *heard.0.lock().unwrap(),
        [
            "watched moving.test: true false",
            "looked up",
            "connected",
            "answered by 127.0.0.1",
            "answered by 127.0.0.1 again",
            "watched moving.test: true true",
            "looked up",
            "connected",
            "answered by 127.0.0.2",
            "watched moving.test: false false",
            "answered by 127.0.0.2 again",
        ]
    );
}

#[tokio::test]
async fn an_address_has_no_name_to_look_up() {
    let server = FakeServer::start(|_| Reply::new(204, ""));
    let heard = Heard::default();
    let net = Net {
        names: Arc::new(Told::default()),
        watch: Some(Arc::new(heard.clone())),
        ..Net::default()
    };
    let writer = writer(server.url("/"), net, SECONDS).await;
    writer.look_up().await;
    assert_eq!(post(&writer).await.unwrap(), 204);
    assert_eq!(*heard.0.lock().unwrap(), ["connected", "answered by 127.0.0.1"]);
}

#[tokio::test]
async fn a_peer_that_is_gone_without_a_word_costs_one_timeout() {
    let server = FakeServer::start(|_| Reply::new(204, ""));
    let proxy = Proxy::start(&server.address());
    let timeout = Duration::from_millis(200);
    let writer = writer(format!("http://{}", proxy.address()), Net::default(), timeout).await;
    assert_eq!(post(&writer).await.unwrap(), 204);
    proxy.set(Link::Hold);
    let error = post(&writer).await.unwrap_err();
    assert!(error.is_timeout() && error.kind() == ErrorKind::Unavailable, "{error:?}");
    // The connection that hangs is not used again.
    proxy.set(Link::Forward);
    let before = proxy.accepted();
    assert_eq!(post(&writer).await.unwrap(), 204);
    assert_eq!(proxy.accepted(), before + 1);
}

/// Answers TLS connections with `204` and a certificate that is good until a year.
async fn tls_server(
    port: u16,
    authority: &rcgen::Issuer<'_, rcgen::KeyPair>,
    until: i32,
) -> (u16, tokio::task::JoinHandle<()>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not believe us goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).await.is_ok() {
                let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
                let _sent =
                    stream.write_all(answer).await.is_ok() && stream.shutdown().await.is_ok();
            }
        }
    };
    let tasks = levada_runtime::Tasks::new();
    (port, tasks.spawn(levada_runtime::TaskKind::Http, "TLS of a test", serve))
}

#[tokio::test]
async fn a_certificate_that_is_over_is_not_believed_until_it_is_renewed() {
    let (authority, pem) = authority();
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, pem).unwrap();
    let (port, over) = tls_server(0, &authority, 2001).await;
    let writer = Writer::new(WriterOptions {
        url: format!("https://localhost:{port}"),
        tls: TlsOptions { ca_file, ..TlsOptions::default() },
        timeout: SECONDS,
        ..WriterOptions::default()
    });
    let writer = writer.await.unwrap();
    let error = post(&writer).await.unwrap_err();
    let text = format!("{error:?}").to_lowercase();
    assert!(text.contains("expired"), "{text}");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "the body is not to blame: it waits");
    over.abort();
    assert!(over.await.is_err());
    let (_, renewed) = tls_server(port, &authority, 2090).await;
    assert_eq!(post(&writer).await.unwrap(), 204);
    renewed.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_are_measured_by_themselves() {
    let (authority, pem) = authority();
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, pem).unwrap();
    let (port, server) = tls_server(0, &authority, 2090).await;
    // What comes from the server is late: that of the handshake, too, but not the connection itself.
    let slow = Proxy::start(&format!("127.0.0.1:{port}"));
    slow.set(Link::Delay(Duration::from_millis(100)));
    let slow_port = slow.address().rsplit(':').next().unwrap().parse().unwrap();
    for (port, expected) in [
        (port, ["secured at once", "connected"]),
        (slow_port, ["secured after 80 ms", "connected"]),
    ] {
        let heard = Heard::default();
        let writer = Writer::new(WriterOptions {
            url: format!("https://localhost:{port}"),
            tls: TlsOptions { ca_file: ca_file.clone(), ..TlsOptions::default() },
            net: Net { watch: Some(Arc::new(heard.clone())), ..Net::default() },
            timeout: SECONDS,
            ..WriterOptions::default()
        });
        assert_eq!(post(&writer.await.unwrap()).await.unwrap(), 204);
        let heard = heard.0.lock().unwrap().clone();
        assert_eq!(heard[1..3], expected, "{heard:?}");
    }
    // Without TLS there is no handshake.
    let (heard, plain) = (Heard::default(), FakeServer::start(|_| Reply::new(204, "")));
    let net = Net { watch: Some(Arc::new(heard.clone())), ..Net::default() };
    assert_eq!(post(&writer(plain.url(""), net, SECONDS).await).await.unwrap(), 204);
    assert!(heard.0.lock().unwrap().iter().all(|one| !one.starts_with("secured")));
    server.abort();
}

/// Makes an authority, and gives what believes in it.
fn authority() -> (rcgen::Issuer<'static, rcgen::KeyPair>, String) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (rcgen::Issuer::new(params, key), pem)
}
