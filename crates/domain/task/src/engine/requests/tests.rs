#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use levada_clients::ClientError;
use levada_clients::http::{PostAnswer, Poster, TlsOptions};
use levada_testkit::fake_http::{FakeServer, Reply};
use tokio::sync::Semaphore;

use super::*;
use crate::engine::side::testing::{Kept, deps, settle, until};

/// A server in this process: the status stands in the path.
struct FakePost {
    requests: Mutex<Vec<PostRequest>>,
    gate: Semaphore,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

// === impl FakePost ===

impl FakePost {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(FakePost {
            requests: Mutex::default(),
            gate: Semaphore::new(permits),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    fn urls(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|request| request.url.clone()).collect()
    }
}

#[async_trait]
impl Post for FakePost {
    async fn post(&self, request: PostRequest) -> Result<PostAnswer, ClientError> {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let status = request.url.parse();
        self.requests.lock().unwrap().push(request);
        self.gate.acquire().await.unwrap().forget();
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        match status {
            Ok(status) => Ok(PostAnswer { status, body: b"body \xff".to_vec() }),
            Err(_) => Err(ClientError::new(levada_model::ErrorKind::Unavailable, "nobody there")),
        }
    }
}

fn node(index: usize) -> NodeName {
    NodeName { name: format!("http_post{index}").into(), index }
}

fn request(url: &str, token: u64) -> HttpPost {
    HttpPost {
        url: url.to_owned(),
        endpoint: None,
        headers: vec![("a".into(), "b".into())],
        body: b"0123456789".to_vec(),
        timeout: None,
        captures_response: false,
        token,
    }
}

fn answers(kept: &Kept) -> Vec<(usize, u64, Answer)> {
    let answer = |input| match input {
        Input::Answer { place, token, answer } => (place, token, answer),
        other => panic!("{other:?}"),
    };
    kept.take().into_iter().map(answer).collect()
}

fn failed(text: &str) -> Answer {
    Answer::Failed(text.into())
}

#[tokio::test]
async fn answers_come_in_order_with_bodies_only_where_asked() {
    let (deps, kept, _) = deps();
    let post = FakePost::new(100);
    let queues = RequestQueues::new(deps, RequestLimits::default(), post.clone());
    let mut captured = request("500", 8);
    captured.captures_response = true;
    captured.timeout = Some(Duration::from_secs(7));
    let mut good = request("204", 9);
    good.captures_response = true;
    for request in [request("404", 7), captured, good, request("away", 10)] {
        queues.request(&node(2), request).unwrap();
    }
    kept.count(4).await;
    let status = |code, body: Option<&str>| Answer::Status { code, body: body.map(Into::into) };
    assert_eq!(
        answers(&kept),
        [
            (2, 7, status(404, None)),
            (2, 8, status(500, Some("body \u{fffd}"))),
            (2, 9, status(204, None)),
            (2, 10, failed("nobody there")),
        ]
    );
    let timeouts: Vec<u64> =
        post.requests.lock().unwrap().iter().map(|request| request.timeout.as_secs()).collect();
    assert_eq!(timeouts, [30, 7, 30, 30]);
    let expected = RequestStatistics { succeeded: 1, refused: 2, failed: 1, ..Default::default() };
    assert_eq!(queues.statistics(2), Some(expected));
    assert_eq!(queues.statistics(0), None);
}

#[tokio::test]
async fn a_node_has_one_request_under_way_and_holds_up_no_other() {
    let (deps, kept, _) = deps();
    let post = FakePost::new(0);
    let queues = RequestQueues::new(deps, RequestLimits::default(), post.clone());
    for token in 0..3 {
        queues.request(&node(0), request("200", token)).unwrap();
        queues.request(&node(1), request("201", token)).unwrap();
    }
    until("two under way", || post.under_way.load(Ordering::SeqCst) == 2).await;
    settle().await;
    assert_eq!(post.most.load(Ordering::SeqCst), 2);
    assert_eq!(post.urls().len(), 2);
    post.gate.add_permits(100);
    kept.count(6).await;
    let of = |place| {
        let inputs = kept.inputs.lock().unwrap();
        let tokens = inputs.iter().filter_map(|input| match input {
            Input::Answer { place: known, token, .. } if *known == place => Some(*token),
            _ => None,
        });
        tokens.collect::<Vec<_>>()
    };
    assert_eq!((of(0), of(1)), (vec![0, 1, 2], vec![0, 1, 2]));
}

#[tokio::test]
async fn queues_are_bounded_in_requests_and_bytes_at_the_edge() {
    for (limits, text) in [
        (RequestLimits { requests: 3, ..Default::default() }, "3 requests wait already"),
        (RequestLimits { bytes: 30, ..Default::default() }, "requests of 30 bytes wait already"),
    ] {
        let (deps, kept, _) = deps();
        let post = FakePost::new(0);
        let queues = RequestQueues::new(deps, limits, post.clone());
        for token in 0..3 {
            queues.request(&node(0), request("200", token)).unwrap();
        }
        let error = queues.request(&node(0), request("200", 3)).unwrap_err();
        assert_eq!(&*error, text);
        let statistics = queues.statistics(0).unwrap();
        assert_eq!((statistics.held, statistics.bytes_held, statistics.rejected), (3, 30, 1));
        // The queue of another node has its own bounds.
        queues.request(&node(1), request("200", 0)).unwrap();
        post.gate.add_permits(100);
        kept.count(4).await;
        queues.request(&node(0), request("200", 4)).unwrap();
        kept.count(5).await;
    }
}

#[tokio::test]
async fn a_body_above_the_bound_goes_alone() {
    let (deps, kept, _) = deps();
    let limits = RequestLimits { bytes: 1, ..Default::default() };
    let queues = RequestQueues::new(deps, limits, FakePost::new(100));
    queues.request(&node(0), request("200", 1)).unwrap();
    kept.count(1).await;
}

#[tokio::test]
async fn what_was_taken_is_answered_when_the_task_ends() {
    let (deps, kept, clock) = deps();
    let post = FakePost::new(2);
    let queues = RequestQueues::new(deps, RequestLimits::default(), post.clone());
    for token in 0..5 {
        queues.request(&node(0), request("200", token)).unwrap();
    }
    queues.close(Duration::from_secs(5));
    let error = queues.request(&node(0), request("200", 5)).unwrap_err();
    assert_eq!(&*error, "requests are not taken any more");
    until("the third is under way", || post.urls().len() == 3).await;
    assert!(!queues.is_done());
    clock.advance(Duration::from_secs(5));
    queues.stop(Duration::from_secs(60)).await;
    let answers = answers(&kept);
    let ok = Answer::Status { code: 200, body: None };
    let expected = [ok.clone(), ok, failed(NO_TIME), failed(NO_TIME), failed(NO_TIME)];
    let got: Vec<Answer> = answers.into_iter().map(|(_, _, answer)| answer).collect();
    assert_eq!(got, expected);
    // The ones behind the third were not even begun.
    assert_eq!(post.urls().len(), 3);
}

#[tokio::test]
async fn stopping_waits_for_what_is_queued() {
    let (deps, kept, _) = deps();
    let queues = RequestQueues::new(deps, RequestLimits::default(), FakePost::new(100));
    for token in 0..3 {
        queues.request(&node(0), request("200", token)).unwrap();
    }
    queues.stop(Duration::from_secs(5)).await;
    assert_eq!(answers(&kept).len(), 3);
}

#[tokio::test]
async fn workers_end_when_nobody_holds_them() {
    let (deps, _, _) = deps();
    let tasks = deps.tasks.clone();
    let post = FakePost::new(0);
    let queues = RequestQueues::new(deps, RequestLimits::default(), post.clone());
    queues.request(&node(0), request("200", 0)).unwrap();
    until("a request", || post.urls().len() == 1).await;
    drop(queues);
    until("the end", || tasks.running().is_empty()).await;
}

#[tokio::test]
async fn threads_that_are_not_of_the_runtime_may_ask() {
    let (deps, kept, _) = deps();
    let queues = RequestQueues::new(deps, RequestLimits::default(), FakePost::new(100));
    std::thread::scope(|scope| {
        scope.spawn(|| queues.request(&node(0), request("200", 0)).unwrap());
    });
    kept.count(1).await;
}

#[tokio::test]
async fn real_requests_arrive_as_they_were_asked_for() {
    let server = FakeServer::start(|request| {
        assert_eq!((&*request.method, request.header("a")), ("POST", Some("b")));
        Reply::new(418, request.body.clone())
    });
    let (deps, kept, _) = deps();
    let post = Arc::new(Poster::new(&TlsOptions::default()).await.unwrap());
    let queues = RequestQueues::new(deps, RequestLimits::default(), post);
    let mut asked = request(&server.url("/x?y=z"), 1);
    asked.captures_response = true;
    queues.request(&node(0), asked).unwrap();
    kept.count(1).await;
    let body = Some("0123456789".into());
    assert_eq!(answers(&kept), [(0, 1, Answer::Status { code: 418, body })]);
}
