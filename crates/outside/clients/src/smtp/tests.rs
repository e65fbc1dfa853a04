use super::*;

fn mail(from: &str, to: &[&str]) -> Mail {
    Mail {
        from: from.to_owned(),
        to: to.iter().map(|&text| text.to_owned()).collect(),
        subject: "s".to_owned(),
        html: "<b>x</b>".to_owned(),
    }
}

#[test]
fn a_mail_as_it_goes_over_the_wire() {
    let mut mail = mail("Alerts <alerts@example.org>", &["a@example.org", "B <b@example.org>"]);
    mail.subject = "cpu is CRITICAL\r\nBcc: evil@example.org".to_owned();
    let (envelope, text) = mail.format().unwrap();
    let to: Vec<String> = envelope.to().iter().map(ToString::to_string).collect();
    assert_eq!(envelope.from().unwrap().to_string(), "alerts@example.org");
    assert_eq!(to, ["a@example.org", "b@example.org"], "the subject adds nobody");
    let text = String::from_utf8(text).unwrap();
    let (headers, body) = text.split_once("\r\n\r\n").unwrap();
    let mut kept: Vec<&str> = headers.split("\r\n").collect();
    assert!(kept.iter().any(|line| line.starts_with("Message-ID: <")), "{headers}");
    assert!(kept.iter().any(|line| line.starts_with("Date: ")), "{headers}");
    kept.retain(|line| !line.starts_with("Message-ID: ") && !line.starts_with("Date: "));
    kept.sort_unstable();
    assert_eq!(
        kept,
        [
            "Content-Transfer-Encoding: 7bit",
            "Content-Type: text/html; charset=utf-8",
            "From: Alerts <alerts@example.org>",
            "MIME-Version: 1.0",
            "Subject: cpu is CRITICAL  Bcc: evil@example.org",
            "To: a@example.org, B <b@example.org>",
        ]
    );
    assert_eq!(body, "<b>x</b>\r\n");
}

#[test]
fn a_mail_that_cannot_be_sent_is_invalid() {
    let many: Vec<String> = (0..=RECIPIENTS_MAX).map(|n| format!("u{n}@example.org")).collect();
    let many: Vec<&str> = many.iter().map(|text| &**text).collect();
    assert!(mail("a@b", &many[1..]).format().is_ok(), "as many as may be");
    for (mail, expected) in [
        (mail("a@b", &[]), "a mail needs recipients"),
        (mail("", &["a@b"]), "invalid sender address \"\": "),
        (mail("a@b", &["a@b", "nobody"]), "invalid recipient address \"nobody\": "),
        (mail("a@b", &["a@b>\r\nRCPT TO:<c@d"]), "invalid recipient address "),
        (mail("a@b", &many), "a mail for 101 recipients; at most 100"),
    ] {
        let error = mail.format().unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
