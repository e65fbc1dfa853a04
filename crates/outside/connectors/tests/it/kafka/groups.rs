//! Members of a group: who reads what, what is committed, and what comes again.

use std::collections::BTreeMap;
use std::time::Duration;

use levada_connectors::Source;
use levada_model::{Position, RecordBatch, Str};
use serde_json::{Value, json};

use super::messages::read;
use super::support::{MOST, Stored, broker, committed, context, produce, source, topic, unique};

fn settings(broker: &str, topic: &str, group: &str) -> Value {
    json!({"brokers": [broker], "topic": topic, "consumerGroup": group, "sessionTimeout": "6s"})
}

fn numbers(partitions: i32, range: std::ops::Range<i32>) -> Vec<Stored> {
    range
        .map(|number| Stored {
            partition: number % partitions,
            payload: Some(number.to_string().into_bytes()),
            ..Stored::default()
        })
        .collect()
}

fn positions(batches: &[RecordBatch]) -> Vec<(Str, Position)> {
    let mut last = BTreeMap::new();
    for origin in batches.iter().flat_map(|batch| &batch.origins) {
        last.insert(origin.partition.clone(), origin.position.clone());
    }
    last.into_iter().collect()
}

fn payloads(batches: &[RecordBatch]) -> Vec<i32> {
    let all = batches.iter().flat_map(|batch| (0..batch.len()).map(|index| batch.payload(index)));
    all.map(|payload| std::str::from_utf8(&payload).unwrap().parse().unwrap()).collect()
}

/// Waits until the group has committed this.
async fn until_committed(group: &str, topic: &str, partitions: i32, wanted: &BTreeMap<i32, i64>) {
    for _ in 0..200 {
        if committed(group, topic, partitions) == *wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?} and not {wanted:?}", committed(group, topic, partitions));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_does_not_come_again_and_the_rest_does() {
    let Some(broker) = broker("what_is_committed_does_not_come_again") else { return };
    let (topic, group) = (topic("resume", 1).await, unique("resume"));
    produce(&topic, &numbers(1, 0..100));
    let ctx = context();
    let mut first = source(&settings(&broker, &topic, &group), &ctx);
    first.open(&[]).await.unwrap();
    let batches = read(&mut *first, 100).await;
    assert_eq!(payloads(&batches), (0..100).collect::<Vec<_>>());
    first.commit(&[(format!("{topic}/0").into(), json!(60))]).await.unwrap();
    // A commit goes forward only, and concerns this topic.
    first
        .commit(&[(format!("{topic}/0").into(), json!(10)), ("other/0".into(), json!(99))])
        .await
        .unwrap();
    drop(first);
    until_committed(&group, &topic, 1, &BTreeMap::from([(0, 60)])).await;
    // What the group has counts, whatever the flow believes.
    for given in [0, 80, 100] {
        let mut second = source(&settings(&broker, &topic, &group), &ctx);
        second.open(&[(format!("{topic}/0").into(), json!(given))]).await.unwrap();
        assert_eq!(payloads(&read(&mut *second, 40).await), (60..100).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_starts_where_it_says_when_nobody_knows_better() {
    let Some(broker) = broker("a_flow_starts_where_it_says") else { return };
    let topic = topic("start", 1).await;
    produce(&topic, &numbers(1, 0..10));
    let ctx = context();
    let group = unique("start");
    let mut settings = settings(&broker, &topic, &group);
    settings["startAt"] = json!("latest");
    let mut late = source(&settings, &ctx);
    late.open(&[]).await.unwrap();
    // The start is committed, so what comes while the flow is down is not skipped.
    let mut batch = RecordBatch::new();
    let begun = BTreeMap::from([(0, 10)]);
    for _ in 0..100 {
        let early = tokio::time::timeout(Duration::from_millis(200), late.next(&mut batch)).await;
        assert!(early.is_err());
        if committed(&group, &topic, 1) == begun {
            break;
        }
    }
    drop(late);
    until_committed(&group, &topic, 1, &BTreeMap::from([(0, 10)])).await;
    produce(&topic, &numbers(1, 10..15));
    let mut again = source(&settings, &ctx);
    again.open(&[]).await.unwrap();
    assert_eq!(payloads(&read(&mut *again, 5).await), (10..15).collect::<Vec<_>>());
    // The flow's own checkpoint, when the group has nothing.
    settings["consumerGroup"] = json!(unique("start"));
    let mut given = source(&settings, &ctx);
    given.open(&[(format!("{topic}/0").into(), json!(12))]).await.unwrap();
    assert_eq!(payloads(&read(&mut *given, 3).await), (12..15).collect::<Vec<_>>());
    // A position that is not there: everything that is.
    settings["consumerGroup"] = json!(unique("start"));
    let mut lost = source(&settings, &ctx);
    lost.open(&[(format!("{topic}/0").into(), json!(1000))]).await.unwrap();
    assert_eq!(payloads(&read(&mut *lost, 15).await), (0..15).collect::<Vec<_>>());
}

/// Reads, and commits what it read, until it is told to stop.
async fn member(
    mut source: Box<dyn Source>,
    mut stop: tokio::sync::watch::Receiver<bool>,
    seen: std::sync::Arc<std::sync::Mutex<Vec<i32>>>,
) {
    source.open(&[]).await.unwrap();
    loop {
        let mut batch = RecordBatch::new();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            more = source.next(&mut batch) => assert!(more.unwrap()),
        }
        let batches = [batch];
        seen.lock().unwrap().extend(payloads(&batches));
        source.commit(&positions(&batches)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_come_and_go_and_nothing_is_lost() {
    let Some(broker) = broker("three_members_come_and_go") else { return };
    let (topic, group) = (topic("members", 6).await, unique("members"));
    let seen = std::sync::Arc::<std::sync::Mutex<Vec<i32>>>::default();
    let mut ctx = context();
    ctx.batch_records = 50;
    let mut members = Vec::new();
    let total = 6000;
    let start = || {
        let (sender, receiver) = tokio::sync::watch::channel(false);
        let source = source(&settings(&broker, &topic, &group), &ctx);
        let task = ctx.tasks.spawn(
            levada_runtime::TaskKind::Source,
            "member",
            member(source, receiver, seen.clone()),
        );
        (sender, task)
    };
    for round in 0..6 {
        match round {
            0..3 => members.push(start()),
            _ => {
                let (stop, task) = members.remove(0);
                stop.send(true).unwrap();
                task.await.unwrap();
                if round == 3 {
                    members.push(start());
                }
            }
        }
        produce(&topic, &numbers(6, round * 1000..(round + 1) * 1000));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let all = || {
        let mut all = seen.lock().unwrap().clone();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        (all.len(), count)
    };
    levada_testkit::wait::until_async("everything was read", MOST, || all().0 == total as usize)
        .await;
    for (stop, task) in members {
        stop.send(true).unwrap();
        task.await.unwrap();
    }
    let wanted: BTreeMap<i32, i64> = (0..6).map(|partition| (partition, 1000)).collect();
    until_committed(&group, &topic, 6, &wanted).await;
    let (distinct, count) = all();
    assert!(
        count < 2 * distinct,
        "{count} records came of {distinct}: cooperative members keep what they have"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_stuck_gives_partitions_away() {
    let Some(broker) = broker("a_member_that_is_stuck_gives_partitions_away") else { return };
    let (topic, group) = (topic("stuck", 2).await, unique("stuck"));
    produce(&topic, &numbers(2, 0..20_000));
    let ctx = context();
    let mut stuck = source(&settings(&broker, &topic, &group), &ctx);
    stuck.open(&[]).await.unwrap();
    let before = read(&mut *stuck, 1).await;
    // Nobody asks it for more, and it has much in hand; the other member gets its share all the same.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut other = source(&settings(&broker, &topic, &group), &ctx);
    other.open(&[]).await.unwrap();
    let share = read(&mut *other, 10_000).await;
    let parity = payloads(&share)[0] % 2;
    assert!(payloads(&share).iter().all(|number| number % 2 == parity), "one partition");
    // What the stuck one finishes of the partition that it lost is not committed any more.
    let lost = format!("{topic}/{parity}");
    other.commit(&[(lost.as_str().into(), json!(10_000))]).await.unwrap();
    stuck.commit(&[(lost.as_str().into(), json!(1))]).await.unwrap();
    stuck.commit(&[(format!("{topic}/{}", 1 - parity).into(), json!(5))]).await.unwrap();
    let wanted = BTreeMap::from([(parity, 10_000), (1 - parity, 5)]);
    until_committed(&group, &topic, 2, &wanted).await;
    // And it goes on with what it has kept, in order.
    let is_kept = |number: &i32| number % 2 != parity;
    let mut kept: Vec<i32> = payloads(&before).into_iter().filter(is_kept).collect();
    while kept.len() < 10_000 {
        kept.extend(payloads(&read(&mut *stuck, 1).await).into_iter().filter(is_kept));
    }
    assert!(kept.windows(2).all(|pair| pair[1] == pair[0] + 2), "no gap and nothing twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_group_is_the_flows_own() {
    let Some(broker) = broker("the_default_group_is_the_flows_own") else { return };
    let topic = topic("default-group", 1).await;
    produce(&topic, &numbers(1, 0..3));
    let mut ctx = context();
    let name = unique("flow");
    ctx.flow = levada_model::ObjectRef::new("DataFlow", "ns", &name);
    let mut source = source(&json!({"brokers": [broker], "topic": topic}), &ctx);
    source.open(&[]).await.unwrap();
    let batches = read(&mut *source, 3).await;
    source.commit(&positions(&batches)).await.unwrap();
    let group = format!("dataflow-ns-{name}");
    until_committed(&group, &topic, 1, &BTreeMap::from([(0, 3)])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lag_is_how_many_records_are_behind() {
    let Some(broker) = broker("lag_is_how_many_records_are_behind") else { return };
    let topic = topic("lag", 1).await;
    produce(&topic, &numbers(1, 0..1000));
    let mut ctx = context();
    ctx.batch_records = 10;
    let mut source = source(&settings(&broker, &topic, &unique("lag")), &ctx);
    source.open(&[]).await.unwrap();
    assert_eq!(source.lag(), None);
    read(&mut *source, 10).await;
    let most = Duration::from_secs(12);
    levada_testkit::wait::until_async("the lag is known", most, || source.lag().is_some()).await;
    let lag = source.lag().unwrap();
    assert!((900..1000).contains(&lag), "{lag}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_without_members_is_set_back() {
    let Some(broker) = broker("a_group_without_members") else { return };
    let (topic, group) = (topic("rewind", 2).await, unique("group"));
    produce(&topic, &numbers(2, 0..10));
    let settings = settings(&broker, &topic, &group);
    let mut first = source(&settings, &context());
    first.open(&[]).await.unwrap();
    let batches = read(&mut *first, 10).await;
    first.commit(&positions(&batches)).await.unwrap();
    let end: BTreeMap<i32, i64> = [(0, 5), (1, 5)].into();
    until_committed(&group, &topic, 2, &end).await;
    let to = [(Str::from(format!("{topic}/1")), Position::from(3))];
    let mut other = source(&settings, &context());
    let refused = other.rewind(&to).await.unwrap_err();
    assert!(refused.message.contains("stop them first"), "{refused}");
    drop(first);
    assert!(other.rewind(&to).await.unwrap());
    until_committed(&group, &topic, 2, &[(0, 5), (1, 3)].into()).await;
    assert!(other.rewind(&[]).await.unwrap());
    until_committed(&group, &topic, 2, &[(0, 0), (1, 0)].into()).await;
    other.open(&[]).await.unwrap();
    let mut again = payloads(&read(&mut *other, 10).await);
    again.sort_unstable();
    assert_eq!(again, (0..10).collect::<Vec<_>>());
    let wrong = source(&settings, &context()).rewind(&[("elsewhere".into(), 1.into())]).await;
    assert!(wrong.unwrap_err().message.contains("positions look like"));
}
