use std::sync::atomic::{AtomicBool, Ordering};

use levada_clients::net::Net;
use levada_codec::compression::Compression;
use levada_model::Category;
use levada_runtime::{ShutdownHandle, SystemClock, TaskKind};
use levada_telemetry::metrics::Registry;
use levada_testkit::fake_http::{FakeServer, Reply};

use super::*;
use crate::deliver::Receiver;
use crate::egress::Inside;
use crate::gateway::{Gateway, Way};
use crate::ingest::{Bounds, Write};
use crate::metrics::show_pipeline;
use crate::rules::RulesSpec;
use crate::wal::{Encoding, Queue};

fn spec(name: &str, spread: Spread, urls: &[&str]) -> DestinationSpec {
    DestinationSpec {
        name: name.into(),
        kind: Kind::Dataway,
        spread,
        endpoints: urls
            .iter()
            .map(|url| EndpointSpec { url: (*url).into(), ..EndpointSpec::default() })
            .collect(),
        form: Form {
            encoding: Encoding::LineProtocol,
            compression: Compression::Gzip,
            has_global_tags: false,
        },
        policy: SendPolicy::default(),
        queue: QueueSettings { sync: crate::wal::Sync::None, ..QueueSettings::default() },
    }
}

async fn opened(specs: &[DestinationSpec], dir: &Path) -> Result<Opened, DestinationError> {
    let shared = Shared {
        dir,
        encoder: Arc::new(Encoder::new(Bounds::default(), 7)),
        clock: SystemClock::new(),
        tasks: &Tasks::new(),
        watch: None,
        net: Net::default(),
        insiders: None,
    };
    open(specs, &shared).await
}

#[tokio::test]
async fn a_spread_decides_how_many_queues_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let urls = ["http://a:9528?token=x", "http://b", "http://b/other"];
    let hash = Spread::Hash { key: "host".into() };
    let specs = [
        spec("one", Spread::Failover, &urls),
        spec("all", Spread::Broadcast, &urls),
        spec("some", hash, &urls[..2]),
    ];
    let opened = opened(&specs, dir.path()).await.unwrap();
    let names: Vec<&str> = opened.outlets.iter().map(|outlet| &*outlet.name).collect();
    assert_eq!(
        names,
        [
            "one",
            "all@http___a_9528",
            "all@http___b",
            "all@http___b#2",
            "some@http___a_9528",
            "some@http___b",
        ]
    );
    assert_eq!(opened.targets["one"], Target::Each(vec![0]));
    assert_eq!(opened.targets["all"], Target::Each(vec![1, 2, 3]));
    let among = vec![(4, 1), (5, 1)];
    assert_eq!(opened.targets["some"], Target::Hash { key: "host".into(), among });
    assert_eq!(opened.senders[0].group().states(Duration::ZERO).len(), 3);
}

#[tokio::test]
async fn what_is_wrong_is_said_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    for (specs, expected) in [
        (
            vec![spec("../x", Spread::Failover, &["http://a"])],
            "destination `../x`: the name is to be made of up to 100 letters, digits, `-`, `_` and `.`",
        ),
        (vec![spec("x", Spread::Failover, &[])], "destination `x`: it has no endpoint"),
        (
            vec![
                spec("x", Spread::Failover, &["http://a"]),
                spec("x", Spread::Failover, &["http://a"]),
            ],
            "destination `x`: the name is there twice",
        ),
        (
            vec![spec("y", Spread::Failover, &["ftp://a?token=tkn_secret"])],
            "destination `y`: endpoints[0].url",
        ),
    ] {
        let Err(error) = opened(&specs, dir.path()).await else { panic!("{expected}") };
        assert_eq!(error.to_string(), expected);
    }
    let mut proxied = spec("z", Spread::Failover, &["http://a"]);
    proxied.endpoints[0].proxy = "127.0.0.1:1080".into();
    assert!(matches!(
        opened(&[proxied], dir.path()).await,
        Err(DestinationError::Client { at: 0, .. })
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_before_a_stop_is_sent_after_the_start() {
    let (dir, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let is_up = Arc::new(AtomicBool::new(false));
    let state = is_up.clone();
    let server = FakeServer::start(move |_| {
        Reply::new(if state.load(Ordering::Acquire) { 200 } else { 503 }, "")
    });
    let specs = [spec("d", Spread::Failover, &[&server.url("?token=t")])];
    for round in 0..2 {
        let Opened { outlets, senders, targets } = opened(&specs, dir.path()).await.unwrap();
        let queue = outlets[0].queue.clone();
        let rules = RulesSpec { default: targets.get("d").cloned(), ..RulesSpec::default() };
        let encoder = Arc::new(Encoder::new(Bounds::default(), 9));
        let gateway = Gateway::new(outlets, rules, Bounds::default(), encoder).unwrap();
        let gateway = Arc::new(gateway);
        let registry = Registry::new();
        show_pipeline(&registry, &gateway, &senders).unwrap();
        let (shutdown, observer) = ShutdownHandle::new();
        let sender = senders[0].clone();
        let running =
            tasks.spawn(TaskKind::Gateway, "sender", async move { sender.run(observer).await });
        if round == 0 {
            let clock = SystemClock::new();
            let write = Write::lines(Category::Network, "m f=1i\nm f=2i\n", clock.now());
            gateway.write(write, &tasks).await.unwrap();
            let text = registry.render();
            assert!(text.contains("levada_gateway_routed_points_total 2\n"), "{text}");
        } else {
            is_up.store(true, Ordering::Release);
            let drained = async {
                while queue.counts().queued > 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), drained).await.unwrap();
        }
        shutdown.drain();
        running.await.unwrap();
        let counts = queue.counts();
        let expected = if round == 0 { (2, 0, 2) } else { (2, 2, 0) };
        assert_eq!((counts.accepted, counts.delivered, counts.queued), expected);
        queue.close().await;
        drop(gateway);
    }
}

#[tokio::test]
async fn a_writer_may_go_straight_to_a_destination_but_not_past_drop_filters() {
    let (dir, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let specs = ["usual", "other"].map(|name| spec(name, Spread::Failover, &["http://a"]));
    let Opened { outlets, targets, .. } = opened(&specs, dir.path()).await.unwrap();
    let queues: Vec<Queue> = outlets.iter().map(|outlet| outlet.queue.clone()).collect();
    let rules = RulesSpec {
        drop_filters: vec![(Category::Network, vec!["{ host = 'bad' }".to_owned()])],
        default: targets.get("usual").cloned(),
        ..RulesSpec::default()
    };
    let encoder = Arc::new(Encoder::new(Bounds::default(), 9));
    let slots = outlets.into_iter().map(Some).collect();
    let places = Places { slots, targets, ..Places::default() };
    let gateway = Gateway::with(places, rules.clone(), Bounds::default(), encoder).unwrap();
    let gateway = Arc::new(gateway);
    let straight = Way::to("other");
    let counts = || [0, 1].map(|at: usize| queues[at].counts().accepted);
    let body = "m,host=bad f=1i\nm,host=good f=2i\n";
    let write = || Write::lines(Category::Network, body, SystemClock::new().now());
    gateway.write(write(), &tasks).await.unwrap();
    assert_eq!(counts(), [1, 0]);
    let written = gateway.write_on(&straight, write(), &tasks, None).await.unwrap();
    assert_eq!((written.points, written.filtered, written.routed), (2, 1, 1));
    assert_eq!(counts(), [1, 1]);
    // It follows changes of the rules.
    gateway.rules_replace(RulesSpec { drop_filters: Vec::new(), ..rules }).unwrap();
    gateway.write_on(&straight, write(), &tasks, None).await.unwrap();
    assert_eq!(counts(), [1, 3]);
    let stats = gateway.stats();
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (received, filtered, routed) =
        (load(&stats.received), load(&stats.filtered), load(&stats.routed));
    assert_eq!((received, filtered, routed), (6, 2, 4), "received = filtered + routed");
}

/// Takes what it is given.
#[derive(Default)]
struct Taking(std::sync::Mutex<Vec<String>>);

#[async_trait::async_trait]
impl Receiver for Taking {
    fn label(&self) -> &str {
        "flow:x"
    }

    async fn send(
        &self,
        record: &crate::wal::Record,
        _is_retry: bool,
        _now: levada_model::Timestamp,
    ) -> crate::deliver::Answer {
        self.0.lock().unwrap().push(String::from_utf8(record.body.to_vec()).unwrap());
        crate::deliver::Answer::Delivered { status: 200, left_out: Default::default() }
    }
}

struct OneFlow(Arc<Taking>);

impl Insiders for OneFlow {
    fn receiver(&self, inside: &Inside) -> Arc<dyn Receiver> {
        assert_eq!(*inside, Inside::Flow { name: "x".into() });
        Arc::clone(&self.0) as Arc<dyn Receiver>
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_in_this_process_is_sent_to_like_any_other() {
    let (dir, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let mut own = spec("d", Spread::Failover, &[]);
    own.kind = Kind::Inside(Inside::Flow { name: "x".into() });
    own.form.compression = Compression::None;
    let error = opened(std::slice::from_ref(&own), dir.path()).await.err().unwrap();
    assert_eq!(error.to_string(), "destination `d`: this process has neither flows nor tasks");
    let mut both = spec("e", Spread::Failover, &["http://a"]);
    both.kind = own.kind.clone();
    let error = opened(&[both], dir.path()).await.err().unwrap();
    assert!(error.to_string().ends_with("a destination of its kind has no endpoints"), "{error}");

    let taking = Arc::<Taking>::default();
    let encoder = Arc::new(Encoder::new(Bounds::default(), 7));
    let shared = Shared {
        dir: dir.path(),
        encoder: Arc::clone(&encoder),
        clock: SystemClock::new(),
        tasks: &tasks,
        watch: None,
        net: Net::default(),
        insiders: Some(Arc::new(OneFlow(Arc::clone(&taking)))),
    };
    let Opened { outlets, senders, targets } = open(&[own], &shared).await.unwrap();
    let queue = outlets[0].queue.clone();
    let rules = RulesSpec { default: targets.get("d").cloned(), ..RulesSpec::default() };
    let gateway = Arc::new(Gateway::new(outlets, rules, Bounds::default(), encoder).unwrap());
    let line = "m f=1i 1700000000000000000\n";
    let write = Write::lines(Category::Network, line, SystemClock::new().now());
    gateway.write(write, &tasks).await.unwrap();
    let (shutdown, observer) = ShutdownHandle::new();
    let sender = senders[0].clone();
    let running =
        tasks.spawn(TaskKind::Gateway, "sender", async move { sender.run(observer).await });
    let drained = async {
        while queue.counts().delivered == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), drained).await.unwrap();
    assert_eq!(*taking.0.lock().unwrap(), [line], "as it came");
    shutdown.drain();
    running.await.unwrap();
    queue.close().await;
}

/// Gives the names of queues by place, and those that only wait to be emptied.
fn places(all: &Destinations) -> (Vec<Option<String>>, Vec<String>) {
    let places = all.places();
    let name = |slot: &Option<crate::gateway::Outlet>| slot.as_ref().map(|it| it.name.clone());
    (places.slots.iter().map(name).collect(), places.leaving.into_iter().collect())
}

#[tokio::test]
async fn queues_keep_their_places_while_others_come_and_go() {
    let (dir, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let shared = Shared {
        dir: dir.path(),
        encoder: Arc::new(Encoder::new(Bounds::default(), 7)),
        clock: SystemClock::new(),
        tasks: &tasks,
        watch: None,
        net: Net::default(),
        insiders: None,
    };
    let one = |name: &str, url: &str| spec(name, Spread::Failover, &[url]);
    let broadcast = |urls: &[&str]| spec("all", Spread::Broadcast, urls);
    let names = |opened: &[Unit]| -> Vec<String> {
        opened.iter().map(|unit| unit.outlet.name.clone()).collect()
    };
    let some = |names: &[&str]| -> Vec<Option<String>> {
        names.iter().map(|name| (!name.is_empty()).then(|| (*name).to_owned())).collect()
    };
    let mut all = Destinations::default();
    let mut other_queue = one("a", "http://moved");
    other_queue.queue.bytes_max += 1;
    for (what, wanted, opened, resent, later, slots, leaving) in [
        (
            "three queues",
            vec![one("a", "http://a"), broadcast(&["http://x", "http://y"])],
            vec!["a", "all@http___x", "all@http___y"],
            vec![],
            vec![],
            vec!["a", "all@http___x", "all@http___y"],
            vec![],
        ),
        (
            "one endpoint goes and another comes",
            vec![one("a", "http://a"), broadcast(&["http://y", "http://z"])],
            vec!["all@http___z"],
            vec![],
            vec![],
            vec!["a", "all@http___x", "all@http___y", "all@http___z"],
            vec!["all@http___x"],
        ),
        (
            "another sender for the same queue",
            vec![one("a", "http://moved"), broadcast(&["http://y", "http://z"])],
            vec![],
            vec!["a"],
            vec![],
            vec!["a", "all@http___x", "all@http___y", "all@http___z"],
            vec!["all@http___x"],
        ),
        (
            "a queue that would be another",
            vec![other_queue.clone(), broadcast(&["http://x", "http://y", "http://z"])],
            vec![],
            vec![],
            vec!["a"],
            vec!["a", "all@http___x", "all@http___y", "all@http___z"],
            vec![],
        ),
        (
            "only one is left",
            vec![other_queue],
            vec![],
            vec![],
            vec![],
            vec!["a", "all@http___x", "all@http___y", "all@http___z"],
            vec!["all@http___x", "all@http___y", "all@http___z"],
        ),
    ] {
        let plan = all.plan(&wanted, &shared).await.unwrap();
        let targets = plan.targets();
        let (new, changes) = plan.open(&shared).await.unwrap();
        all = new;
        assert_eq!(names(&changes.opened), opened, "{what}");
        assert_eq!(names(&changes.resent), resent, "{what}");
        assert_eq!(changes.later, later, "{what}");
        assert_eq!(places(&all), (some(&slots), leaving.iter().map(|n| (*n).to_owned()).collect()));
        assert_eq!(all.places().targets, targets, "{what}");
        assert_eq!(targets.len(), wanted.len(), "{what}");
    }
    // A place that is free is taken by the next one; one that is wanted cannot be taken out.
    assert!(all.remove("a").is_none());
    all.remove("all@http___y").unwrap().outlet.queue.close().await;
    assert_eq!(places(&all).0, some(&["a", "all@http___x", "", "all@http___z"]));
    let wanted = [one("a", "http://moved"), one("b", "http://b"), one("c", "http://c")];
    let (all, _) = all.plan(&wanted, &shared).await.unwrap().open(&shared).await.unwrap();
    assert_eq!(places(&all).0, some(&["a", "all@http___x", "b", "all@http___z", "c"]));
    assert_eq!(all.places().targets["b"], Target::Each(vec![2]));
    // One that cannot be opened leaves the others as they were, and none of them half open.
    std::fs::write(dir.path().join("e"), "in the way").unwrap();
    let wanted = [one("d", "http://d"), one("e", "http://e")];
    assert!(all.plan(&wanted, &shared).await.unwrap().open(&shared).await.is_err());
    let (all, changes) =
        all.plan(&wanted[..1], &shared).await.unwrap().open(&shared).await.unwrap();
    assert_eq!(names(&changes.opened), ["d"]);
    for unit in all.units() {
        unit.outlet.queue.close().await;
    }
}
