use levada_testkit::smtp::{SmtpOptions, SmtpServer};

use super::*;

fn section(server: &SmtpServer, more: Value) -> Value {
    let mut section = json!({
        "enabled": true, "host": "localhost", "port": server.port(), "from": "alerts@example.org",
    });
    section.as_object_mut().unwrap().extend(options(more));
    section
}

fn mail_event() -> Event {
    Event {
        message: "cpu is CRITICAL <ä>".into(),
        details: Details::from("<h1>cpu</h1>\n<p>61&nbsp;%</p>"),
        ..one()
    }
}

#[tokio::test]
async fn a_mail_says_message_and_details() {
    let server = SmtpServer::start(SmtpOptions {
        starttls: true,
        auth: vec!["PLAIN"],
        auth_needs_tls: true,
        login: Some(("u", "p")),
    });
    let login = json!({"username": "u", "password": "p", "no-verify": true});
    let services = MemoryServices::with("smtp", section(&server, login));
    let handler =
        handler("smtp", json!({"to": ["a@example.org", "B <b@example.org>"]}), &deps(&services));
    handler.handle(&mail_event()).await.unwrap();
    let mail = server.mails().pop().unwrap();
    assert_eq!(
        (&*mail.from, &*mail.to.join(" ")),
        ("alerts@example.org", "a@example.org b@example.org")
    );
    assert_eq!(mail.header("From").unwrap(), "alerts@example.org");
    assert_eq!(mail.header("To").unwrap(), "a@example.org, B <b@example.org>");
    assert_eq!(mail.header("Subject").unwrap(), "cpu is CRITICAL <ä>");
    assert_eq!(mail.header("Content-Type").unwrap(), "text/html; charset=utf-8");
    assert_eq!(mail.body().replace("\r\n", "\n").trim_end(), "<h1>cpu</h1>\n<p>61&nbsp;%</p>");
    assert_eq!((mail.was_encrypted, mail.login.as_deref()), (true, Some("PLAIN u p")));
}

#[tokio::test]
async fn recipients_of_the_handler_go_over_those_of_the_settings() {
    let server = SmtpServer::start(SmtpOptions::default());
    let of_section =
        json!({"to": ["s@example.org"], "toTemplates": ["{{ .TaskName }}@example.org"]});
    let services = MemoryServices::with("smtp", section(&server, of_section));
    let deps = deps(&services);
    let host = "{{ index .Tags \"host\" }}@example.org";
    for (value, expected) in [
        (json!({}), "s@example.org tid@example.org"),
        (json!({"to": ["h@example.org"]}), "h@example.org"),
        (json!({"to-field": [host]}), "a@example.org"),
        (json!({"to": ["h@example.org"], "to-field": [host]}), "h@example.org a@example.org"),
        // A template that gives nothing names nobody.
        (json!({"to": ["h@example.org"], "to-field": ["{{ .Category }}"]}), "h@example.org"),
    ] {
        handler("smtp", value.clone(), &deps).handle(&one()).await.unwrap();
        assert_eq!(server.mails().pop().unwrap().to.join(" "), expected, "{value}");
    }
    assert_eq!(server.connections(), 1, "all handlers share a connection");
    let nobody = handler("smtp", json!({"to-field": ["{{ .Category }}"]}), &deps);
    let expected = "no recipients: a mail needs at least one";
    assert_eq!(failure(&nobody, &one()).await, (expected.to_owned(), false));
    let wrong = handler("smtp", json!({"to": ["nobody"]}), &deps);
    let (text, may_help) = failure(&wrong, &one()).await;
    assert!(text.starts_with("invalid recipient address \"nobody\"") && !may_help, "{text}");
    services.set("smtp", section(&server, json!({"from": ""})));
    let (text, _) = failure(&handler("smtp", json!({"to": ["a@b"]}), &deps), &one()).await;
    assert_eq!(text, "no sender: `from` is not set");
}

#[tokio::test]
async fn changed_settings_mean_a_new_connection() {
    let (first, second) =
        (SmtpServer::start(SmtpOptions::default()), SmtpServer::start(SmtpOptions::default()));
    let services = MemoryServices::with("smtp", section(&first, json!({})));
    let handler = handler("smtp", json!({"to": ["a@example.org"]}), &deps(&services));
    handler.handle(&one()).await.unwrap();
    services.set("smtp", section(&second, json!({})));
    handler.handle(&one()).await.unwrap();
    assert_eq!((first.mails().len(), second.mails().len()), (1, 1));
    let gone = || first.open_connections() == 0;
    levada_testkit::wait::until_async("the first is left", Duration::from_secs(5), gone).await;
}

#[tokio::test]
async fn errors_say_whether_trying_again_may_help() {
    let server = SmtpServer::start(SmtpOptions::default());
    let services = MemoryServices::with("smtp", section(&server, json!({})));
    let handler = handler("smtp", json!({"to": ["a@example.org"]}), &deps(&services));
    server.answer_next("RCPT", "450 4.2.1 later");
    let (text, may_help) = failure(&handler, &one()).await;
    assert!(text.contains("later") && may_help, "{text}");
    server.answer_next("RCPT", "550 5.1.1 never");
    let (text, may_help) = failure(&handler, &one()).await;
    assert!(text.contains("never") && !may_help, "{text}");
    drop(server);
    let (text, may_help) = failure(&handler, &one()).await;
    assert!(text.contains("cannot be reached") && may_help, "{text}");
}

#[tokio::test]
async fn the_service_can_be_tried_out() {
    let server = SmtpServer::start(SmtpOptions::default());
    let services = MemoryServices::with("smtp", section(&server, json!({"to": ["s@example.org"]})));
    tried("smtp", json!({}), &deps(&services)).await.unwrap();
    let more = json!({"to": ["t@example.org"], "subject": "S", "body": "<b>B</b>"});
    tried("smtp", more, &deps(&services)).await.unwrap();
    let mails = server.mails();
    let said = |n: usize| {
        let mail = &mails[n];
        (mail.to.join(" "), mail.header("Subject").unwrap(), mail.body().trim_end().to_owned())
    };
    assert_eq!(said(0), ("s@example.org".into(), "test subject".into(), "test body".into()));
    assert_eq!(said(1), ("t@example.org".into(), "S".into(), "<b>B</b>".into()));
    services.set("smtp", json!({}));
    let error = tried("smtp", json!({}), &deps(&services)).await.unwrap_err();
    assert_eq!(error.message, NOT_ENABLED);
}
