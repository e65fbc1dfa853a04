//! Silences, history, and events that nobody speaks of any more.

use super::*;

fn new_silence(matchers: &[&str], start: Option<Timestamp>, end: Timestamp) -> NewSilence {
    NewSilence {
        matchers: matchers.iter().map(|text| text.parse().unwrap()).collect(),
        start,
        end,
        author: "ann".to_owned(),
        comment: "new disks".to_owned(),
    }
}

fn later(world: &World, seconds: i64) -> Timestamp {
    Timestamp(world.clock.now().0 + seconds * 1_000_000_000)
}

#[tokio::test]
async fn a_silenced_event_changes_state_and_history_and_is_not_sent() {
    let world = World::new().await;
    let receiver = Receiver::new(&[]);
    world.add(&receiver);
    let silence = new_silence(&["tag.host=a", "level!=INFO"], None, later(&world, 60));
    let silence = world.service.silences().create(silence).await.unwrap();
    assert_eq!(world.publish("a", Level::Critical, 0), Level::Ok);
    assert_eq!(world.publish("a", Level::Info, 1), Level::Critical);
    world.until("the other is sent", || receiver.got().len() == 1).await;
    assert_eq!(receiver.got(), ["a INFO 1"]);
    assert_eq!(world.service.silences().get(&silence.id).unwrap().1, 1);
    assert_eq!(world.service.topics().stats().silenced, 1);
    // It survives a kill, and ends by itself.
    assert!(world.service.topics().flush().await);
    let world = world.kill().await;
    world.add(&receiver);
    world.clock.advance(Duration::from_secs(1));
    world.publish("a", Level::Critical, 2);
    world.clock.advance(Duration::from_secs(61));
    world.publish("a", Level::Critical, 3);
    world.until("the next one is sent", || receiver.got().len() == 2).await;
    assert_eq!(receiver.got()[1], "a CRITICAL 3");
    assert!(world.service.topics().flush().await);
    let page = world.service.history().page(&HistoryFilter::default()).await.unwrap();
    let lines: Vec<String> = page
        .lines
        .iter()
        .map(|line| format!("{} {} {}", line.previous, line.level, line.silence.is_some()))
        .collect();
    assert_eq!(lines, ["INFO CRITICAL true", "CRITICAL INFO false", "OK CRITICAL true"]);
}

#[tokio::test]
async fn silences_are_made_listed_ended_and_forgotten() {
    let world = World::new().await;
    let silences = world.service.silences();
    let now = world.clock.now();
    let refused = [
        (new_silence(&[], None, later(&world, 60)), "a silence needs at least one matcher"),
        (
            new_silence(&["task=x"], None, now),
            "a silence must end after it starts, and not in the past",
        ),
        (
            new_silence(&["task=x"], Some(later(&world, 9)), later(&world, 9)),
            "a silence must end after it starts, and not in the past",
        ),
    ];
    for (new, expected) in refused {
        assert_eq!(silences.create(new).await.unwrap_err().to_string(), expected);
    }
    let start = Some(later(&world, 30));
    let pending = silences.create(new_silence(&["task=x"], start, later(&world, 60))).await;
    let pending = pending.unwrap();
    let active = silences.create(new_silence(&["task=y"], None, later(&world, 90))).await.unwrap();
    let phases = |world: &World| -> Vec<&'static str> {
        let now = world.clock.now();
        let all = world.service.silences().list();
        all.iter().map(|(silence, _)| silence.phase(now).as_str()).collect()
    };
    assert_eq!(phases(&world), ["active", "pending"]);
    let world = world.kill().await;
    assert_eq!(phases(&world), ["active", "pending"]);
    world.clock.advance(Duration::from_secs(31));
    assert_eq!(phases(&world), ["active", "active"]);
    for id in [&pending.id, &active.id] {
        world.service.silences().expire(id).await.unwrap();
        world.service.silences().expire(id).await.unwrap();
    }
    assert_eq!(phases(&world), ["expired", "expired"]);
    let error = world.service.silences().expire("none").await.unwrap_err();
    assert_eq!(error.to_string(), "unknown silence: \"none\"");
    world.clock.advance(Duration::from_secs(8 * 24 * 3600));
    world.service.silences().tidy(world.clock.now()).await.unwrap();
    assert_eq!(phases(&world).len(), 0);
    assert_eq!(world.stored("silences").await, 0);
}

#[tokio::test]
async fn the_history_is_paged_filtered_and_bounded() {
    let history = HistorySettings { age_max: Duration::from_secs(3 * 24 * 3600), lines_max: 25 };
    let settings = ServiceSettings { history, ..ServiceSettings::default() };
    let clock = VirtualClock::new(Timestamp(1_700_000_000_000_000_000));
    let world = World::start(settings, Arc::default(), clock).await;
    let topics = world.service.topics().clone();
    for number in 0..20 {
        let level = if number % 2 == 0 { Level::Critical } else { Level::Ok };
        world.publish("a", level, number);
        // The same level again is no change.
        world.publish("a", level, number);
        world.clock.advance(Duration::from_secs(6 * 3600));
    }
    topics.publish("other", event("b", Level::Info));
    assert!(topics.flush().await);
    let page = |filter: HistoryFilter| {
        let service = world.service.clone();
        async move { service.history().page(&filter).await.unwrap() }
    };
    let all = page(HistoryFilter::default()).await;
    assert_eq!((all.lines.len(), all.next), (21, None));
    assert!(all.lines.is_sorted_by(|one, next| one.at >= next.at), "the newest first");
    // Page by page gives the same.
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let next = page(HistoryFilter { limit: 4, after, ..HistoryFilter::default() }).await;
        paged.extend(next.lines);
        after = next.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, all.lines);
    let of =
        |topic: &str| HistoryFilter { topic: Some(topic.to_owned()), ..HistoryFilter::default() };
    assert_eq!(page(of("other")).await.lines.len(), 1);
    let severe = HistoryFilter { min_level: Level::Warning, ..HistoryFilter::default() };
    assert_eq!(page(severe).await.lines.len(), 20, "recoveries of severe alerts are severe");
    let (since, until) = (Timestamp(all.lines[5].at), Timestamp(all.lines[2].at));
    let between =
        HistoryFilter { since: Some(since), until: Some(until), ..HistoryFilter::default() };
    assert_eq!(page(between).await.lines, all.lines[3..=5]);
    // What is too old goes by whole days.
    world.service.history().tidy(world.clock.now()).await.unwrap();
    let left = page(HistoryFilter::default()).await.lines;
    assert!((12..=17).contains(&left.len()), "{}", left.len());
    assert_eq!(world.service.history().lines(), left.len() as u64);
    // What is too much goes, too, the oldest first, also after a restart.
    for number in 0..40 {
        let level = if number % 2 == 0 { Level::Critical } else { Level::Ok };
        world.publish("c", level, number);
    }
    assert!(topics.flush().await);
    drop(topics);
    let world = world.kill().await;
    world.service.history().tidy(world.clock.now()).await.unwrap();
    assert_eq!(world.service.history().lines(), 25);
    let page = world.service.history().page(&HistoryFilter::default()).await.unwrap();
    assert_eq!(page.lines.len(), 25, "as many are stored");
    assert!(page.lines.iter().all(|line| line.id == "c"));
    assert_eq!(page.lines[0].message, "c OK 39");
}

#[tokio::test]
async fn events_that_nobody_speaks_of_after_a_start_are_reported_and_still_recover() {
    let world = World::new().await;
    for id in ["here", "gone", "back"] {
        world.publish(id, Level::Critical, 0);
    }
    assert!(world.service.topics().flush().await);
    let world = world.kill().await;
    let receiver = Receiver::new(&[]);
    world.service.topics().open(TOPIC);
    world.add(&receiver);
    let topics = world.service.topics().clone();
    // The task sees the group again and asks for its level.
    assert!(topics.event_state_sync(Some(TOPIC), None, "here").is_some());
    world.clock.advance(Duration::from_secs(3601));
    topics.report_stale();
    let status = |topics: &Topics| {
        let status = topics.status(TOPIC).unwrap();
        (status.level, status.stale)
    };
    assert_eq!(status(&topics), (Level::Critical, 2));
    assert_eq!(topics.stats().stale, 2);
    world.publish("here", Level::Ok, 1);
    assert_eq!(status(&topics), (Level::Ok, 2), "what is stale does not count");
    // One comes back: its recovery is sent.
    assert_eq!(world.publish("back", Level::Ok, 2), Level::Critical);
    world.until("recoveries are sent", || receiver.got().len() == 2).await;
    assert_eq!(status(&topics), (Level::Ok, 1));
    assert!(topics.flush().await);
    let page = world.service.history().page(&HistoryFilter::default()).await.unwrap();
    let stale: Vec<&str> =
        page.lines.iter().filter(|line| line.stale).map(|line| &*line.id).collect();
    assert_eq!(stale.len(), 2);
    // The other one is forgotten in the end.
    world.clock.advance(Duration::from_secs(8 * 24 * 3600));
    topics.report_stale();
    assert!(topics.flush().await);
    assert_eq!((topics.status(TOPIC).unwrap().stale, world.stored("topic-states/").await), (0, 0));
}

#[tokio::test]
async fn silences_are_as_many_and_stay_as_long_as_the_settings_say() {
    let silences = SilencesSettings { silences_max: 1, retention: Duration::from_secs(100) };
    let settings = ServiceSettings { silences, ..ServiceSettings::default() };
    let clock = VirtualClock::new(Timestamp(1_700_000_000_000_000_000));
    let world = World::start(settings, Arc::default(), clock).await;
    let silences = world.service.silences();
    silences.create(new_silence(&["task=x"], None, later(&world, 60))).await.unwrap();
    let more = silences.create(new_silence(&["task=y"], None, later(&world, 60))).await;
    assert_eq!(more.unwrap_err().to_string(), "there are 1 silences");
    world.clock.advance(Duration::from_secs(155));
    silences.tidy(world.clock.now()).await.unwrap();
    assert_eq!(silences.list().len(), 1);
    world.clock.advance(Duration::from_secs(10));
    silences.tidy(world.clock.now()).await.unwrap();
    assert!(silences.list().is_empty());
}
