use levada_testkit::fake_http::{FakeServer, Reply};

use super::*;

fn request(url: &str) -> PostRequest {
    PostRequest {
        url: url.to_owned(),
        headers: vec![("X-One".into(), "1".into()), ("x-one".into(), "2".into())],
        body: b"body".to_vec(),
        timeout: Duration::from_secs(5),
        answer_bytes_max: 4,
    }
}

#[tokio::test]
async fn every_status_is_an_answer_and_bodies_are_cut() {
    let server = FakeServer::start(|request| {
        assert_eq!((request.header("x-one"), &*request.body), (Some("2"), &b"body"[..]));
        Reply::new(503, "more than four")
    });
    let poster = Poster::new(&TlsOptions::default()).await.unwrap();
    let answer = poster.post(request(&server.url("/"))).await.unwrap();
    assert_eq!(answer, PostAnswer { status: 503, body: b"more".to_vec() });
}

#[tokio::test]
async fn what_cannot_be_sent_is_told_without_secrets() {
    let poster = Poster::new(&TlsOptions::default()).await.unwrap();
    for (url, text) in [
        ("ftp://ann:pw@host/x?token=1", "`ftp://***@host/x` must begin with http:// or https://"),
        ("", "`` is not a URL: relative URL without a base"),
    ] {
        let error = poster.post(request(url)).await.unwrap_err();
        assert_eq!((error.to_string(), error.kind()), (text.into(), ErrorKind::Invalid));
    }
    let error = poster.post(request("http://ann:pw@127.0.0.1:1/x?token=1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.starts_with("`http://127.0.0.1:1/x` cannot be reached"), "{text}");
    let mut wrong = request("http://127.0.0.1:1/");
    wrong.headers.push(("a b".into(), "x".into()));
    let error = poster.post(wrong).await.unwrap_err();
    assert_eq!(error.to_string(), "the header `a b` has a wrong name");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left() {
    let server = FakeServer::start(|_| {
        std::thread::sleep(Duration::from_millis(400));
        Reply::new(200, "")
    });
    let poster = Poster::new(&TlsOptions::default()).await.unwrap();
    let late = PostRequest { timeout: Duration::from_millis(50), ..request(&server.url("/")) };
    let error = poster.post(late).await.unwrap_err();
    assert!(error.to_string().contains("did not answer in time"), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn half_a_client_certificate_is_refused() {
    let tls = TlsOptions { cert_file: "a.pem".into(), ..TlsOptions::default() };
    assert!(Poster::new(&tls).await.unwrap_err().to_string().contains("needs both"));
    let tls = TlsOptions { ca_file: "nowhere/a.pem".into(), ..TlsOptions::default() };
    assert!(Poster::new(&tls).await.unwrap_err().to_string().starts_with("cannot read"));
}
