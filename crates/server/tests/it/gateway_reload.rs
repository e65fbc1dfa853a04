//! Rules of the gateway that are read again at SIGHUP.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use levada_testkit::fake_http::{FakeServer, Reply};
use serde_json::Value;

use crate::started::{Started, eventually, run};

/// Lets what failed be tried again soon.
const SOON: &str = "[gateway.retry]\ninitial = '20ms'\nmax = '50ms'\n[gateway.breaker]\nopen = '20ms'\nopen-max = '50ms'\n";

/// A receiver that counts lines.
pub(crate) struct Receiver {
    server: FakeServer,
    lines: Arc<Mutex<usize>>,
    fails: Arc<AtomicBool>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let lines = Arc::<Mutex<usize>>::default();
        let (kept, fails) = (lines.clone(), Arc::<AtomicBool>::default());
        let is_away = fails.clone();
        let server = FakeServer::start(move |request| {
            if is_away.load(Ordering::Acquire) {
                return Reply::new(503, "");
            }
            let points: usize = request.header("x-points").unwrap().parse().unwrap();
            *kept.lock().unwrap() += points;
            Reply::new(200, "")
        });
        Receiver { server, lines, fails }
    }

    fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::Release);
    }

    pub(crate) fn url(&self) -> String {
        self.server.url("?token=tkn_x")
    }

    pub(crate) fn lines(&self) -> usize {
        *self.lines.lock().unwrap()
    }
}

pub(crate) async fn status(server: &Started) -> Value {
    let url = format!("{}/api/v1/gateway/status", server.url);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

pub(crate) async fn write(server: &Started, category: &str, body: &str) {
    let url = format!("{}/v1/write/{category}", server.url);
    let answer = reqwest::Client::new().post(url).body(body.to_owned()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

pub(crate) fn rules(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

#[test]
fn rules_are_read_again_as_a_whole_or_not_at_all() {
    run_alone(async {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("levada.toml");
        let (a, rest) = (Receiver::start(), Receiver::start());
        let sinkers = |filters: &str, more: &str| {
            format!(
                "[gateway]\nurls = ['{}']\n[[gateway.destination]]\nname = 'a'\n\
                 [[gateway.destination.endpoint]]\nurl = '{}'\n{more}\n\
                 [[gateway.sinkers]]\ncategories = ['L']\nfilters = [\"\"\"{filters}\"\"\"]\ndestination = 'a'\n",
                rest.url(),
                a.url(),
            )
        };
        rules(&file, &sinkers("{ f = 'a' }", ""));
        let server = Started::with(data.path(), &[], Some(&file)).await;
        write(&server, "logging", "src f=\"a\"\nsrc f=\"b\"\n").await;
        eventually("a and the rest", async || (a.lines(), rest.lines()) == (1, 1)).await;

        // Another rule before the one that stays, and a drop filter.
        let more = "[gateway.filters]\nlogging = [\"{ f = 'x' }\"]\n[[gateway.sinkers]]\ncategories = ['L']\n\
                    filters = [\"{ f = 'b' }\"]\ndestination = 'a'\n";
        assert_eq!(read_again(&server, &file, &sinkers("{ f = 'a' }", more)).await, None);
        let shown = status(&server).await["rules"].clone();
        assert_eq!(shown["sinkers"].as_array().unwrap().len(), 2);
        assert_eq!(shown["sinkers"][1]["points"], 1, "a rule that stays goes on counting");
        assert_eq!((&shown["reloads"], &shown["last_error"]), (&1.into(), &Value::Null));
        write(&server, "logging", "src f=\"a\"\nsrc f=\"b\"\nsrc f=\"x\"\nsrc f=\"c\"\n").await;
        eventually("a and the rest", async || (a.lines(), rest.lines()) == (3, 2)).await;
        let shown = status(&server).await["rules"].clone();
        assert_eq!(
            (&shown["sinkers"][0]["points"], &shown["sinkers"][1]["points"]),
            (&1.into(), &2.into())
        );
        assert_eq!(shown["filters"][0]["points"], 1);

        // Whatever is wrong, all of it stays as it was.
        let bad = [
            (sinkers("{ f = }", ""), "parse error"),
            ("[gateway".to_owned(), "levada.toml"),
            (
                sinkers(
                    "{ f = 'a' }",
                    "[[gateway.sinkers]]\ncategories = ['L']\nurl = 'ftp://127.0.0.1:1'\n",
                ),
                "endpoints[0].url",
            ),
            (sinkers("{ f = 'a' }", "[gateway.filters]\nnonsense = ['{}']\n"), "nonsense"),
        ];
        for (count, (text, expected)) in (1_u64..).zip(bad) {
            let error = read_again(&server, &file, &text).await.unwrap_or_default();
            assert!(error.contains(expected), "{error}");
            let shown = status(&server).await["rules"].clone();
            assert_eq!(shown["reload_errors"], count, "{text}");
            assert_eq!(shown["sinkers"].as_array().unwrap().len(), 2);
            assert_eq!((&shown["sinkers"][1]["points"], &shown["reloads"]), (&2.into(), &1.into()));
        }
        let metrics = metrics(&server).await;
        for line in
            ["levada_gateway_rule_reload_errors_total 4", "levada_gateway_rule_reloads_total 1"]
        {
            assert!(metrics.contains(line), "{line}");
        }
        server.stop().await;
    });
}

async fn metrics(server: &Started) -> String {
    let metrics = reqwest::get(format!("{}/metrics", server.url)).await.unwrap();
    metrics.text().await.unwrap()
}

/// Gives what is shown of a destination, if it is there.
async fn destination(server: &Started, name: &str) -> Option<Value> {
    let shown = status(server).await["destinations"].clone();
    shown.as_array().unwrap().iter().find(|one| one["name"] == name).cloned()
}

/// Runs a test that reads its file again. The signal reaches every server of the process, so there is one such test at a time.
pub(crate) fn run_alone(test: impl Future<Output = ()>) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    run(test);
}

/// Reads the file again, and waits until that has been done; only in tests of [`run_alone`].
pub(crate) async fn read_again(server: &Started, path: &Path, text: &str) -> Option<String> {
    let done = async || {
        let rules = status(server).await["rules"].clone();
        rules["reloads"].as_u64().unwrap() + rules["reload_errors"].as_u64().unwrap()
    };
    let before = done().await;
    rules(path, text);
    // What an operator tells a server.
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
    eventually("the file is read", async || done().await > before).await;
    status(server).await["rules"]["last_error"].as_str().map(str::to_owned)
}

pub(crate) fn named(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[gateway.destination]]\nname = '{name}'\n{more}\n[[gateway.destination.endpoint]]\nurl = '{url}'\n"
    )
}

/// A sinker with an URL of its own.
fn of(filter: &str, to: &Receiver) -> String {
    sunk(filter, &format!("url = '{}'", to.url()))
}

pub(crate) fn sunk(filter: &str, destination: &str) -> String {
    format!(
        "[[gateway.sinkers]]\ncategories = ['L']\nfilters = [\"{{ f = '{filter}' }}\"]\n{destination}\n"
    )
}

#[test]
fn destinations_come_and_go_while_points_are_written() {
    run_alone(async {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("levada.toml");
        let (a, b, rest) = (Receiver::start(), Receiver::start(), Receiver::start());
        let base = format!("[gateway]\nurls = ['{}']\n{SOON}", rest.url());
        rules(&file, &base);
        let server = Started::with(data.path(), &[], Some(&file)).await;
        write(&server, "logging", "src f=\"a\"\nsrc f=\"b\"\n").await;
        eventually("the rest", async || rest.lines() == 2).await;

        // A new one gets points, as does the URL of a sinker; the one that stays counts on.
        let with_a =
            format!("{base}{}{}", named("a", &a.url(), ""), sunk("a", "destination = 'a'"));
        let with_both = format!("{with_a}{}", of("b", &b));
        assert_eq!(read_again(&server, &file, &with_both).await, None);
        write(&server, "logging", "src f=\"a\"\nsrc f=\"b\"\nsrc f=\"c\"\n").await;
        eventually("all", async || (a.lines(), b.lines(), rest.lines()) == (1, 1, 3)).await;
        let shown = destination(&server, "default").await.unwrap();
        assert_eq!((&shown["accepted"], &shown["leaving"]), (&3.into(), &false.into()));
        assert!(destination(&server, "sinker-2").await.is_some());
        let text = metrics(&server).await;
        for line in [
            "levada_gateway_accepted_points_total{destination=\"a\"} 1",
            "levada_gateway_requests_total{destination=\"a\"} 1",
            "datakit_io_dataway_sink_point_total{category=\"logging\",status=\"OK\"} 2",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }

        // One that is gone delivers what it holds, and is closed then.
        a.fail(true);
        write(&server, "logging", "src f=\"a\"\nsrc f=\"a\"\n").await;
        eventually("they wait", async || destination(&server, "a").await.unwrap()["queued"] == 2)
            .await;
        assert_eq!(read_again(&server, &file, &base).await, None);
        write(&server, "logging", "src f=\"a\"\nsrc f=\"b\"\n").await;
        eventually("the rest", async || rest.lines() == 5).await;
        let leaving = destination(&server, "a").await.unwrap();
        assert_eq!((&leaving["leaving"], &leaving["queued"]), (&true.into(), &2.into()));
        eventually("b is closed", async || destination(&server, "sinker-2").await.is_none()).await;
        a.fail(false);
        eventually("a is closed", async || destination(&server, "a").await.is_none()).await;
        assert_eq!(a.lines(), 3, "it delivered what it held");
        let text = metrics(&server).await;
        assert!(!text.contains("destination=\"a\""), "{text}");

        // The same name again: its queue goes on where it was.
        assert_eq!(read_again(&server, &file, &with_a).await, None);
        write(&server, "logging", "src f=\"a\"\nsrc f=\"b\"\n").await;
        eventually("a and the rest", async || (a.lines(), rest.lines()) == (4, 6)).await;
        let shown = destination(&server, "a").await.unwrap();
        assert_eq!((&shown["accepted"], &shown["leaving"]), (&4.into(), &false.into()));
        server.stop().await;
    });
}

#[test]
fn one_that_is_wanted_again_before_it_is_empty_stays_open() {
    run_alone(async {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("levada.toml");
        let (a, b) = (Receiver::start(), Receiver::start());
        let only_b =
            format!("{SOON}{}{}", named("b", &b.url(), ""), sunk("b", "destination = 'b'"));
        let with_a = |url: &str, more: &str| {
            format!("{only_b}{}{}", named("a", url, more), sunk("a", "destination = 'a'"))
        };
        rules(&file, &with_a(&a.url(), ""));
        let server = Started::with(data.path(), &[], Some(&file)).await;
        a.fail(true);
        write(&server, "logging", "src f=\"a\"\n").await;
        assert_eq!(read_again(&server, &file, &only_b).await, None);
        assert_eq!(destination(&server, "a").await.unwrap()["leaving"], true);
        assert_eq!(read_again(&server, &file, &with_a(&a.url(), "")).await, None);
        write(&server, "logging", "src f=\"a\"\n").await;
        let shown = destination(&server, "a").await.unwrap();
        assert_eq!((&shown["leaving"], &shown["queued"]), (&false.into(), &2.into()));

        // It moves: what waits goes where it is now.
        assert_eq!(read_again(&server, &file, &with_a(&b.url(), "")).await, None);
        eventually("what waited", async || b.lines() == 2).await;
        assert_eq!(a.lines(), 0);

        // How it queues waits for the next start; it goes on.
        let other = with_a(&b.url(), "queue = { capacity = '1MiB' }");
        assert_eq!(read_again(&server, &file, &other).await, None);
        write(&server, "logging", "src f=\"a\"\nsrc f=\"b\"\n").await;
        eventually("both", async || b.lines() == 4).await;
        server.stop().await;
    });
}

#[test]
fn a_file_that_fails_opens_and_closes_nothing() {
    run_alone(async {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("levada.toml");
        let (a, b) = (Receiver::start(), Receiver::start());
        let good = format!("{}{}", named("a", &a.url(), ""), sunk("a", "destination = 'a'"));
        rules(&file, &good);
        let server = Started::with(data.path(), &[], Some(&file)).await;
        let folder = data.path().join("gateway");
        let folders = || {
            let entries = fs::read_dir(&folder).unwrap();
            entries.map(|one| one.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(folders(), ["a"]);
        // A folder that is none: the queue of `c` cannot be opened, after that of `b` could.
        fs::write(folder.join("c"), "in the way").unwrap();
        let new = named("b", &b.url(), "");
        for (text, expected) in [
            (format!("{new}{}", sunk("b", "destination = 'z'")), "there is no destination `z`"),
            (format!("{new}{}", sunk("b' = 'b", "destination = 'b'")), "parse error"),
            (format!("{new}{}", named("d", "http://a:99999", "")), "endpoints[0].url"),
            (format!("{new}{}", named("c", &b.url(), "")), "`c`"),
            (format!("{new}{new}"), "there twice"),
        ] {
            let error = read_again(&server, &file, &text).await.unwrap_or_default();
            assert!(error.contains(expected), "{expected}: {error}");
            let shown = status(&server).await["destinations"].clone();
            let names: Vec<&str> =
                shown.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
            assert_eq!(names, ["a"], "{text}");
        }
        write(&server, "logging", "src f=\"a\"\n").await;
        eventually("a", async || a.lines() == 1).await;
        assert_eq!(b.lines(), 0);
        fs::remove_file(folder.join("c")).unwrap();
        assert_eq!(
            read_again(&server, &file, &format!("{good}{new}{}", sunk("b", "destination = 'b'")))
                .await,
            None
        );
        write(&server, "logging", "src f=\"b\"\n").await;
        eventually("b", async || b.lines() == 1).await;
        server.stop().await;
    });
}

#[test]
fn a_url_keeps_its_queue_when_sinkers_change_places() {
    run_alone(async {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("levada.toml");
        let (a, b, c) = (Receiver::start(), Receiver::start(), Receiver::start());
        rules(&file, &format!("{SOON}{}{}", of("a", &a), of("b", &b)));
        let server = Started::with(data.path(), &[], Some(&file)).await;
        [&a, &b].iter().for_each(|one| one.fail(true));
        let both = "src f=\"a\"\nsrc f=\"b\"\n";
        write(&server, "logging", both).await;
        let swapped = format!("{SOON}{}{}", of("b", &b), of("a", &a));
        assert_eq!(read_again(&server, &file, &swapped).await, None);
        write(&server, "logging", both).await;
        // Neither queue may be given to another URL while it holds points.
        let third = format!("{SOON}{}{}", of("c", &c), of("a", &a));
        let error = read_again(&server, &file, &third).await.unwrap_or_default();
        assert!(
            error.contains("the queue `sinker-1` belongs to the URL of another sinker"),
            "{error}"
        );
        [&a, &b].iter().for_each(|one| one.fail(false));
        eventually("both", async || (a.lines(), b.lines()) == (2, 2)).await;
        server.stop().await;
    });
}

#[test]
fn a_url_keeps_its_queue_when_sinkers_change_places_between_two_starts() {
    run_alone(async {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("levada.toml");
        let (a, b, c) = (Receiver::start(), Receiver::start(), Receiver::start());
        let [of_a, of_b, of_c] = [of("a", &a), of("b", &b), of("c", &c)];
        rules(&file, &format!("{SOON}{of_a}{of_b}{of_c}"));
        let server = Started::with(data.path(), &[], Some(&file)).await;
        [&a, &b, &c].iter().for_each(|one| one.fail(true));
        write(&server, "logging", "src f=\"a\"\nsrc f=\"b\"\nsrc f=\"c\"\n").await;
        server.stop().await;
        // The first one is gone, the others have moved up, and one is new.
        [&a, &b, &c].iter().for_each(|one| one.fail(false));
        let d = Receiver::start();
        rules(&file, &format!("{SOON}{of_b}{}{of_c}", of("d", &d)));
        let server = Started::with(data.path(), &[], Some(&file)).await;
        write(&server, "logging", "src f=\"b\"\nsrc f=\"d\"\n").await;
        eventually("the others", async || (b.lines(), c.lines(), d.lines()) == (2, 1, 1)).await;
        let read = format!(
            "diskcache_get_bytes_count{{path=\"{}\"}} 1\n",
            data.path().join("gateway/sinker-2").display()
        );
        eventually("it is shown that one body was read from a file", async || {
            metrics(&server).await.contains(&read)
        })
        .await;
        assert_eq!(a.lines(), 0);
        // Nor may its queue be taken when settings are read again.
        let e = Receiver::start();
        let more = format!("{SOON}{}{of_b}{of_c}", of("e", &e));
        assert_eq!(read_again(&server, &file, &more).await, None);
        write(&server, "logging", "src f=\"b\"\nsrc f=\"e\"\n").await;
        eventually("b and e", async || (b.lines(), e.lines()) == (3, 1)).await;
        server.stop().await;
        // It is there again.
        rules(&file, &format!("{SOON}{of_b}{of_a}"));
        let server = Started::with(data.path(), &[], Some(&file)).await;
        eventually("a has what waited for it", async || a.lines() == 1).await;
        assert_eq!((b.lines(), c.lines(), d.lines(), e.lines()), (3, 1, 1, 1));
        server.stop().await;
    });
}
