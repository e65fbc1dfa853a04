#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use levada_runtime::TaskKind;
use levada_runtime::Tasks;
use tokio::task::JoinHandle;

use super::*;
use crate::formats::testing::{context, payloads};

struct Case {
    feeds: LineFeeds,
    source: Box<dyn Source>,
    tasks: Tasks,
}

fn case(format: Format, batch_records: usize) -> Case {
    let feeds = LineFeeds::default();
    let ctx = BuildContext { batch_records, ..context(".") };
    ctx.links.put(feeds.clone());
    let tasks = ctx.tasks.clone();
    let source = Spec { name: "logs".into(), format }.build(&ctx).unwrap();
    Case { feeds, source, tasks }
}

impl Case {
    fn hand(&self, category: Category, lines: &'static str) -> JoinHandle<Result<(), FeedError>> {
        let feeds = self.feeds.clone();
        self.tasks.spawn(TaskKind::Gateway, "hand", async move {
            feeds.hand("logs", category, Bytes::from_static(lines.as_bytes()), 1).await
        })
    }

    async fn next(&mut self) -> RecordBatch {
        let mut batch = RecordBatch::new();
        assert!(self.source.next(&mut batch).await.unwrap());
        batch
    }
}

/// Gives the last position of a batch, as the engine would commit it.
fn position(batch: &RecordBatch) -> Vec<(Str, Position)> {
    let last = batch.origins.last().unwrap();
    vec![(last.partition.clone(), last.position.clone())]
}

#[tokio::test]
async fn points_become_records_and_are_let_go_when_they_are_finished() {
    let mut case = case(Format::Json, 100);
    case.source.open(&[]).await.unwrap();
    let lines = "cpu,host=a\\ b v=1,n=2i,big=18446744073709551615u,ok=true,text=\"x\\\"y\" 1700000000000000001\n\
                 cpu v=0.5 7\n";
    let handed = case.hand(Category::Logging, lines);
    let batch = case.next().await;
    assert_eq!(
        payloads(&batch),
        [
            r#"{"category":"logging","measurement":"cpu","tags":{"host":"a b"},"fields":{"v":1.0,"n":2,"big":18446744073709551615,"ok":true,"text":"x\"y"},"time":1700000000000000001}"#,
            r#"{"category":"logging","measurement":"cpu","tags":{},"fields":{"v":0.5},"time":7}"#,
        ]
    );
    assert_eq!(batch.meta(0).unwrap().get("category"), Some(&"logging".into()));
    tokio::task::yield_now().await;
    assert!(!handed.is_finished(), "nobody said that they are finished");
    case.source.commit(&position(&batch)).await.unwrap();
    assert_eq!(handed.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_part_is_finished_with_its_last_line() {
    let mut case = case(Format::Line, 2);
    case.source.open(&[("gateway".into(), serde_json::json!({"parts": 41}))]).await.unwrap();
    let handed = case.hand(Category::Metric, "a f=1 1\na f=2 2\na f=3 3\n");
    let first = case.next().await;
    assert_eq!(payloads(&first), ["a f=1 1", "a f=2 2"]);
    assert_eq!(position(&first)[0].1["parts"], 41, "the part is not over");
    case.source.commit(&position(&first)).await.unwrap();
    let second = case.next().await;
    assert_eq!(payloads(&second), ["a f=3 3"]);
    assert_eq!(position(&second)[0].1["parts"], 42);
    assert!(!handed.is_finished());
    case.source.commit(&position(&second)).await.unwrap();
    assert_eq!(handed.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn what_a_flow_did_not_finish_goes_back() {
    let mut case = case(Format::Line, 100);
    case.source.open(&[]).await.unwrap();
    let handed = case.hand(Category::Metric, "a f=1 1\n");
    let batch = case.next().await;
    case.source.open(&[]).await.unwrap();
    assert_eq!(handed.await.unwrap(), Err(FeedError::Stopped("logs".to_owned())));
    // A late commit of what was read before is none of what comes now.
    let again = case.hand(Category::Metric, "a f=1 1\n");
    let second = case.next().await;
    assert_eq!(payloads(&second), payloads(&batch));
    case.source.commit(&position(&batch)).await.unwrap();
    tokio::task::yield_now().await;
    assert!(!again.is_finished());
    case.source.commit(&position(&second)).await.unwrap();
    assert_eq!(again.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn without_a_gateway_the_flow_is_told_what_to_do() {
    let mut source = Spec { name: "x".into(), ..Spec::default() }.build(&context(".")).unwrap();
    let error = source.open(&[]).await.unwrap_err();
    assert!(error.message.contains("`[gateway]` of levada.toml"), "{error}");
}
