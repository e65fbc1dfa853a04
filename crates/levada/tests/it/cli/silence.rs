//! `levada silence` against a server.

use super::binary::Folder;
use crate::serving::Serving;

#[test]
fn silences_are_made_listed_and_ended() {
    let server = Serving::new();
    let mut folder = Folder::new();
    folder.variable("LEVADA_CLIENT_SERVER", &server.url());
    let silence = |words: &[&str]| {
        let mut all = vec!["silence"];
        all.extend(words);
        folder.run(&all)
    };
    let words = ["add", "tag.host=db1", "level!=CRITICAL", "--for", "2h", "--author", "ann"];
    let made = silence(&words).ends(0);
    let id = made.text().trim_end().to_owned();
    let listed = silence(&["list", "--state", "active", "-o", "json"]).ends(0).json();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], id.as_str());
    assert_eq!(listed[0]["author"], "ann");
    assert_eq!(listed[0]["matchers"], serde_json::json!(["tag.host=db1", "level!=CRITICAL"]));
    let table = silence(&["list"]).ends(0);
    let [head, row] = table.lines()[..] else { panic!("{}", table.text()) };
    assert!(head.starts_with("ID ") && row.starts_with(&id), "{head}\n{row}");

    let wrong = silence(&["add", "host=db1", "--end", "2100-01-01T00:00:00Z"]).ends(1);
    assert!(wrong.stderr.starts_with("error: matchers[0]: unknown subject `host`"), "{wrong:?}");
    silence(&["add", "tag.host=db1"]).ends(2);
    silence(&["add", "tag.host=db1", "--for", "1h", "--end", "2100-01-01T00:00:00Z"]).ends(2);

    let ended = silence(&["remove", &id, "none", "--output", "json"]).ends(1);
    assert_eq!(ended.json()[0]["state"], "expired");
    assert_eq!(ended.stderr, "error: unknown silence: \"none\"\n");
    assert!(silence(&["list", "--state", "active", "-o", "json"]).ends(0).json().is_empty());
    server.stop();
}
