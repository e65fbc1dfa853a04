//! What is found when the folder is opened.

use levada_store::{Documents as _, Range};
use levada_task::recordings::{RecordStream, ReplayOptions, ReplayRecording, Status};

use super::world::{NOW, World, seconds};

const CPU: (&str, &str) = ("cpu", "stream|from().measurement('cpu')|log()");

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_at_a_crash_has_failed() {
    let mut world = World::new(&[CPU]).await;
    for id in ["gone", "whole"] {
        let stop = seconds(NOW);
        let request = RecordStream { id: id.into(), task: "cpu".into(), stop };
        world.recordings.record_stream(request).await.unwrap();
    }
    // As a crash leaves it: the documents say that both run, and one of the files has its name.
    let documents = world.documents.list("recordings", Range::default()).await.unwrap();
    std::fs::write(world.folder.path().join("whole.srpl"), b"db\nrp\ncpu v=1 1\n").unwrap();
    std::fs::write(world.folder.path().join(".partial/77"), b"half").unwrap();
    let fresh = World::new(&[CPU]).await;
    for document in documents {
        let write = levada_store::Write::put("recordings", document.key, document.value);
        fresh.documents.apply(vec![write]).await.unwrap();
    }
    world.recordings.close().await;
    world.deps = fresh.deps.clone();
    std::fs::write(world.folder.path().join(".partial/77"), b"half").unwrap();
    world.reopen().await.unwrap();
    let gone = world.recordings.recording("gone").await.unwrap();
    assert_eq!((gone.status, &*gone.error), (Status::Failed, "unexpected Kapacitor shutdown"));
    let whole = world.recordings.recording("whole").await.unwrap();
    assert_eq!((whole.status, whole.size), (Status::Finished, 16));
    assert_eq!(world.partial_files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_put_into_the_folder_are_recordings() {
    let mut world = World::new(&[CPU]).await;
    std::fs::write(world.folder.path().join("not an id.srpl"), b"").unwrap();
    std::fs::write(world.folder.path().join("other.txt"), b"").unwrap();
    world.put("shared.srpl", b"db\nrp\ncpu v=1 1\n").await;
    let listed = world.recordings.recordings().await.unwrap();
    let found: Vec<_> = listed.iter().map(|found| (&*found.id, found.status, found.size)).collect();
    assert_eq!(found, [("shared", Status::Finished, 16)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_under_way_has_failed() {
    let mut world = World::new(&[CPU]).await;
    world.put("r.srpl", b"db\nrp\ncpu v=1 1\ndb\nrp\ncpu v=1 5000000000\n").await;
    let options = ReplayOptions {
        id: "p".into(),
        task: "cpu".into(),
        clock: levada_task::recordings::ReplayClock::Real,
        ..ReplayOptions::default()
    };
    let request = ReplayRecording { options, recording: "r".into() };
    world.recordings.replay_recording(request).await.unwrap();
    let old = world.recordings.clone();
    world.reopen().await.unwrap();
    let replay = world.recordings.replay("p").await.unwrap();
    assert_eq!((replay.status, &*replay.error), (Status::Failed, "unexpected Kapacitor shutdown"));
    old.close().await;
}
