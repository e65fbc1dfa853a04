use super::client::retry_after;
use super::*;
use levada_model::Timestamp;
use std::time::Duration;

/// Configured URL, token beside it, what a write goes to, the token that is known. Source: dataway reference §1.5.
const URLS: &[(&str, &str, &str, &str)] = &[
    (
        "https://openway.example.com?token=tkn_x",
        "",
        "https://openway.example.com/v1/write/metric?token=tkn_x",
        "tkn_x",
    ),
    // A path and credentials are kept here.
    (
        "https://h:9528/some/path?b=2&token=t&a=1",
        "",
        "https://h:9528/some/path/v1/write/metric?a=1&b=2&token=t",
        "t",
    ),
    ("http://u:p@h?token=x", "", "http://u:p@h/v1/write/metric?token=x", "x"),
    ("http://h", "", "http://h/v1/write/metric", ""),
    ("HTTP://H?token=x", "", "http://h/v1/write/metric?token=x", "x"),
    ("http://h?token=a&token=b", "", "http://h/v1/write/metric?token=a&token=b", "a"),
    ("http://h/?token=a+b%2Fc", "", "http://h/v1/write/metric?token=a+b%2Fc", "a b/c"),
    ("http://h?token=x#frag", "", "http://h/v1/write/metric?token=x%23frag", "x#frag"),
    ("http://h?token", "", "http://h/v1/write/metric?token=", ""),
    ("http://h?x=;y&token=t", "", "http://h/v1/write/metric?token=t", "t"),
    // The token of the settings counts when the URL has none (B14).
    ("http://h", "field", "http://h/v1/write/metric?token=field", "field"),
    ("http://h?token=url", "field", "http://h/v1/write/metric?token=url", "url"),
];

#[test]
fn urls_become_addresses() {
    for (text, token, url, known) in URLS {
        let endpoint = Endpoint::parse(text, Some(token)).unwrap();
        assert_eq!(endpoint.url("/v1/write/metric", &[]).as_str(), *url, "{text}");
        assert_eq!(endpoint.token(), *known, "{text}");
    }
}

#[test]
fn parameters_are_added_with_or_without_a_query() {
    // Source: B7, B8.
    let pull = |text: &str| {
        let endpoint = Endpoint::parse(text, None).unwrap();
        endpoint.url("/v1/datakit/pull", &[("filters", "true"), ("id", "a b&c")]).to_string()
    };
    assert_eq!(pull("http://h"), "http://h/v1/datakit/pull?filters=true&id=a+b%26c");
    assert_eq!(
        pull("http://h?token=t&a=1"),
        "http://h/v1/datakit/pull?a=1&token=t&filters=true&id=a+b%26c"
    );
}

#[test]
fn what_is_no_endpoint_is_refused_in_the_words_of_upstream() {
    for (text, error) in [
        ("h:9528", "not supported scheme \"h\""),
        ("//host?token=x", "not supported scheme \"\""),
        ("ftp://h", "not supported scheme \"ftp\""),
        ("localhost", "parse \"localhost\": invalid URI for request"),
        (
            "https//openway.example.com?token=x",
            "parse \"https//openway.example.com\": invalid URI for request",
        ),
    ] {
        let refused = Endpoint::parse(text, None).unwrap_err().to_string();
        assert_eq!(refused, error, "{text}");
    }
}

#[test]
fn tokens_are_checked() {
    let body = "0123456789abcdef0123456789abcdef";
    let length = |expected, actual| Err(TokenError::Length { expected, actual });
    for (token, expected) in [
        (format!("tkn_{body}"), Ok(())),
        (format!("token_{body}"), Ok(())),
        (format!("tokn_{}", &body[..24]), Ok(())),
        (format!("token_{}", &body[..31]), length(38, 37)),
        (format!("tkn_{}", &body[..31]), length(36, 35)),
        (format!("tokn_{}", &body[..22]), length(29, 27)),
        ("abc_123".into(), Err(TokenError::Format)),
        ("a_b_c".into(), Err(TokenError::Format)),
        (format!("tkn_{}_", &body[..31]), Err(TokenError::Format)),
        ("token".into(), Err(TokenError::Format)),
        (String::new(), Err(TokenError::Empty)),
    ] {
        assert_eq!(check_token(&token), expected, "{token}");
    }
    let text = TokenError::Length { expected: 38, actual: 37 }.to_string();
    assert_eq!(text, "invalid token format, expect token length 38, but got 37");
}

#[test]
fn waits_are_seconds_or_dates() {
    let now = Timestamp(1_445_412_480 * 1_000_000_000);
    for (text, seconds) in [
        ("5", Some(5)),
        ("99999999", Some(3_600)),
        ("Wed, 21 Oct 2015 07:28:30 GMT", Some(30)),
        ("Wed, 21 Oct 2015 07:27:30 GMT", Some(0)),
        ("soon", None),
        ("-1", None),
    ] {
        assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
    }
}

#[test]
fn no_message_shows_a_token() {
    let endpoint = Endpoint::parse("http://u:secret@h/p?token=tkn_secret", None).unwrap();
    assert_eq!(format!("{endpoint:?} {}", endpoint.shown()), "Endpoint(\"http://h\") http://h");
    let refused = Endpoint::parse("nothing?token=tkn_secret", None).unwrap_err().to_string();
    assert!(!refused.contains("secret"), "{refused}");
}

#[test]
fn package_ids_are_unique_and_sorted_by_time() {
    let ids = PackageIds::new(0x1234_5678_9abc_def0);
    let some: Vec<String> = (0..1_000).map(|_| ids.next(1_700_000_000)).collect();
    let unique: std::collections::HashSet<&String> = some.iter().collect();
    assert_eq!(unique.len(), some.len());
    assert!(some.iter().all(|id| id.len() == 23 && id.starts_with("dk_")));
    assert!(ids.next(1_700_000_001) > some[0]);
}
