//! A process that changes documents is killed, again and again.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use levada_runtime::Tasks;

use crate::{Documents, Range, SqlDocuments, Write};

/// Set for the process that is killed: the file.
const CHILD: &str = "LEVADA_TEST_DOCUMENTS_CRASH";
const ROUNDS: u32 = 20;
const WRITERS: usize = 24;

#[test]
fn what_was_confirmed_survives_a_kill_and_nothing_is_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut confirmed, mut version) = (BTreeMap::<String, u64>::new(), 0);
    let mut all = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "documents::sql::tests::crash::child", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut note = |line: String| {
            let Some((writer, number)) =
                line.strip_prefix("confirmed ").and_then(|line| line.split_once(' '))
            else {
                return 0;
            };
            // A line that was cut off has no end.
            if let Some(number) = number.strip_suffix('.') {
                confirmed.insert(writer.into(), number.parse().unwrap());
            }
            1
        };
        // At another moment each time, in the midst of the work.
        let enough = 1 + round * 37;
        let mut noted = 0;
        while noted < enough {
            noted += note(lines.next().expect("it goes on until it is killed"));
        }
        std::thread::sleep(Duration::from_micros(u64::from(round) * 777));
        child.kill().unwrap();
        child.wait().unwrap();
        all += noted + lines.map(note).sum::<u32>();

        version = runtime.block_on(verify(&path, &confirmed, version));
    }
    assert!(all > ROUNDS * 37, "{all}");
}

/// Looks whether everything confirmed is there and the documents of each call belong together; gives the highest version.
async fn verify(path: &Path, confirmed: &BTreeMap<String, u64>, former: u64) -> u64 {
    let documents = SqlDocuments::sqlite(path, &Tasks::new()).await.unwrap();
    let firsts = documents.list("first", Range::default()).await.unwrap();
    let seconds = documents.list("second", Range::default()).await.unwrap();
    let of = |documents: &[crate::Document]| -> Vec<_> {
        documents.iter().map(|document| (document.key.clone(), document.value.clone())).collect()
    };
    assert_eq!(of(&firsts), of(&seconds), "both or none");
    let found: BTreeMap<_, u64> = firsts
        .iter()
        .map(|document| {
            (&document.key, std::str::from_utf8(&document.value).unwrap().parse().unwrap())
        })
        .collect();
    for (writer, number) in confirmed {
        let found = found.get(writer).copied();
        assert!(
            found.is_some_and(|found| (*number..=number + 1).contains(&found)),
            "{writer}: {found:?} {number}"
        );
        // Each call deletes what the one before it made, and nothing else.
        let space = format!("steps/{writer}");
        let steps = documents.list(&space, Range::default()).await.unwrap();
        let steps: Vec<_> = steps.into_iter().map(|document| document.key).collect();
        assert_eq!(steps, [found.unwrap().to_string()]);
    }
    let version = seconds.iter().map(|document| document.version).max().unwrap();
    assert!(version > former, "{version} {former}");
    documents.close().await;
    version
}

/// The process that is killed; nothing when this is run as a test.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let documents = SqlDocuments::sqlite(Path::new(&path), &Tasks::new()).await.unwrap();
        join_all((0..WRITERS).map(|writer| work(&documents, writer.to_string()))).await;
    });
}

async fn work(documents: &SqlDocuments, writer: String) {
    let found = documents.get("first", &writer).await.unwrap();
    let done = found.map_or(0, |found| std::str::from_utf8(&found.value).unwrap().parse().unwrap());
    let steps = format!("steps/{writer}");
    for number in done + 1_u64.. {
        let text = number.to_string();
        let writes = vec![
            Write::put("first", &*writer, text.clone()),
            Write::delete(&*steps, (number - 1).to_string()),
            Write::create(&*steps, &*text, "x".repeat(500)),
            Write::put("second", &*writer, text),
        ];
        documents.apply(writes).await.unwrap();
        // In one piece, as a pipe takes it.
        let line = format!("confirmed {writer} {number}.\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}
