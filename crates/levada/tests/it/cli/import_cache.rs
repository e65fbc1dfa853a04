//! `levada import datakit-cache`: what waits in the disk caches of an original.

use std::fs;

use serde_json::json;

use super::binary::Folder;

/// A record of version 1.6: logs (8), line protocol (0).
fn record(lines: &str) -> Vec<u8> {
    let mut message = vec![0x08, 8, 0x10, 0, 0x1a, u8::try_from(lines.len()).unwrap()];
    message.extend_from_slice(lines.as_bytes());
    let mut all = u32::try_from(message.len()).unwrap().to_le_bytes().to_vec();
    all.extend(message);
    all
}

#[test]
fn what_waits_in_old_caches_waits_for_a_destination() {
    let folder = Folder::new();
    let cache = folder.path().join("cache/logging");
    fs::create_dir_all(&cache).unwrap();
    fs::write(cache.join("data"), [record("a f=1 1\nb f=2 2"), record("c f=3 3")].concat())
        .unwrap();
    let import = |more: &[&str]| {
        let urls = ["--set", "gateway.urls=http://127.0.0.1:1?token=t", "--output", "json"];
        let first = ["import", "datakit-cache", "cache", "--wrote"];
        folder.run(&[&first[..], more, &urls].concat())
    };
    let ran = import(&["1.6", "--destination", "nowhere"]).ends(1);
    let error = "error: there is no destination `nowhere`; there are: default\n";
    assert_eq!((ran.text(), ran.stderr.as_str()), ("", error));
    import(&["1.7"]).ends(2);
    let ran = import(&["1.6"]).ends(0);
    assert_eq!((&ran.json()[0]["bodies"], &ran.json()[0]["points"]), (&json!(2), &json!(3)));
    let ran = import(&["1.6"]).ends(0);
    assert_eq!(ran.json()[0]["bodies"], json!(0), "nothing is taken twice");
    // What is no record is told.
    fs::write(cache.join("data"), b"\x05\0\0\0xx").unwrap();
    let ran = import(&["1.6"]).ends(1);
    assert!(ran.stderr.contains("6 bytes are damaged"), "{}", ran.stderr);
}
