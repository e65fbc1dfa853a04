//! What every store of documents must do; one line per store at the end.
#![allow(clippy::unwrap_used, reason = "tests")]

#[cfg(any(feature = "sqlite", feature = "postgresql"))]
mod histories;
mod places;

use futures_util::future::join_all;
use levada_model::ErrorKind;

use self::places::Place;
use super::*;

/// Names with the bytes that comparisons by letters get wrong, in the order of bytes.
const NAMES: [&str; 18] = [
    "",
    "\u{1}",
    " ",
    "%",
    "A",
    "Z",
    "_",
    "a",
    "a\u{1}",
    "a b",
    "a%",
    "a/",
    "aa",
    "b",
    "é",
    "日本",
    "\u{ffff}",
    "\u{10ffff}\u{10ffff}",
];

async fn listed(documents: &dyn Documents, space: &str, range: Range<'_>) -> Vec<String> {
    let found = documents.list(space, range).await.unwrap();
    found.into_iter().map(|document| document.key).collect()
}

async fn value(documents: &dyn Documents, space: &str, key: &str) -> Option<Bytes> {
    documents.get(space, key).await.unwrap().map(|document| document.value)
}

fn reason(outcome: Result<(), DocumentError>) -> &'static str {
    match outcome {
        Ok(()) => "",
        Err(DocumentError::Conflict { reason, .. }) => reason,
        Err(error) => panic!("{error:?}"),
    }
}

async fn writes_check_what_they_expect(place: &Place) {
    let documents = place.open().await;
    let (absent, other) = ("does not exist", "was changed by somebody else");
    // Without a document, with one, and the version that is expected, counted from that of the document.
    let cases = [
        (Expect::Any, "", ""),
        (Expect::Absent, "", "exists already"),
        (Expect::Present, absent, ""),
        (Expect::Version(0), absent, ""),
        (Expect::Version(1), absent, other),
        (Expect::Version(u64::MAX), absent, other),
    ];
    for (number, (expect, without, with)) in cases.into_iter().enumerate() {
        for is_there in [false, true] {
            for is_put in [false, true] {
                let key = format!("{number}{is_there}{is_put}");
                if is_there {
                    documents.apply(vec![Write::create("s", &*key, "old")]).await.unwrap();
                }
                let before = documents.get("s", &key).await.unwrap();
                let version = before.as_ref().map_or(1, |document| document.version);
                let expect = match expect {
                    Expect::Version(more) => Expect::Version(version.wrapping_add(more)),
                    other => other,
                };
                let (space, value) = ("s".to_owned(), Bytes::from("new"));
                let write = match is_put {
                    true => Write::Put { space, key: key.clone(), value, expect },
                    false => Write::Delete { space, key: key.clone(), expect },
                };
                let outcome = documents.apply(vec![write.clone()]).await;
                let expected = if is_there { with } else { without };
                let after = documents.get("s", &key).await.unwrap();
                if expected.is_empty() {
                    outcome.unwrap();
                    let new = after.as_ref().map(|document| &*document.value);
                    assert_eq!(new, is_put.then_some(b"new".as_slice()), "{write:?}");
                    let is_newer =
                        |new: Document| before.is_none_or(|old| new.version > old.version);
                    assert!(after.is_none_or(is_newer), "{write:?}");
                    continue;
                }
                let error = outcome.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Conflict);
                assert_eq!(error.to_string(), format!("`s/{key}` {expected}"), "{write:?}");
                assert_eq!(after, before, "{write:?}");
            }
        }
    }
}

async fn a_call_is_done_as_a_whole_or_not_at_all(place: &Place) {
    let documents = place.open().await;
    let kept =
        vec![Write::put("s", "a", "1"), Write::put("s", "b", "1"), Write::put("t", "a", "1")];
    documents.apply(kept).await.unwrap();
    let before = documents.list("s", Range::default()).await.unwrap();
    let good = [
        Write::put("s", "a", "2"),
        Write::delete("s", "b"),
        Write::create("u", "new", "2"),
        Write::clear("t"),
        Write::clear("s"),
    ];
    for at in 0..=good.len() {
        let mut writes = good.to_vec();
        writes.insert(at, Write::replace("v", "none", 7, ""));
        let error = documents.apply(writes).await.unwrap_err();
        assert_eq!(error.to_string(), "`v/none` does not exist");
        assert_eq!(documents.list("s", Range::default()).await.unwrap(), before, "{at}");
        assert_eq!(documents.spaces("").await.unwrap(), ["s", "t"]);
    }
    documents.apply(good.to_vec()).await.unwrap();
    assert_eq!(documents.spaces("").await.unwrap(), ["u"]);
    documents.apply(Vec::new()).await.unwrap();
    // Changes of one call see those before them.
    let writes = vec![
        Write::create("w", "a", "1"),
        Write::delete("w", "a"),
        Write::create("w", "a", "2"),
        Write::clear("w"),
        Write::create("w", "a", "3"),
        Write::put("w", "a", "4"),
    ];
    documents.apply(writes).await.unwrap();
    assert_eq!(value(&*documents, "w", "a").await.unwrap(), "4");
}

async fn calls_at_the_same_time_do_not_disturb_each_other(place: &Place) {
    let documents = place.open().await;
    documents.apply(vec![Write::put("s", "there", "")]).await.unwrap();
    let calls = (0..300).map(|number| {
        let documents = &documents;
        async move {
            let writes = match number % 3 {
                0 => vec![Write::create("s", format!("{number}"), "x")],
                1 => vec![
                    Write::create("s", format!("{number}"), "x"),
                    Write::create("s", format!("{number}-2"), "x"),
                ],
                _ => vec![
                    Write::create("s", format!("{number}"), "x"),
                    Write::create("s", "there", "x"),
                ],
            };
            let outcome = reason(documents.apply(writes).await);
            assert_eq!(outcome, if number % 3 == 2 { "exists already" } else { "" });
            let found = value(&**documents, "s", &number.to_string()).await;
            assert_eq!(found.is_some(), number % 3 != 2, "a change is seen when it is confirmed");
        }
    });
    join_all(calls).await;
    assert_eq!(listed(&*documents, "s", Range::default()).await.len(), 1 + 100 + 200);
    // Of many that expect the same, one wins.
    let version = documents.get("s", "there").await.unwrap().unwrap().version;
    let calls = (0..50).map(|number| {
        documents.apply(vec![Write::replace("s", "there", version, format!("{number}"))])
    });
    let won = join_all(calls).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1);
}

async fn keys_are_in_the_order_of_their_bytes(place: &Place) {
    let documents = place.open().await;
    let writes = NAMES.iter().rev().map(|name| Write::put("s", *name, *name));
    documents.apply(writes.chain([Write::put("t", "other", "")]).collect()).await.unwrap();
    assert!(NAMES.is_sorted());
    let ends = ["a\0", "a\0z", "\0", "zz", "\u{10ffff}\u{10ffff}\u{10ffff}"];
    for prefix in NAMES.into_iter().chain(ends) {
        for after in NAMES.into_iter().chain(ends).map(Some).chain([None]) {
            let expected: Vec<_> = NAMES
                .into_iter()
                .filter(|name| name.starts_with(prefix) && after.is_none_or(|after| *name > after))
                .collect();
            for limit in [None, Some(2), Some(usize::MAX)] {
                let range = Range { prefix, after, limit };
                let most = expected.len().min(limit.unwrap_or(usize::MAX));
                assert_eq!(listed(&*documents, "s", range).await, expected[..most], "{range:?}");
            }
        }
    }
    let nothing = Range { limit: Some(0), ..Range::default() };
    assert_eq!(listed(&*documents, "s", nothing).await, [""; 0]);
    // Page by page.
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let range = Range { after: after.as_deref(), limit: Some(5), ..Range::default() };
        let page = listed(&*documents, "s", range).await;
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        pages.extend(page);
    }
    assert_eq!(pages, NAMES);
    for name in NAMES {
        assert_eq!(value(&*documents, "s", name).await.unwrap(), name);
    }
    assert_eq!(value(&*documents, "s", "a\0").await, None);
}

async fn spaces_hold_documents(place: &Place) {
    let documents = place.open().await;
    assert_eq!(documents.spaces("").await.unwrap(), [""; 0]);
    assert_eq!(listed(&*documents, "none", Range::default()).await, [""; 0]);
    let writes =
        NAMES.iter().flat_map(|name| [Write::put(*name, "a", ""), Write::put(*name, "b", "")]);
    documents.apply(writes.collect()).await.unwrap();
    for prefix in NAMES {
        let expected: Vec<_> = NAMES.iter().filter(|name| name.starts_with(prefix)).collect();
        assert_eq!(documents.spaces(prefix).await.unwrap().iter().collect::<Vec<_>>(), expected);
    }
    assert_eq!(documents.spaces("\0").await.unwrap(), [""; 0]);
    documents
        .apply(vec![Write::clear("a"), Write::delete("b", "a"), Write::delete("b", "b")])
        .await
        .unwrap();
    let left: Vec<_> = NAMES.into_iter().filter(|name| !["a", "b"].contains(name)).collect();
    assert_eq!(documents.spaces("").await.unwrap(), left);
    assert_eq!(listed(&*documents, "a%", Range::default()).await, ["a", "b"], "no pattern");
}

async fn names_and_values_have_a_largest_size(place: &Place) {
    let documents = place.open().await;
    // Not to be compressed, and with characters of several bytes.
    let long = |seed: u32| -> String {
        let name = (0..KEY_BYTES_MAX as u32 / 2)
            .map(|number| char::from_u32(0x80 + (number * 40_503 + seed) % 0x700).unwrap());
        name.collect()
    };
    let (space, key) = (long(1), long(2));
    assert_eq!((space.len(), key.len()), (KEY_BYTES_MAX, KEY_BYTES_MAX));
    documents.apply(vec![Write::put(&*space, &*key, vec![0; 3])]).await.unwrap();
    assert_eq!(value(&*documents, &space, &key).await.unwrap(), [0; 3].as_slice());
    assert_eq!(documents.spaces(&space).await.unwrap(), [space.as_str()]);
    let largest = Bytes::from((0..VALUE_BYTES_MAX).map(|at| (at % 251) as u8).collect::<Vec<_>>());
    documents.apply(vec![Write::put("s", "large", largest.clone())]).await.unwrap();
    assert!(value(&*documents, "s", "large").await.unwrap() == largest);
    documents.apply(vec![Write::put("s", "large", "")]).await.unwrap();
    assert_eq!(value(&*documents, "s", "large").await.unwrap(), "");
    let too_long = format!("{key}x");
    for write in [
        Write::put("s", &*too_long, ""),
        Write::put(&*too_long, "k", ""),
        Write::delete("s", &*too_long),
        Write::clear(&*too_long),
        Write::put("a\0b", "k", ""),
        Write::put("s", "\0", ""),
        Write::put("s", "larger", vec![0; VALUE_BYTES_MAX + 1]),
    ] {
        let error = documents.apply(vec![Write::put("s", "kept", ""), write]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(matches!(error, DocumentError::Invalid { .. }), "{error}");
    }
    assert_eq!(listed(&*documents, "s", Range::default()).await, ["large"]);
    assert_eq!(documents.get(&too_long, &too_long).await.unwrap(), None);
}

async fn calls_of_many_writes_do_each_of_them(place: &Place) {
    let documents = place.open().await;
    // Sizes around those that databases do in one statement.
    for count in [1, 3, 4, 31, 32, 33, 64, 65, 200] {
        let key = |number: usize| format!("{number:03}");
        let put = |value: &'static str| {
            (0..count).map(move |number| Write::put("s", key(number), format!("{value}{number}")))
        };
        documents.apply(put("old").collect()).await.unwrap();
        documents.apply(put("new").chain([Write::put("t", "0", "")]).collect()).await.unwrap();
        let found = documents.list("s", Range::default()).await.unwrap();
        assert_eq!(found.len(), count);
        for (number, document) in found.iter().enumerate() {
            assert_eq!(document.key, key(number));
            assert_eq!(document.value, format!("new{number}"));
        }
        let versions: std::collections::BTreeSet<u64> =
            found.iter().map(|document| document.version).collect();
        assert_eq!(versions.len(), count);
        // All but the last, of two spaces, and some that are not there.
        let deleted = (0..count - 1)
            .flat_map(|number| [Write::delete("s", key(number)), Write::delete("t", key(number))]);
        documents.apply(deleted.collect()).await.unwrap();
        assert_eq!(listed(&*documents, "s", Range::default()).await, [key(count - 1)]);
        documents.apply(vec![Write::clear("s")]).await.unwrap();
    }
    assert_eq!(listed(&*documents, "t", Range::default()).await, ["0"]);
    documents.close().await;
}

async fn versions_grow_over_deletions_and_restarts(place: &Place) {
    let mut documents = place.open().await;
    let mut last = 0;
    for round in 0..6 {
        let (kept, deleted) = (format!("kept{round}"), Write::put("s", "deleted", ""));
        documents.apply(vec![Write::put("s", &*kept, ""), deleted]).await.unwrap();
        let kept = documents.get("s", &kept).await.unwrap().unwrap().version;
        let deleted = documents.get("s", "deleted").await.unwrap().unwrap().version;
        assert!(last < kept && kept < deleted, "{last} {kept} {deleted}");
        last = deleted;
        match round % 3 {
            0 => documents.apply(vec![Write::delete("s", "deleted")]).await.unwrap(),
            1 => documents.apply(vec![Write::clear("s")]).await.unwrap(),
            _ => {}
        }
        documents = place.reopen(documents).await;
    }
    assert_eq!(listed(&*documents, "s", Range::default()).await, ["deleted", "kept5"]);
}

async fn nothing_is_done_after_the_end(place: &Place) {
    let documents = place.open().await;
    let last = join_all(
        (0..100).map(|number| documents.apply(vec![Write::put("s", format!("{number}"), "")])),
    );
    let (done, ()) = tokio::join!(last, documents.close());
    let done = done.iter().filter(|outcome| outcome.is_ok()).count();
    if !place.forgets() {
        for outcome in [
            documents.apply(vec![Write::clear("s")]).await.err(),
            documents.get("s", "1").await.err(),
        ] {
            let error = outcome.unwrap();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        }
    }
    let documents = place.reopen(documents).await;
    assert_eq!(listed(&*documents, "s", Range::default()).await.len(), done);
}

/// Each test for each store.
macro_rules! documents_test_suite {
    ($($module:ident)+) => { $(
        mod $module {
            documents_test_suite!(@tests $module: writes_check_what_they_expect
                a_call_is_done_as_a_whole_or_not_at_all calls_at_the_same_time_do_not_disturb_each_other
                keys_are_in_the_order_of_their_bytes spaces_hold_documents names_and_values_have_a_largest_size
                versions_grow_over_deletions_and_restarts nothing_is_done_after_the_end
                calls_of_many_writes_do_each_of_them);
        }
    )+ };
    (@tests $module:ident: $($test:ident)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let Some(place) = super::Place::$module(stringify!($test)) else { return };
            super::$test(&place).await;
        })+
    };
}

documents_test_suite!(memory);
#[cfg(feature = "sqlite")]
documents_test_suite!(sqlite);
#[cfg(feature = "postgresql")]
documents_test_suite!(postgres);
