#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn parsed(json: &str) -> (Tree, Vec<u8>, NodeId) {
    let text = json.as_bytes().to_vec();
    let mut tree = Tree::default();
    let root = tree.parse(&text, 0, text.len() as u32).unwrap();
    (tree, text, root)
}

fn printed(tree: &Tree, text: &[u8], root: NodeId) -> String {
    let mut out = Vec::new();
    tree.print(text, root, &mut out);
    String::from_utf8(out).unwrap()
}

fn check_error(json: &str, expected: &str) {
    let mut tree = Tree::default();
    let error = tree.parse(json.as_bytes(), 0, json.len() as u32).unwrap_err();
    assert_eq!(error.to_string(), expected, "{json}");
    assert!(tree.is_empty());
}

#[test]
fn errors_say_where_and_what() {
    check_error("", "invalid JSON: the text ends at byte 0 where a value is expected");
    check_error("{\"a\":1", "invalid JSON: the text ends at byte 6 where `}` is expected");
    check_error("{\"a\" 1}", "invalid JSON at byte 5: expected `:`");
    check_error("{a:1}", "invalid JSON at byte 1: expected a member name in quotes");
    check_error("[1,]", "invalid JSON at byte 3: expected a value");
    check_error("[1 2]", "invalid JSON at byte 3: expected `,` or `]`");
    check_error("01", "invalid JSON at byte 1: expected the end of the text");
    check_error("-", "invalid JSON: the text ends at byte 1 where a digit is expected");
    check_error("1.", "invalid JSON: the text ends at byte 2 where a digit is expected");
    check_error(
        "\"a\nb\"",
        "invalid JSON at byte 2: expected no control character inside a string",
    );
    check_error("\"\\x\"", "invalid JSON at byte 1: expected a valid escape after the backslash");
    check_error("{} x", "invalid JSON at byte 3: expected the end of the text");
    check_error("tru", "invalid JSON at byte 0: expected a value (`true`, `false` or `null`)");
}

#[test]
fn depth_is_bounded() {
    let deep = "[".repeat(10_000);
    check_error(&deep, "invalid JSON at byte 513: nesting is deeper than 512 levels");
    let fits = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    let (tree, text, root) = parsed(&fits);
    assert_eq!(printed(&tree, &text, root), fits);
}

#[test]
fn the_last_of_duplicate_keys_counts() {
    let (tree, text, root) = parsed(r#"{"a":1,"a":2}"#);
    let member = tree.member(&text, root, b"a").unwrap();
    assert_eq!(tree.literal(&text, member), Some("2"));
}

#[test]
fn keys_compare_by_their_decoded_text() {
    let (tree, text, root) = parsed(r#"{"caf\u00e9":1}"#);
    assert!(tree.member(&text, root, "café".as_bytes()).is_some());
}

#[test]
fn removing_keeps_the_bytes_of_the_rest() {
    for (index, expected) in [
        (0, r#"{ "b":2.50 ,  "c" : [ 3 ] }"#),
        (1, r#"{ "a" : 1 ,  "c" : [ 3 ] }"#),
        (2, r#"{ "a" : 1 ,"b":2.50 }"#),
    ] {
        let (mut tree, text, root) = parsed(r#"{ "a" : 1 ,"b":2.50 ,  "c" : [ 3 ] }"#);
        let child = tree.children(root).nth(index).unwrap();
        tree.remove(child);
        tree.touch(root);
        let got = printed(&tree, &text, root);
        let spaces = |text: &str| text.replace(' ', "");
        assert_eq!(spaces(&got), spaces(expected), "{got}");
    }
    let (mut tree, text, root) = parsed("[1]");
    let child = tree.children(root).next().unwrap();
    tree.remove(child);
    tree.touch(root);
    assert_eq!(printed(&tree, &text, root), "[]");
}

#[test]
fn edits_are_printed_between_untouched_bytes() {
    let (mut tree, mut text, root) = parsed(r#"{"a": {"x":1e5},  "b":[1,2], "z":0}"#);
    tree.touch(root);
    let a = tree.member(&text, root, b"a").unwrap();
    tree.set_string(&mut text, a, "new \"text\"");
    let b = tree.member(&text, root, b"b").unwrap();
    tree.touch(b);
    let element = tree.push_element(&mut text, b);
    tree.set_json(&mut text, element, br#"{"k":[null]}"#).unwrap();
    let key = EncodedKey::new("added");
    let added = tree.insert_member(&mut text, root, &key);
    tree.set_json(&mut text, added, b"12345678901234567890").unwrap();
    let z = tree.member(&text, root, b"z").unwrap();
    let renamed = tree.rename(&mut text, z, "q");
    assert_eq!(tree.literal(&text, renamed), Some("0"));
    assert_eq!(tree.member(&text, root, b"q"), Some(renamed));
    assert_eq!(tree.member(&text, root, b"added"), Some(added));
    assert_eq!(tree.member(&text, root, b"z"), None);
    assert_eq!(
        printed(&tree, &text, root),
        r#"{"a": "new \"text\"",  "b":[1,2,{"k":[null]}],"q":0,"added":12345678901234567890}"#
    );
}

#[test]
fn a_new_object_takes_nodes_of_another() {
    let (mut tree, mut text, root) = parsed(r#"{"a":{"b":[1, 2]}}"#);
    let a = tree.member(&text, root, b"a").unwrap();
    let object = tree.new_container(NodeKind::Object);
    let member = tree.insert_named(&mut text, object, "moved");
    tree.set_node(member, a);
    assert_eq!(printed(&tree, &text, object), r#"{"moved":{"b":[1, 2]}}"#);
    let copy = tree.copy_deep(member);
    let b = tree.member(&text, copy, b"b").unwrap();
    tree.remove(b);
    tree.touch(copy);
    assert_eq!(printed(&tree, &text, copy), "{}");
    assert_eq!(printed(&tree, &text, object), r#"{"moved":{"b":[1, 2]}}"#);
}

#[test]
fn a_builder_moves_members() {
    let (mut tree, mut text, root) = parsed(r#"{"a": 1, "b": {"c": [ 2 ]}}"#);
    let a = tree.member(&text, root, b"a").unwrap();
    let b = tree.member(&text, root, b"b").unwrap();
    let mut builder = ObjectBuilder::new(&mut tree);
    assert!(builder.is_empty());
    let mut names = KeyBlock::default();
    let (_, number) = (names.push("other"), names.push("new \"b\""));
    let place = names.place(&mut text);
    assert_eq!(names.place(&mut text), place, "they stand there already");
    builder.add(&mut tree, names.key(number, place), b);
    builder.keep(&mut tree, a);
    let object = builder.finish();
    assert_eq!(printed(&tree, &text, object), r#"{"new \"b\"":{"c": [ 2 ]},"a":1}"#);
    assert!(tree.member(&text, object, b"new \"b\"").is_some());
    assert!(tree.member(&text, object, b"b").is_none());
}

#[test]
fn a_bad_literal_leaves_the_node_alone() {
    let (mut tree, mut text, root) = parsed(r#"{"a":1}"#);
    let a = tree.member(&text, root, b"a").unwrap();
    assert!(tree.set_json(&mut text, a, b"{").is_err());
    assert_eq!(printed(&tree, &text, root), r#"{"a":1}"#);
}

#[test]
fn an_array_is_padded_with_nulls() {
    let (mut tree, mut text, root) = parsed("[1]");
    tree.touch(root);
    assert_eq!(tree.push_nulls(&mut text, root, 0), None);
    let last = tree.push_nulls(&mut text, root, 3).unwrap();
    tree.set_string(&mut text, last, "x");
    tree.push_element(&mut text, root);
    assert_eq!(printed(&tree, &text, root), r#"[1,null,null,"x",null]"#);
}

/// Parses in the middle of other bytes, and compares with the slow parser: nodes, or the reason.
fn check_against_reference(json: &[u8], before: &[u8], behind: &[u8]) -> Result<(), String> {
    let text = [before, json, behind].concat();
    let (start, end) = (before.len() as u32, (before.len() + json.len()) as u32);
    let mut tree = Tree::default();
    let ours = tree.parse(&text, start, end).map(|root| {
        let nodes = tree.nodes[root.0 as usize..].iter().map(|node| reference::Seen {
            kind: node.kind,
            is_escaped: node.flags & ESCAPED != 0,
            is_key_escaped: node.flags & KEY_ESCAPED != 0,
            key: node.key,
            key_end: node.key_end,
            start: node.start,
            end: node.end,
        });
        nodes.collect::<Vec<_>>()
    });
    let theirs = reference::parse(&text, start, end);
    for node in &tree.nodes {
        let head = match node.key {
            NONE => 0,
            key => key_head(&text[key as usize + 1..node.key_end as usize - 1]),
        };
        if node.head != head || (node.original, node.gap_end) != (node.start, node.end) {
            return Err(format!("{node:?}"));
        }
    }
    let shown = || format!("{:?}: {ours:?} / {theirs:?}", String::from_utf8_lossy(json));
    if ours == theirs { Ok(()) } else { Err(shown()) }
}

/// JSON documents of all shapes, with white space between the tokens.
fn documents() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let scalar = prop_oneof![
        4 => "\"[a-z0-9 :,{}\\[\\]é😀]{0,90}\"",
        2 => r#""([a-z/]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,20}""#,
        3 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        1 => "true|false|null",
    ];
    let space = "[ \t\r\n]{0,2}|";
    scalar.prop_recursive(4, 40, 8, move |inner| {
        let name = r#"("[a-z_]{0,20}"|"\\u0061")"#;
        let members =
            proptest::collection::vec((space, name, space, space, inner.clone(), space), 0..8);
        let elements = proptest::collection::vec((space, inner, space), 0..8);
        prop_oneof![
            (members, space).prop_map(|(members, end)| {
                let members = members
                    .iter()
                    .map(|(a, name, b, c, value, d)| format!("{a}{name}{b}:{c}{value}{d}"));
                format!("{{{}{end}}}", members.collect::<Vec<_>>().join(","))
            }),
            (elements, space).prop_map(|(elements, end)| {
                let elements = elements.iter().map(|(a, value, b)| format!("{a}{value}{b}"));
                format!("[{}{end}]", elements.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest::proptest! {
    /// Every document is accepted, with the nodes of the slow parser; and one that lost, gained or
    /// changed a byte is accepted or refused as by the slow parser and by serde_json.
    #[test]
    fn agrees_with_the_reference(
        document in documents(),
        before in "[ -~]{0,70}",
        behind in "[ -~]{0,70}",
        changes in proptest::collection::vec((0usize..1000, 0u8..3, proptest::prelude::any::<u8>()), 1..4),
    ) {
        let mut bytes = document.clone().into_bytes();
        let check = |bytes: &[u8]| check_against_reference(bytes, before.as_bytes(), behind.as_bytes());
        proptest::prop_assert_eq!(check(&bytes), Ok(()));
        let parsed = serde_json::from_slice::<&serde_json::value::RawValue>(&bytes);
        proptest::prop_assert!(parsed.is_ok(), "{}", document);
        for (at, change, byte) in changes {
            let at = at % (bytes.len() + 1);
            // Mostly bytes that mean something.
            const TOKENS: &[u8] = b"\"\\{}[]:,0-.eEtn \n\x00u/";
            let byte = match byte < 0x80 {
                true => TOKENS[usize::from(byte) % TOKENS.len()],
                false => byte & 0x7f,
            };
            match change {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.truncate(at / 2),
            }
            proptest::prop_assert_eq!(check(&bytes), Ok(()));
            if let Ok(text) = std::str::from_utf8(&bytes) {
                let theirs = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
                let ours = Tree::default().parse(&bytes, 0, bytes.len() as u32).is_ok();
                proptest::prop_assert_eq!(ours, theirs, "{}", text);
            }
        }
    }

    /// The parser accepts what serde_json accepts, depth aside, and prints it byte for byte.
    #[test]
    fn agrees_with_serde_json(json in proptest::string::string_regex(
        "[\\[\\]{}:,\"\\\\a0-9.eE+\\-tfnrul \n\u{e9}]{0,40}").unwrap())
    {
        let mut tree = Tree::default();
        let ours = tree.parse(json.as_bytes(), 0, json.len() as u32);
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&json);
        proptest::prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}: {:?}", json, ours);
        if let (Ok(root), Ok(raw)) = (ours, theirs) {
            proptest::prop_assert_eq!(printed(&tree, json.as_bytes(), root), raw.get());
        }
    }
}
