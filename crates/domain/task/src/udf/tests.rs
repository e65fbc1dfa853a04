//! The link between a node and its function, and a conversation on a clock that the test moves.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use levada_clients::udf::Agent;
use levada_codec::udf::{Frames, Init, Outcome, Request, Response};
use levada_model::{GroupKey, Point, Series, Shape, Timestamp};
use levada_runtime::{Clock, VirtualClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::link::{End, Next};
use super::*;
use crate::engine::OwnedBatch;
use crate::engine::side::testing;
use crate::spec::Edge;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> UdfLimits {
    UdfLimits { frame_bytes: 1 << 10, queue_points: 4, queue_bytes: 100 }
}

fn link() -> Link {
    let (deps, _, _) = testing::deps();
    Link::new(limits(), deps.inbox)
}

fn given() -> Given {
    let empty: Str = "".into();
    let series = Series::new(Str::clone(&empty), Str::clone(&empty), "m".into(), Vec::new());
    let point = Point {
        series,
        shape: Shape::new([].into()),
        values: Default::default(),
        time: Timestamp(0),
    };
    Given::Point(point, GroupKey::ungrouped())
}

#[tokio::test]
async fn what_waits_for_a_function_is_bounded() {
    let link = link();
    for sent in 0..4 {
        assert!(!link.is_congested(), "{sent}");
        link.send(vec![0; 10], 1).unwrap();
    }
    // The task is told; what it has begun is still taken, up to twice as much.
    assert!(link.is_congested());
    link.send(vec![0; 10], 4).unwrap();
    let refused = link.send(vec![0; 10], 1).unwrap_err();
    assert_eq!(&*refused, "8 points wait for it already");
    assert_eq!((link.statistics().dropped, link.statistics().queued), (1, 8));
    // All small messages go at once.
    let Next::Frames(frames) = link.next().await else { panic!("frames") };
    assert_eq!(frames.len(), 50);
    assert!(!link.is_congested());
    link.send(vec![0; 99], 1).unwrap();
    assert!(!link.is_congested());
    link.send(vec![0; 1], 1).unwrap();
    assert!(link.is_congested(), "by bytes");
    link.send(vec![0; 101], 1).unwrap_err();
    link.send(vec![0; 100], 1).unwrap();
    // One item is always taken, however large it is.
    let Next::Frames(_) = link.next().await else { panic!("frames") };
    link.send(vec![0; 1_000], 50).unwrap();
    link.close();
    assert!(matches!(link.next().await, Next::Frames(_)));
    assert!(matches!(link.next().await, Next::Over));
    assert_eq!(&*link.send(vec![0], 1).unwrap_err(), "it takes nothing any more");
}

#[tokio::test]
async fn what_a_function_gives_waits_for_the_task() {
    let link = Arc::new(link());
    let is_held = Arc::new(AtomicBool::new(false));
    let held = || is_held.load(std::sync::atomic::Ordering::Acquire);
    for _ in 0..4 {
        link.give(given(), 10, &is_held).await;
    }
    let (own, flag) = (Arc::clone(&link), Arc::clone(&is_held));
    let batch = OwnedBatch {
        name: "m".into(),
        key: GroupKey::ungrouped(),
        time: Timestamp(0),
        points: Vec::new(),
    };
    let giving = async move { own.give(Given::Batch(batch), 10, &flag).await };
    tokio::pin!(giving);
    let is_over = tokio::select! {
        biased;
        () = &mut giving => true,
        () = std::future::ready(()) => false,
    };
    assert!(!is_over && held(), "a fifth one waits");
    assert!(matches!(link.take(), Ok(Some(Given::Point(..)))));
    giving.await;
    assert!(!held());
    link.end(End::Failed("why".into()));
    link.end(End::Finished);
    // What was given before the end is not lost.
    for _ in 0..4 {
        assert!(matches!(link.take(), Ok(Some(_))));
    }
    assert_eq!(link.take().unwrap_err().as_ref(), "why");
}

#[tokio::test]
async fn states_are_asked_for_one_at_a_time_and_given_back() {
    let link = link();
    assert!(link.has_answered() && link.snapshot().is_none());
    link.restore([1, 2].as_slice().into());
    assert_eq!(link.snapshot().as_deref(), Some(&[1, 2][..]), "its state until it gives another");
    let Next::Asked(frames) = link.next().await else { panic!("a question") };
    let mut wanted = Vec::new();
    Request::Restore { snapshot: vec![1, 2] }.append(&mut wanted);
    assert_eq!(frames, wanted);
    link.ask_snapshot();
    link.ask_snapshot();
    assert!(!link.has_answered());
    let Next::Frames(frames) = link.next().await else { panic!("frames") };
    let mut one = Vec::new();
    Request::Snapshot.append(&mut one);
    assert_eq!(frames, one);
    link.answer_snapshot(vec![7]);
    assert!(link.has_answered());
    assert_eq!(link.snapshot().as_deref(), Some(&[7][..]));
    let patience = Patience::new(10 * SECOND, Arc::default());
    assert!(matches!(link.wait(&patience, true), Ok(Waited::Done)));
    // One that has no state any more says so.
    link.ask_snapshot();
    link.answer_snapshot(Vec::new());
    assert!(link.snapshot().is_none());
    link.ask_last_snapshot();
    let hurry = Arc::new(AtomicBool::new(true));
    assert!(matches!(link.wait(&Patience::new(SECOND, hurry), true), Ok(Waited::InVain)));
    let short = Patience::new(Duration::from_millis(20), Arc::default());
    assert!(matches!(link.wait(&short, true), Ok(Waited::InVain)));
    link.end(End::Finished);
    assert!(matches!(link.wait(&patience, true), Ok(Waited::Done)));
}

/// A function that is the test itself.
struct Peer {
    stream: UnixStream,
    frames: Frames,
}

impl Peer {
    async fn hear(&mut self) -> Option<Request> {
        loop {
            if let Some(frame) = self.frames.next_frame().unwrap() {
                return Some(Request::read(frame).unwrap());
            }
            let mut buffer = [0; 1 << 10];
            match self.stream.read(&mut buffer).await.unwrap() {
                0 => return None,
                count => self.frames.push(&buffer[..count]),
            }
        }
    }

    async fn say(&mut self, response: Response) {
        let mut bytes = Vec::new();
        response.append(&mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }
}

/// A side with one function, started for a node, and who it talks to.
async fn talk(timeout: Duration) -> (UdfSide, Arc<Link>, Peer, Arc<VirtualClock>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let config = UdfConfig { agent: Agent::Socket(path), timeout, limits: limits() };
    let udfs = Udfs::new([("f".to_owned(), config)].into());
    let (deps, _, clock) = testing::deps();
    let side = UdfSide::new(deps, udfs);
    let (task, node) = (Str::from("t"), NodeName { name: "f2".into(), index: 2 });
    let start = |function| UdfStart {
        function,
        task: &task,
        node: &node,
        init: Init::default(),
        provides: Edge::Stream,
    };
    assert!(side.open(start("g")).is_err(), "there is no such function");
    let link = side.open(start("f")).unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let mut peer = Peer { stream, frames: Frames::new(1 << 20) };
    assert_eq!(peer.hear().await, Some(Request::Init(Init::default())));
    (side, link, peer, clock)
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{what}: not in time");
}

#[tokio::test]
async fn a_function_is_asked_whether_it_lives_and_given_up_when_it_is_silent() {
    let (side, link, mut peer, clock) = talk(10 * SECOND).await;
    // Nothing is sent before it has started, but the question whether it lives is.
    link.send(vec![0; 3], 1).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    clock.advance(5 * SECOND);
    let time = clock.now().0;
    assert_eq!(peer.hear().await, Some(Request::Keepalive { time }));
    peer.say(Response::Keepalive { time }).await;
    peer.say(Response::Init(Outcome { success: true, error: String::new() })).await;
    until("the point is sent", || link.statistics().queued == 0).await;
    // Anything that it says counts.
    tokio::time::sleep(Duration::from_millis(20)).await;
    clock.advance(5 * SECOND);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(link.take().unwrap().is_none());
    clock.advance(Duration::from_millis(4_900));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(link.take().unwrap().is_none(), "it has a little time left");
    clock.advance(Duration::from_millis(100));
    until("the end", || link.take().is_err()).await;
    assert_eq!(
        link.take().unwrap_err().as_ref(),
        "keepalive timedout, last keepalive received was: 1970-01-01 00:16:45 +0000 UTC"
    );
    side.close(Duration::ZERO);
    until("the side is done", || side.is_done()).await;
}

#[tokio::test]
async fn a_stop_says_everything_closes_the_way_and_waits_for_the_last() {
    let (side, link, mut peer, clock) = talk(10 * SECOND).await;
    peer.say(Response::Init(Outcome { success: true, error: String::new() })).await;
    let mut frames = Vec::new();
    Request::Snapshot.append(&mut frames);
    link.send(frames, 1).unwrap();
    side.close(60 * SECOND);
    assert_eq!(peer.hear().await, Some(Request::Snapshot), "what waited");
    assert_eq!(peer.hear().await, None);
    peer.say(Response::Point(Default::default())).await;
    until("its last", || matches!(link.take(), Ok(Some(_)))).await;
    assert!(!side.is_done());
    drop(peer);
    until("the side is done", || side.is_done()).await;
    assert!(link.take().unwrap().is_none(), "no failure");
    drop(clock);
}

#[tokio::test]
async fn a_function_that_does_not_end_is_left_after_twice_its_timeout() {
    let (side, link, mut peer, clock) = talk(10 * SECOND).await;
    peer.say(Response::Init(Outcome { success: true, error: String::new() })).await;
    link.close();
    assert_eq!(peer.hear().await, None);
    tokio::time::sleep(Duration::from_millis(20)).await;
    for _ in 0..4 {
        assert!(link.take().is_ok());
        clock.advance(5 * SECOND);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until("the end", || link.take().is_err()).await;
    assert_eq!(link.take().unwrap_err().as_ref(), "the function does not end");
    until("the side is done", || side.is_done()).await;
}

#[test]
fn lines_of_a_function_are_bounded() {
    let mut lines = conversation::ErrorLines::default();
    let mut told = Vec::new();
    lines.push(b"one\r\n\n  two", |line| told.push(line.len()));
    lines.push(&[b'x'; 5_000], |line| told.push(line.len()));
    lines.finish(|line| told.push(line.len()));
    assert_eq!(told, [3, 4_096, 5_000 + 5 - 4_096]);
}
