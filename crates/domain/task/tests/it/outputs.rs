//! What leaves a task, and what comes back: httpOut, httpPost, influxDBOut, kapacitorLoopback, sideload, deadman, queries.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use levada_codec::line_protocol::{Limits as ParserLimits, Parser, Precision};
use levada_model::{FieldValue, Str, Timestamp};
use levada_task::actor::Actor;
use levada_task::definition::{DefineOptions, Definition, define};
use levada_task::dry_run::Unconfigured;
use levada_task::effect::{Answer, Effect, Effects, NodeName};
use levada_task::nodes::http_post::WAITING_MAX;
use levada_task::nodes::sideload::{FILE_BYTES_MAX, read_folder};
use levada_task::pipeline::TaskType;
use levada_task::pipeline::start::StartOptions;
use levada_task::runtime::context::{Compat, Limits};
use levada_task::runtime::services::{Alerts, Endpoint, InfluxdbOut, ServerInfo, SideloadSource};
use levada_task::runtime::{Failure, Services};
use levada_tick::lambda::Env;
use proptest::prelude::*;

use crate::notation::Record;

/// Services with an endpoint, a folder and a memory of what influxDBOut asked for.
#[derive(Default)]
pub(crate) struct Configured {
    dry: Unconfigured,
    folder: Option<PathBuf>,
    tables: BTreeMap<String, BTreeMap<String, FieldValue>>,
    outs: Mutex<Vec<InfluxdbOut>>,
}

impl Services for Configured {
    fn endpoint(&self, name: &str) -> Option<Endpoint> {
        let row_template =
            "{{ .Name }} {{ range .Values }}{{ index . \"v\" }};{{ end }}".to_owned();
        (name == "known").then(|| Endpoint {
            url: "http://known/{{ index .Tags \"host\" }}".to_owned(),
            headers: vec![("X-Key".to_owned(), "1".to_owned())],
            row_template,
        })
    }

    fn influxdb(&self, cluster: &str) -> Result<(), String> {
        match cluster {
            "none" => {
                Err("no InfluxDB cluster configured cannot use the InfluxDBOutNode".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn influxdb_out(&self, out: &InfluxdbOut) -> Result<(), String> {
        self.outs.lock().unwrap().push(out.clone());
        self.influxdb(&out.cluster)
    }

    fn sideload(&self, _source: &str) -> Result<SideloadSource, String> {
        Ok(match &self.folder {
            Some(folder) => SideloadSource::Folder(folder.clone()),
            None => SideloadSource::Tables(self.tables.clone()),
        })
    }

    fn alerts(&self) -> Arc<dyn Alerts> {
        self.dry.alerts()
    }

    fn server(&self) -> ServerInfo {
        ServerInfo::default()
    }
}

/// Effects that answer later.
#[derive(Clone, Default)]
struct Later {
    record: Record,
    asked: Arc<Mutex<Vec<(String, u64)>>>,
    refuses: bool,
}

impl Effects for Later {
    fn effect(&mut self, node: &NodeName, effect: Effect<'_>) -> Result<Option<Answer>, Str> {
        if self.refuses && !matches!(effect, Effect::Problem(_)) {
            return Err("the queue is full".into());
        }
        let token = match &effect {
            Effect::HttpPost(post) => Some(post.token),
            _ => None,
        };
        self.record.effect(node, effect)?;
        if let Some(token) = token {
            let line = self.record.lines().pop().unwrap_or_default();
            self.asked.lock().unwrap().push((line, token));
        }
        Ok(None)
    }
}

struct Task {
    actor: Actor,
    record: Record,
    parser: Parser,
}

pub(crate) fn definition(script: &str) -> Definition {
    let task_type = if script.contains("batch") { TaskType::Batch } else { TaskType::Stream };
    let options = DefineOptions { task_type: Some(task_type), ..DefineOptions::default() };
    define(script, &options).unwrap_or_else(|error| panic!("{script}: {error}"))
}

pub(crate) fn start_with(
    script: &str,
    services: &dyn Services,
    effects: Box<dyn Effects>,
) -> Result<Actor, String> {
    Actor::start(
        &definition(script).pipeline,
        &StartOptions {
            task: "t".into(),
            dbrps: &[("db".into(), "rp".into())],
            services,
            limits: &Limits { buffered_points: 1_500, ..Limits::default() },
            compat: Compat::default(),
            seed: 1,
        },
        effects,
        Env::at(Timestamp(0)),
        Timestamp(0),
    )
}

// === impl Task ===

impl Task {
    fn start(script: &str) -> Task {
        Task::with(script, &Configured::default())
    }

    fn with(script: &str, services: &dyn Services) -> Task {
        let record = Record::default();
        let actor = start_with(script, services, Box::new(record.clone())).unwrap();
        Task { actor, record, parser: Parser::new(ParserLimits::default()) }
    }

    fn give(&mut self, lines: &str) -> Result<(), Box<Failure>> {
        give(&mut self.actor, &mut self.parser, lines)
    }

    fn served(&self) -> Result<String, String> {
        let served = self.actor.graph().served().remove(0).1;
        served.body.map(|body| String::from_utf8(body).unwrap())
    }

    fn statistic(&self, key: &str) -> Option<String> {
        let mut all = self.actor.graph().slots().iter().flat_map(|slot| slot.shown_statistics());
        all.find(|(known, _)| *known == key).map(|(_, value)| value)
    }
}

fn give(actor: &mut Actor, parser: &mut Parser, lines: &str) -> Result<(), Box<Failure>> {
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let mut points = Vec::new();
        let (database, retention) = (Str::from("db"), Str::from("rp"));
        let outcome = parser.parse(
            &database,
            &retention,
            Precision::Seconds,
            Timestamp(0),
            line.as_bytes(),
            &mut points,
        );
        assert!(outcome.problems.is_empty(), "{line}: {:?}", outcome.problems);
        actor.points(&points)?;
    }
    Ok(())
}

// httpOut

#[test]
fn http_out_serves_the_last_item_of_each_group_in_the_order_they_came() {
    let mut task = Task::start("stream|from().groupBy('h')|httpOut('top')");
    assert_eq!(task.served().unwrap(), r#"{"series":null}"#);
    task.give("m,h=b v=1,a=true 1\nm,h=a v=2i 2\nm,h=b,x=y v=3 3").unwrap();
    assert_eq!(
        task.served().unwrap(),
        concat!(
            r#"{"series":[{"name":"m","tags":{"h":"b","x":"y"},"columns":["time","v"],"values":[["1970-01-01T00:00:03Z",3]]},"#,
            r#"{"name":"m","tags":{"h":"a"},"columns":["time","v"],"values":[["1970-01-01T00:00:02Z",2]]}]}"#
        )
    );
    assert_eq!(task.actor.graph().served()[0].1.endpoint, "top");
}

#[test]
fn http_out_serves_batches_as_rows_and_not_what_json_cannot_say() {
    let mut task = Task::start(
        "stream|from().groupBy('h')|window().periodCount(2).everyCount(2)|httpOut('w')",
    );
    task.give("m,h=b,x=p v=1 1\nm,h=b v=2 2").unwrap();
    assert_eq!(
        task.served().unwrap(),
        r#"{"series":[{"name":"m","tags":{"h":"b"},"columns":["time","v","x"],"values":[["1970-01-01T00:00:01Z",1,"p"],["1970-01-01T00:00:02Z",2,null]]}]}"#
    );
    let mut task = Task::start("stream|from()|eval(lambda: \"v\" / 0.0).as('q')|httpOut('e')");
    task.give("m v=1 1").unwrap();
    assert_eq!(task.served().unwrap_err(), "json: unsupported value: +Inf");
    task.give("m v=-1 1").unwrap();
    assert_eq!(task.served().unwrap_err(), "json: unsupported value: -Inf");
    task.give("m v=0 1").unwrap();
    assert_eq!(task.served().unwrap_err(), "json: unsupported value: NaN");
}

#[test]
fn http_out_forgets_groups_that_are_deleted_and_shows_those_that_only_have_a_barrier() {
    let mut task =
        Task::start("stream|from().groupBy('h')|barrier().idle(1s).delete(TRUE)|httpOut('x')");
    task.give("m,h=a v=1 0").unwrap();
    assert!(task.served().unwrap().contains("\"a\""));
    task.actor.advance(Timestamp(3_000_000_000)).unwrap();
    assert_eq!(task.served().unwrap(), r#"{"series":null}"#);

    let mut task = Task::start(
        "stream|from().groupBy('h')|barrier().idle(1s)|where(lambda: FALSE)|httpOut('x')",
    );
    task.give("m,h=a v=1 0").unwrap();
    task.actor.advance(Timestamp(3_000_000_000)).unwrap();
    assert_eq!(task.served().unwrap(), r#"{"series":[null]}"#);
}

#[test]
fn http_out_goes_on_where_it_was_saved() {
    let script = "stream|from().groupBy('h')|window().periodCount(2).everyCount(1)|httpOut('w')";
    let mut task = Task::start(script);
    task.give("m,h=b v=1 1\nm,h=a v=2 2\nm,h=b v=3 3").unwrap();
    let mut other = Task::start(script);
    assert_eq!(other.actor.load(&task.actor.save()).unwrap(), Vec::<Str>::new());
    assert_eq!(other.served(), task.served());
    task.give("m,h=c v=3 3\nm,h=a v=3 3").unwrap();
    other.give("m,h=c v=3 3\nm,h=a v=3 3").unwrap();
    assert_eq!(other.served(), task.served());
}

// httpPost

#[test]
fn http_post_sends_rows_and_adds_the_code() {
    let mut task = Task::start(
        "stream|from()|httpPost('http://h/{{ .Name }}/{{ index .Tags \"t\" }}').codeField('c')|log()",
    );
    task.give("m,t=x v=1 1").unwrap();
    assert_eq!(
        task.record.lines(),
        [
            r#"H http://h/m/x {"series":[{"name":"m","tags":{"t":"x"},"columns":["time","v"],"values":[["1970-01-01T00:00:01Z",1]]}]}"#,
            r#"P m,t=x c=200i,v=1 1 | group="""#,
        ]
    );
}

#[test]
fn http_post_knows_endpoints_and_their_row_templates() {
    let mut task = Task::start(
        "stream|from()|window().periodCount(2).everyCount(2)|httpPost().endpoint('known')",
    );
    task.give("m,host=a v=1 1\nm,host=a v=2.5 2").unwrap();
    assert_eq!(task.record.lines(), ["H http://known/ m 1;2.5;"]);
    let script = "stream|from()|httpPost().endpoint('b')";
    let started = start_with(script, &Configured::default(), Box::new(Record::default()));
    assert_eq!(started.err().unwrap(), "endpoint 'b' does not exist");
}

#[test]
fn http_post_is_checked_when_it_is_defined_and_enabled() {
    let cases = [
        ("httpPost('a', 'b')", "httpPost expects 0 or 1 arguments, got 2"),
        ("httpPost().endpoint('a').endpoint('b')", "httpPost expects 0 or 1 endpoints, got 2"),
        ("httpPost()", "must provide url or endpoint"),
        ("httpPost('a').endpoint('b')", "only one endpoint and url may be specified"),
        ("httpPost('a').header('Authenticate', 'b')", "cannot set 'authenticate' header"),
        ("kapacitorLoopback()", "must specify a database"),
        ("kapacitorLoopback().database('d')", "must specify a retention policy"),
    ];
    for (call, wanted) in cases {
        let error =
            define(&format!("stream|from()|{call}"), &DefineOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), wanted, "{call}");
    }
    let problems = definition("stream|from()|httpPost('http://{{ .x')").pipeline.check();
    assert!(problems[0].1.starts_with("error in url templating"), "{problems:?}");
}

#[test]
fn items_wait_for_their_answers_and_leave_in_order() {
    let later = Later::default();
    let script = "stream|from()|httpPost('http://h').codeField('c').captureResponse()|log()";
    let mut actor = start_with(script, &Configured::default(), Box::new(later.clone())).unwrap();
    let mut parser = Parser::new(ParserLimits::default());
    give(&mut actor, &mut parser, "m v=1 1\nm v=2 2\nm v=3 3").unwrap();
    let place =
        actor.graph().slots().iter().position(|slot| &*slot.name.name == "http_post2").unwrap();
    let tokens: Vec<u64> = later.asked.lock().unwrap().iter().map(|(_, token)| *token).collect();
    let items = |later: &Later| -> Vec<String> {
        later.record.lines().into_iter().filter(|line| !line.starts_with('H')).collect()
    };
    assert_eq!(actor.context().held, 3);
    actor.answer(place, tokens[1], Answer::Status { code: 500, body: Some("no".into()) }).unwrap();
    assert_eq!(items(&later), ["E http_post2: POST returned non 2xx status code: no code=500"]);
    actor.answer(place, tokens[0], Answer::Status { code: 204, body: None }).unwrap();
    assert_eq!(
        items(&later)[1..],
        ["P m c=204i,v=1 1 | group=\"\"", "P m c=500i,v=2 2 | group=\"\""]
    );
    actor.answer(place, tokens[2], Answer::Failed("refused".into())).unwrap();
    assert_eq!(
        items(&later)[3..],
        ["E http_post2: failed to POST data: refused", "P m c=0i,v=3 3 | group=\"\""]
    );
    assert_eq!(actor.context().held, 0);
    // An answer that nobody waits for changes nothing.
    actor.answer(place, 77, Answer::Status { code: 200, body: None }).unwrap();
    assert_eq!(items(&later).len(), 5);
}

#[test]
fn an_item_that_finds_the_queue_full_goes_on_at_once() {
    let later = Later::default();
    let script = "stream|from()|httpPost('http://h')|log()";
    let mut actor = start_with(script, &Configured::default(), Box::new(later.clone())).unwrap();
    let mut parser = Parser::new(ParserLimits::default());
    for at in 0..WAITING_MAX {
        give(&mut actor, &mut parser, &format!("m v=1 {at}")).unwrap();
    }
    assert_eq!(later.record.lines().len(), WAITING_MAX, "all wait");
    give(&mut actor, &mut parser, "m v=9 9999").unwrap();
    assert_eq!(
        later.record.lines()[WAITING_MAX + 1..],
        [
            "E http_post2: failed to wait for the answer to a POST: too many items wait for an answer",
            "P m v=9 9999 | group=\"\"",
        ]
    );
    actor.finish().unwrap();
    let lines = later.record.lines();
    assert_eq!(
        lines.len(),
        2 * WAITING_MAX + 4,
        "the rest goes on at the end, with a word about it"
    );
}

#[test]
fn what_waits_is_sent_again_after_a_restore() {
    let later = Later::default();
    let script = "stream|from()|httpPost('http://h').codeField('c')|log()";
    let mut actor = start_with(script, &Configured::default(), Box::new(later)).unwrap();
    let mut parser = Parser::new(ParserLimits::default());
    give(&mut actor, &mut parser, "m v=1 1\nm v=2 2").unwrap();
    let saved = actor.save();

    let later = Later::default();
    let mut actor = start_with(script, &Configured::default(), Box::new(later.clone())).unwrap();
    assert_eq!(actor.load(&saved).unwrap(), Vec::<Str>::new());
    assert_eq!(later.asked.lock().unwrap().len(), 2);
    assert_eq!(actor.context().held, 2);
    let place =
        actor.graph().slots().iter().position(|slot| &*slot.name.name == "http_post2").unwrap();
    for token in later.asked.lock().unwrap().iter().map(|(_, token)| *token) {
        actor.answer(place, token, Answer::Status { code: 200, body: None }).unwrap();
    }
    assert_eq!(
        later.record.lines()[2..],
        ["P m c=200i,v=1 1 | group=\"\"", "P m c=200i,v=2 2 | group=\"\""]
    );

    // Answered at once, they go on with the next tick of the clock.
    let record = Record::default();
    let mut actor = start_with(script, &Configured::default(), Box::new(record.clone())).unwrap();
    actor.load(&saved).unwrap();
    actor.advance(Timestamp(1)).unwrap();
    assert_eq!(record.lines().len(), 4);
}

// influxDBOut, kapacitorLoopback

#[test]
fn influxdb_out_names_places_and_leaves_out_nulls() {
    let services = Configured::default();
    let script = "stream|from()|influxDBOut().retentionPolicy('r').measurement('n').tag('a', 'b').buffer(7).flushInterval(3s).create()";
    let mut task = Task::with(script, &services);
    task.give("m,a=x,c=d v=1 1").unwrap();
    assert_eq!(task.record.lines(), ["W db.r n,a=b,c=d v=1 1"]);
    let outs = services.outs.lock().unwrap();
    assert_eq!((outs[0].buffer, outs[0].flush_interval.as_secs(), outs[0].creates), (7, 3, true));
    assert_eq!(task.statistic("points_written").as_deref(), Some("1"));
    assert_eq!(task.statistic("points_skipped"), None);

    let mut task = Task::start(
        "var a = stream|from().measurement('a')\nvar b = stream|from().measurement('b')\n\
         a|join(b).as('a', 'b').fill('null')|eval(lambda: 1).as('one').keep('b.v')|influxDBOut()",
    );
    task.give("a v=1 1\na v=1 5").unwrap();
    task.actor.finish().unwrap();
    let lines = task.record.lines();
    assert!(lines.iter().all(|line| !line.starts_with('W')), "{lines:?}");
    assert_eq!(task.statistic("points_skipped").as_deref(), Some("2"));
    assert_eq!(task.statistic("write_errors").as_deref(), Some("0"));
}

#[test]
fn influxdb_out_counts_what_was_refused_now_or_later() {
    let later = Later { refuses: true, ..Later::default() };
    let script = "stream|from()|influxDBOut()";
    let mut actor = start_with(script, &Configured::default(), Box::new(later.clone())).unwrap();
    let mut parser = Parser::new(ParserLimits::default());
    give(&mut actor, &mut parser, "m v=1 1").unwrap();
    assert_eq!(
        later.record.lines(),
        ["E influxdb_out2: failed to write points to InfluxDB: the queue is full"]
    );
    let mut task = Task::start(script);
    task.give("m v=1 1\nm v=1 2\nm v=1 3").unwrap();
    task.actor.answer(2, 2, Answer::Failed("down".into())).unwrap();
    assert_eq!(task.statistic("points_written").as_deref(), Some("1"));
    assert_eq!(task.statistic("write_errors").as_deref(), Some("1"));
    let started = start_with(
        "stream|from()|influxDBOut().cluster('none')",
        &Configured::default(),
        Box::new(Record::default()),
    );
    assert_eq!(
        started.err().unwrap(),
        "no InfluxDB cluster configured cannot use the InfluxDBOutNode"
    );
}

#[test]
fn loopback_writes_to_another_database_and_honours_the_measurement_of_batches() {
    let script = "stream|from().groupBy('h')|window().periodCount(1).everyCount(1)\
        |kapacitorLoopback().database('d').retentionPolicy('r').measurement('n').tag('k', 'v')";
    let mut task = Task::start(script);
    task.give("m,h=a v=1 1").unwrap();
    assert_eq!(task.record.lines(), ["L d.r n,h=a,k=v v=1 1"]);
    let script = "stream|from()|kapacitorLoopback().database('db').retentionPolicy('rp')";
    let started = start_with(script, &Configured::default(), Box::new(Record::default()));
    assert_eq!(started.err().unwrap(), r#"loop detected on dbrp: "db"."rp""#);
}

// sideload

fn tables() -> BTreeMap<String, BTreeMap<String, FieldValue>> {
    let table = |pairs: &[(&str, FieldValue)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    BTreeMap::from([
        (
            "host/a".to_owned(),
            table(&[("i", FieldValue::Str("7".into())), ("t", FieldValue::Int(3))]),
        ),
        (
            "all".to_owned(),
            table(&[
                ("i", FieldValue::Float(2.0)),
                ("f", FieldValue::Int(4)),
                ("s", FieldValue::Float(1.5)),
                ("b", FieldValue::Str("x".into())),
            ]),
        ),
    ])
}

#[test]
fn sideload_takes_the_first_key_that_has_the_name_and_converts() {
    let services = Configured { tables: tables(), ..Configured::default() };
    let script = "stream|from()|sideload().source('http://h/x').order('host/{{ .host }}', 'all')\
        .field('i', 1).field('f', 0.5).field('s', 'd').field('b', FALSE).field('n', 9).tag('t', 'none')|log()";
    let mut task = Task::with(script, &services);
    task.give("m,host=a v=1 1\nm,host=z i=100i 2").unwrap();
    assert_eq!(
        task.record.lines(),
        [
            "E sideload2: failed to load key: \"b\": cannot convert string \"x\" to bool",
            "P m,host=a,t=3 b=false,f=4,i=7i,n=9i,s=\"1.5\",v=1 1 | group=\"\"",
            "E sideload2: failed to load key: \"b\": cannot convert string \"x\" to bool",
            "P m,host=z,t=none b=false,f=4,i=2i,n=9i,s=\"1.5\" 2 | group=\"\"",
        ]
    );
}

#[test]
fn sideload_reads_files_and_reads_them_again() {
    let folder = std::env::temp_dir().join(format!("levada-sideload-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("host")).unwrap();
    std::fs::write(folder.join("host/a.yml"), "# about a\nlow: 3\nname: 'it''s' # x\n").unwrap();
    std::fs::write(folder.join("all.json"), r#"{"low":10,"name":"other"}"#).unwrap();
    let services = Configured { folder: Some(folder.clone()), ..Configured::default() };
    let script = "stream|from()|sideload().source('file:///x').order('host/{{ .host }}.yml', 'all.json')\
        .field('low', 0).field('name', '')|log()";
    let mut task = Task::with(script, &services);
    task.give("m,host=a v=1 1\nm,host=b v=1 2").unwrap();
    std::fs::write(folder.join("host/b.yml"), "low: 5\n").unwrap();
    task.give("m,host=b v=1 3").unwrap();
    assert_eq!(task.actor.reload(&services), []);
    task.give("m,host=b v=1 4").unwrap();
    std::fs::write(folder.join("host/b.yml"), "low:\n  - 5\n").unwrap();
    let problems = task.actor.reload(&services);
    assert!(problems[0].1.contains("only a flat object"), "{problems:?}");
    task.give("m,host=b v=1 5").unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(
        task.record.lines(),
        [
            "P m,host=a low=3i,name=\"it's\",v=1 1 | group=\"\"",
            "P m,host=b low=10i,name=\"other\",v=1 2 | group=\"\"",
            "P m,host=b low=10i,name=\"other\",v=1 3 | group=\"\"",
            "P m,host=b low=5i,name=\"other\",v=1 4 | group=\"\"",
            "P m,host=b low=5i,name=\"other\",v=1 5 | group=\"\"",
        ]
    );
}

#[test]
fn a_sideload_file_is_not_larger_than_the_bound() {
    let folder = std::env::temp_dir().join(format!("levada-sideload-size-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let size = usize::try_from(FILE_BYTES_MAX).unwrap();
    std::fs::write(folder.join("a.yml"), format!("a: {}", "x".repeat(size - 3))).unwrap();
    let at_bound = read_folder(&folder).map(|tables| tables.len());
    std::fs::write(folder.join("a.yml"), format!("a: {}", "x".repeat(size - 2))).unwrap();
    let above = read_folder(&folder).unwrap_err();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(at_bound, Ok(1));
    assert_eq!(above, format!("sideload file \"a.yml\" is larger than {FILE_BYTES_MAX} bytes"));
}

#[test]
fn sideload_sources_are_checked_and_never_end_the_process() {
    let cases = [
        ("ftp://x", "unsupported source scheme \"ftp\", must be 'file', 'http', or 'https'"),
        ("file://x", "sideload source path must be absolute \"x\""),
        ("http://%zz", "parse \"http://%zz\": invalid URL escape \"%zz\""),
        ("http://", "parse \"http://\": the address has no host"),
    ];
    for (source, wanted) in cases {
        let script = format!("stream|from()|sideload().source('{source}').order('a')|log()");
        let problems = definition(&script).pipeline.check();
        assert_eq!(problems.iter().map(|(_, text)| &**text).collect::<Vec<_>>(), [wanted]);
        let started = start_with(&script, &Configured::default(), Box::new(Record::default()));
        assert_eq!(started.err().unwrap(), wanted);
    }
}

#[test]
fn a_loaded_tag_that_is_a_dimension_decides_the_group() {
    let services = Configured { tables: tables(), ..Configured::default() };
    let script = "stream|from().groupBy('t')|sideload().source('e').order('host/{{ .host }}').tag('t', 'none')|log()";
    let mut task = Task::with(script, &services);
    task.give("m,host=a v=1 1").unwrap();
    assert_eq!(task.record.lines(), ["P m,host=a,t=3 v=1 1 | group=\"t=3\""]);
}

// deadman

#[test]
fn deadman_makes_three_nodes_and_a_noop() {
    let definition = definition("var d = stream|from().groupBy('host')\nd|deadman(2.0, 1s)");
    assert_eq!(
        definition.pipeline.dot("t"),
        "digraph t {\nstream0 -> from1;\nfrom1 -> noop3;\nstats2 -> derivative4;\nderivative4 -> alert5;\n}"
    );
    let script = definition.pipeline.to_script().unwrap();
    assert!(script.contains("{{ .Group }}:from1 for task"), "{script}");
    assert!(script.contains("points/1s."), "{script}");
    let error = define("stream|from()|deadman(100, 10s)", &DefineOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1 char 15: error calling func \"deadman\" on obj *pipeline.FromNode: reflect: Call using int64 as type float64"
    );
}

#[test]
fn stats_of_a_batch_source_are_no_query() {
    let definition =
        definition("batch|stats(1s)|log()\nbatch|query('SELECT v FROM db.rp.m').every(1s)|log()");
    assert_eq!(definition.pipeline.dot("t"), "digraph t {\nquery4 -> log5;\nstats1 -> log3;\n}");
    let script = "batch|stats(1s)|log()\nbatch|query('SELECT v FROM db.rp.m').every(1s)|log()";
    let actor = start_with(script, &Configured::default(), Box::new(Record::default())).unwrap();
    assert_eq!(actor.queries().len(), 1);
}

#[test]
fn deadman_reports_silence_and_life() {
    let mut task = Task::start(
        "stream|from().groupBy('host')|deadman(0.0, 10s, lambda: hour(\"time\") < 24).stateChangesOnly()",
    );
    let seconds = |count: i64| Timestamp(count * 1_000_000_000);
    task.give("m,host=a v=1 1").unwrap();
    for tick in 1..=4 {
        task.actor.advance(seconds(tick * 10)).unwrap();
    }
    task.give("m,host=a v=1 1").unwrap();
    task.actor.advance(seconds(50)).unwrap();
    let alerts: Vec<String> =
        task.record.lines().into_iter().filter(|line| line.starts_with('A')).collect();
    assert_eq!(
        alerts,
        [
            "A CRITICAL id=\"host=a:from1 for task 't'\" msg=\"host=a:from1 for task 't' is dead: 0.000 points/10s.\" @20 dur=0s",
            "A OK id=\"host=a:from1 for task 't'\" msg=\"host=a:from1 for task 't' is alive: 1.000 points/10s.\" @50 dur=30s",
        ]
    );
}

#[test]
fn every_task_has_a_deadman_when_the_settings_say_so() {
    let mut options = DefineOptions::default();
    options.deadman.is_global = true;
    let definition = define("stream|from()|log()", &options).unwrap();
    assert!(definition.pipeline.dot("t").contains("derivative4 -> alert5;"));
    assert_eq!(define("stream", &options).unwrap_err().to_string(), "task does nothing");
}

// queries

#[test]
fn autoscale_nodes_are_checked_and_say_that_they_are_not_built_in() {
    let cases = [
        ("k8sAutoscale()", "must specify exactly one of ResourceName or ResourceNameTag"),
        (
            "k8sAutoscale().resourceName('a').kind('pods')",
            "invalid Kind, must be 'deployments', 'replicasets' or 'replicationcontrollers', got pods",
        ),
        ("k8sAutoscale().resourceName('a').min(0)", "min must be >= 1, got 0"),
        ("k8sAutoscale().resourceName('a')", "must provide a replicas lambda expression"),
        ("swarmAutoscale()", "must specify exactly one of ServiceName or ServiceNameTag"),
        ("ec2Autoscale()", "must specify exactly one of GroupName or GroupNameTag"),
    ];
    for (call, wanted) in cases {
        let error =
            define(&format!("stream|from()|{call}"), &DefineOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), wanted, "{call}");
    }
    let calls = [
        "k8sAutoscale().resourceName('a').kind('replicationcontroller')",
        "k8sAutoscale().resourceNameTag('a').kind('replicationcontrollers')",
        "swarmAutoscale().serviceName('a')",
        "ec2Autoscale().groupName('a')",
    ];
    for call in calls {
        let script = format!("stream|from()|{call}.replicas(lambda: int(\"v\"))|log()");
        assert_eq!(definition(&script).pipeline.check(), [], "{script}");
        let started = start_with(&script, &Configured::default(), Box::new(Record::default()));
        let error = started.err().unwrap();
        assert!(error.contains("not built in"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A task that is saved and restored anywhere gives what an uninterrupted one gives.
    #[test]
    fn a_restore_anywhere_changes_nothing(
        points in prop::collection::vec((0u8..3, -5i64..5), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let script = "stream|from().groupBy('h')|httpOut('a')|httpPost('http://h').codeField('c')\
            |window().periodCount(2).everyCount(1)|httpOut('b')|log()";
        let lines: Vec<String> = points
            .iter()
            .enumerate()
            .map(|(at, (host, value))| format!("m,h={host} v={value} {at}"))
            .collect();
        let cut = cut.index(lines.len());
        let mut whole = Task::start(script);
        whole.give(&lines.join("\n")).unwrap();
        let mut first = Task::start(script);
        first.give(&lines[..cut].join("\n")).unwrap();
        let mut second = Task::start(script);
        prop_assert_eq!(second.actor.load(&first.actor.save()).unwrap(), Vec::<Str>::new());
        second.give(&lines[cut..].join("\n")).unwrap();
        prop_assert_eq!(second.actor.graph().served(), whole.actor.graph().served());
        let mut given = first.record.lines();
        given.extend(second.record.lines());
        prop_assert_eq!(given, whole.record.lines());
    }
}
