//! Going on where a run before ended.

use super::*;

/// Reads with the positions of each batch in turn and expects exactly the rest.
async fn check_every_position(folder: &Path, spec: Spec) {
    let (seen, error) = read_all(folder, spec.clone(), 32, &[]).await;
    assert!(error.is_none());
    let all = all_payloads(&seen);
    assert!(seen.len() > 3, "{}", seen.len());
    let mut done = 0;
    let mut positions: Vec<(Str, Position)> = Vec::new();
    for batch in &seen {
        done += batch.payloads.len();
        for (partition, position) in &batch.positions {
            positions.retain(|(known, _)| known != partition);
            positions.push((partition.clone(), position.clone()));
        }
        let (rest, error) = read_all(folder, spec.clone(), 50, &positions).await;
        assert!(error.is_none());
        assert_eq!(all_payloads(&rest), all[done..]);
    }
}

#[tokio::test]
async fn every_position_gives_exactly_the_rest() {
    let folder = folder();
    let lines_of = |name: &str, count: usize| {
        (0..count).map(|n| format!("{name} {n}{}\n", if n % 3 == 0 { "\r" } else { "" })).collect()
    };
    let (a, b): (String, String) = (lines_of("a", 30), lines_of("b", 20));
    write(&folder, "a.log", a.clone() + "\n\n" + &"long".repeat(50) + "\nend");
    write(&folder, "b.log", b);
    let limit = Some(ByteSize::new(60));
    check_every_position(folder.path(), Spec { max_record_bytes: limit, ..lines(&["*.log"]) })
        .await;
    check_every_position(folder.path(), Spec { max_record_bytes: limit, ..paths(&["*.log"]) })
        .await;
    let rows = a.replace(' ', ",");
    write(&folder, "a.csv", format!("name,number\n{rows}\nwrong\n\"x\ny\",\"\"\"\"\nlast,1"));
    check_every_position(folder.path(), Spec { format: "csv".into(), ..paths(&["a.csv"]) }).await;
}

/// More than one read of the smallest size.
const FOUR: &str = "line1\nline2\nline3\nline4\n";

async fn position_after(folder: &TempDir, name: &str, batches: usize) -> Vec<(Str, Position)> {
    let (seen, _) = read_all(folder.path(), lines(&[name]), 4, &[]).await;
    seen[batches - 1].positions.clone()
}

#[tokio::test]
async fn another_file_of_the_name_is_read_from_its_start() {
    let folder = folder();
    // Shorter than the position.
    let path = write(&folder, "f", FOUR);
    let positions = position_after(&folder, "f", 2).await;
    std::fs::write(&path, "5\n").unwrap();
    let (seen, _) = read_all(folder.path(), lines(&["f"]), 64, &positions).await;
    assert_eq!(all_payloads(&seen), ["5"]);
    // Longer, but another beginning.
    std::fs::write(&path, "6\n7\n8\n9\n10 longer than the position is\n").unwrap();
    let (seen, _) = read_all(folder.path(), lines(&["f"]), 64, &positions).await;
    assert_eq!(all_payloads(&seen), ["6", "7", "8", "9", "10 longer than the position is"]);
    // Another file altogether.
    write(&folder, "g", FOUR);
    std::fs::rename(folder.path().join("g"), &path).unwrap();
    let (seen, _) = read_all(folder.path(), lines(&["f"]), 64, &positions).await;
    assert_eq!(all_payloads(&seen), ["line1", "line2", "line3", "line4"]);
    // Positions that are none.
    let wrong = [(positions[0].0.clone(), Position::from("x"))];
    let (seen, _) = read_all(folder.path(), lines(&["f"]), 64, &wrong).await;
    assert_eq!(seen[0].payloads.len(), 4);
}

#[tokio::test]
async fn a_rotation_while_nobody_looked_loses_nothing() {
    for follow in [false, true] {
        // Once the pattern names the rotated file too, once it does not.
        for (pattern, expected) in
            [("f", ["line2", "line3", "line4", "new"]), ("f*", ["new", "line2", "line3", "line4"])]
        {
            let folder = folder();
            let path = write(&folder, "f", FOUR);
            let positions = position_after(&folder, "f", 1).await;
            assert_eq!(positions[0].1["offset"], 6);
            std::fs::rename(&path, folder.path().join("f.1")).unwrap();
            write(&folder, "f", "new\n");
            let spec = Spec { follow, ..lines(&[pattern]) };
            let mut source = open(folder.path(), spec, 1 << 16, &positions).await;
            let mut seen = vec![next(&mut source).await.unwrap().unwrap()];
            seen.push(next(&mut source).await.unwrap().unwrap());
            assert_eq!(all_payloads(&seen), expected);
            // The last positions of all partitions: nothing is read again with them.
            let mut last = std::collections::BTreeMap::new();
            for batch in &seen {
                last.extend(batch.positions.iter().cloned());
            }
            if pattern == "f*" {
                let announced = seen[0]
                    .positions
                    .iter()
                    .any(|(name, at)| name.ends_with("f.1") && at["offset"] == 6);
                assert!(announced, "{:?}", seen[0].positions);
            }
            let last: Vec<_> = last.into_iter().collect();
            let (again, _) = read_all(folder.path(), lines(&[pattern]), 64, &last).await;
            assert_eq!(all_payloads(&again), Vec::<String>::new());
        }
    }
}
