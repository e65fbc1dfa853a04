//! Against a mail server that speaks the protocol.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use levada_clients::smtp::{CONNECTIONS_MAX, Mail, Mailer, SmtpSettings};
use levada_model::{ErrorKind, Timestamp};
use levada_runtime::{SystemClock, TaskKind, Tasks, VirtualClock};
use levada_settings::Secret;
use levada_testkit::smtp::{SmtpOptions, SmtpServer};
use levada_testkit::wait;

const PATIENCE: Duration = Duration::from_secs(5);

fn settings(server: &SmtpServer) -> SmtpSettings {
    SmtpSettings {
        host: "localhost".to_owned(),
        port: server.port(),
        username: String::new(),
        password: Secret::new(String::new()),
        insecure_skip_verify: false,
        idle_timeout: Duration::from_secs(30),
        timeout: PATIENCE,
    }
}

fn mailer(settings: SmtpSettings) -> Mailer {
    Mailer::new(settings, SystemClock::new(), Tasks::new())
}

fn mail(subject: &str) -> Mail {
    Mail {
        from: "Wächter <alerts@example.org>".to_owned(),
        to: vec!["a@example.org".to_owned(), "b@example.org".to_owned()],
        subject: subject.to_owned(),
        html: format!("<p>{subject}: 97 %</p>\n.\n..dots\nünïcode = fine\n"),
    }
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let server = SmtpServer::start(SmtpOptions::default());
    let mailer = mailer(settings(&server));
    let long = format!("cpu auf „db‑1“ ist CRITICAL {}", "sehr lang ".repeat(30).trim());
    for subject in ["cpu:host=a is CRITICAL", &long] {
        mailer.send(&mail(subject)).await.unwrap();
        let received = server.mails().pop().unwrap();
        assert_eq!(received.from, "alerts@example.org");
        assert_eq!(received.to, ["a@example.org", "b@example.org"]);
        assert_eq!(received.header("Subject").unwrap(), subject);
        assert_eq!(received.header("From").unwrap(), "Wächter <alerts@example.org>");
        assert_eq!(received.header("To").unwrap(), "a@example.org, b@example.org");
        assert_eq!(received.header("Content-Type").unwrap(), "text/html; charset=utf-8");
        let body = received.body().replace("\r\n", "\n");
        assert_eq!(body.strip_suffix('\n'), Some(&*mail(subject).html), "and the end of the mail");
        assert!(received.text.lines().all(|line| line.len() <= 998 && line.is_ascii()));
        assert!(!received.was_encrypted && received.login.is_none());
    }
    assert_eq!(server.connections(), 1, "the second mail goes over the same connection");
}

#[tokio::test]
async fn encryption_is_used_when_it_is_offered() {
    let options = SmtpOptions { starttls: true, ..SmtpOptions::default() };
    let server = SmtpServer::start(options);
    let error = mailer(settings(&server)).send(&mail("x")).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("does not speak TLS") && text.contains("certificate"), "{text}");
    assert!(server.mails().is_empty(), "nothing is sent to a server that nobody vouches for");
    let trusting = SmtpSettings { insecure_skip_verify: true, ..settings(&server) };
    mailer(trusting).send(&mail("x")).await.unwrap();
    assert!(server.mails()[0].was_encrypted);
}

#[tokio::test]
async fn logins_go_by_what_the_server_offers() {
    let login = |auth: &[&'static str], auth_needs_tls| SmtpOptions {
        starttls: true,
        auth: auth.to_vec(),
        auth_needs_tls,
        login: Some(("u", "p ä")),
    };
    for (options, expected) in [
        (login(&["PLAIN", "LOGIN"], false), Ok("PLAIN u p ä")),
        (login(&["LOGIN"], true), Ok("LOGIN u p ä")),
        (SmtpOptions { starttls: false, ..login(&["PLAIN"], false) }, Ok("PLAIN u p ä")),
        (login(&["GSSAPI"], false), Err("530")),
        (login(&[], false), Err("530")),
    ] {
        let server = SmtpServer::start(options.clone());
        let settings = SmtpSettings {
            username: "u".to_owned(),
            password: Secret::new("p ä".to_owned()),
            insecure_skip_verify: true,
            ..settings(&server)
        };
        let sent = mailer(settings.clone()).send(&mail("x")).await;
        match expected {
            Ok(login) => {
                sent.unwrap();
                assert_eq!(server.mails()[0].login.as_deref(), Some(login));
            }
            Err(code) => {
                let error = sent.unwrap_err();
                assert!(error.to_string().contains(code), "{error}");
                assert!(!error.is_transient());
            }
        }
        if expected.is_ok() {
            let wrong = SmtpSettings { password: Secret::new("s3cret".to_owned()), ..settings };
            let error = mailer(wrong).send(&mail("x")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthorized);
            assert!(!format!("{error:?}").contains("s3cret"));
        }
    }
}

#[tokio::test]
async fn answers_of_the_server_say_whether_it_may_work_later() {
    let server = SmtpServer::start(SmtpOptions::default());
    let mailer = mailer(settings(&server));
    for (command, line, is_transient) in [
        ("RCPT", "451 4.7.1 greylisted", true),
        ("RCPT", "550 5.1.1 no such user", false),
        ("MAIL", "421 closing", true),
        (".", "552 5.2.2 mailbox full", false),
        (".", "452 4.3.1 disk full", true),
    ] {
        server.answer_next(command, line);
        let error = mailer.send(&mail("x")).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("did not take the mail") && text.contains(&line[4..]), "{text}");
        assert_eq!(error.is_transient(), is_transient, "{line}");
    }
    mailer.send(&mail("again")).await.unwrap();
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn a_connection_that_was_lost_while_it_waited_costs_no_mail() {
    let server = SmtpServer::start(SmtpOptions::default());
    let mailer = mailer(settings(&server));
    mailer.send(&mail("1")).await.unwrap();
    server.cut();
    mailer.send(&mail("2")).await.unwrap();
    assert_eq!((server.mails().len(), server.connections()), (2, 2));
    drop(server);
    let error = mailer.send(&mail("3")).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("cannot be reached"), "{error}");
}

#[tokio::test]
async fn connections_are_closed_when_they_have_waited_for_long() {
    let server = SmtpServer::start(SmtpOptions::default());
    let clock = VirtualClock::new(Timestamp(0));
    let mailer = Mailer::new(settings(&server), clock.clone(), Tasks::new());
    mailer.send(&mail("1")).await.unwrap();
    // A connection that is used begins to wait anew.
    clock.advance(Duration::from_secs(20));
    mailer.send(&mail("2")).await.unwrap();
    clock.advance(Duration::from_secs(29));
    tokio::task::yield_now().await;
    assert_eq!((server.connections(), server.open_connections()), (1, 1));
    let mut is_closed = || {
        clock.advance(Duration::from_secs(1));
        server.open_connections() == 0
    };
    wait::until_async("the connection is closed", PATIENCE, &mut is_closed).await;
    assert_eq!(server.commands().last().unwrap(), "QUIT");
    mailer.send(&mail("3")).await.unwrap();
    assert_eq!(server.connections(), 2);
    wait::until_async("the next one is closed, too", PATIENCE, &mut is_closed).await;
    let at_once = SmtpSettings { idle_timeout: Duration::ZERO, ..settings(&server) };
    let mailer = Mailer::new(at_once, clock.clone(), Tasks::new());
    mailer.send(&mail("4")).await.unwrap();
    wait::until_async("it is closed at once", PATIENCE, || server.open_connections() == 0).await;
}

#[tokio::test]
async fn a_server_that_hangs_costs_no_more_than_the_time_out() {
    let server = SmtpServer::start(SmtpOptions::default());
    let timeout = Duration::from_millis(100);
    let mailer = mailer(SmtpSettings { timeout, ..settings(&server) });
    server.hold(true);
    let error = mailer.send(&mail("x")).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("did not take the mail within 100ms"), "{error}");
    server.hold(false);
    mailer.send(&mail("x")).await.unwrap();
}

#[tokio::test]
async fn so_many_mails_go_over_so_many_connections() {
    const COUNT: usize = CONNECTIONS_MAX * 3;
    let server = SmtpServer::start(SmtpOptions::default());
    let mailer = mailer(settings(&server));
    server.hold(true);
    let tasks = Tasks::new();
    let sends: Vec<_> = (0..COUNT)
        .map(|index| {
            let mailer = mailer.clone();
            let send = async move { mailer.send(&mail(&index.to_string())).await };
            tasks.spawn(TaskKind::Alert, "send", send)
        })
        .collect();
    let is_full = || server.connections() == CONNECTIONS_MAX;
    wait::until_async("some are connected", PATIENCE, is_full).await;
    server.hold(false);
    for send in sends {
        send.await.unwrap().unwrap();
    }
    assert_eq!((server.mails().len(), server.connections()), (COUNT, CONNECTIONS_MAX));
}
