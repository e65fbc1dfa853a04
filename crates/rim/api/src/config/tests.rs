#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use levada_runtime::SystemClock;
use levada_store::{MemoryDocuments, Write};
use serde_json::json;

use super::*;

async fn open(documents: &Arc<dyn Documents>, variables: &[(&str, &str)]) -> Arc<Config> {
    let environment =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into()));
    let kapacitor = Kapacitor { config: String::new(), environment: environment.collect() };
    let (documents, clock) = (Arc::clone(documents), SystemClock::new());
    Config::open(ConfigDeps { kapacitor: &kapacitor, own: Vec::new(), documents, clock })
        .await
        .unwrap()
}

fn memory() -> Arc<dyn Documents> {
    Arc::new(MemoryDocuments::default())
}

async fn set(config: &Config, section: &str, update: Value) -> Result<(), String> {
    let element = section.split_once('/');
    let (section, element) = element.map_or((section, None), |(name, rest)| (name, Some(rest)));
    let update = serde_json::from_value(update).unwrap();
    config.update(section, element, update).await.map_err(|error| error.text)
}

#[tokio::test]
async fn overrides_take_effect_at_once_and_after_a_restart() {
    let documents = memory();
    let config = open(&documents, &[("KAPACITOR_TELEGRAM_CHAT_ID", "from-file")]).await;
    set(&config, "telegram/", json!({"set": {"token": "s3cret", "enabled": "true"}}))
        .await
        .unwrap();
    set(&config, "slack", json!({"add": {"workspace": "w", "url": "http://x"}})).await.unwrap();
    let check = |config: &Config| {
        let telegram = config.start_element("telegram");
        assert_eq!(telegram.text("token"), "s3cret");
        assert_eq!(telegram.text("chat-id"), "from-file");
        assert!(telegram.is_enabled());
        let slack = config.elements("slack");
        assert_eq!(slack.iter().map(|element| &*element.name).collect::<Vec<_>>(), ["", "w"]);
        assert!(!format!("{:?}", config.shown()).contains("s3cret"));
    };
    check(&config);
    let again = open(&documents, &[("KAPACITOR_TELEGRAM_CHAT_ID", "from-file")]).await;
    check(&again);
    set(&again, "telegram/", json!({"delete": ["token"]})).await.unwrap();
    assert_eq!(again.start_element("telegram").text("token"), "");
    assert!(again.start_element("telegram").is_enabled());
    set(&again, "slack", json!({"remove": ["w"]})).await.unwrap();
    assert_eq!(open(&documents, &[]).await.elements("slack").len(), 1);
}

#[tokio::test]
async fn overrides_may_be_skipped_and_are_kept() {
    let documents = memory();
    let config = open(&documents, &[]).await;
    set(&config, "telegram/", json!({"set": {"token": "t", "chat-id": "c"}})).await.unwrap();
    let skipping = open(&documents, &[("KAPACITOR_SKIP_CONFIG_OVERRIDES", "true")]).await;
    assert_eq!(skipping.start_element("telegram").text("token"), "");
    let normal = open(&documents, &[]).await;
    assert_eq!(normal.start_element("telegram").text("token"), "t");
}

#[tokio::test]
async fn what_does_not_fit_any_more_has_no_effect() {
    let documents = memory();
    let kept = [
        ("telegram/", r#"{"set":{"nothing":1},"create":false}"#),
        ("alerta/", r#"{"set":{"origin":"o"},"create":false}"#),
        ("influxdb/gone", r#"{"set":{"username":"u"},"create":false}"#),
        ("nonsense/", r#"{"set":{},"create":false}"#),
        ("talk/", "{"),
    ];
    let writes = kept.map(|(key, value)| Write::put(SPACE, key, value));
    documents.apply(writes.into()).await.unwrap();
    let config = open(&documents, &[]).await;
    assert_eq!(config.start_element("alerta").text("origin"), "o");
    assert_eq!(config.elements("influxdb").len(), 1);
    assert_eq!(config.start_element("influxdb").text("username"), "");
    let kept = documents.list(SPACE, Range::default()).await.unwrap();
    assert_eq!(kept.len(), 5, "what cannot be used is not lost");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_stops_the_start() {
    let kapacitor = Kapacitor {
        config: String::new(),
        environment: vec![
            ("KAPACITOR_INFLUXDB_0_COMPRESSION".to_owned(), "zip".to_owned().into()),
            ("KAPACITOR_TELEGRAM_ENABLED".to_owned(), "x".to_owned().into()),
        ],
    };
    let deps = ConfigDeps {
        kapacitor: &kapacitor,
        own: Vec::new(),
        documents: memory(),
        clock: SystemClock::new(),
    };
    let error = Config::open(deps).await.unwrap_err().to_string();
    assert!(
        error.contains("Invalid compression, must be one of 'gzip' or 'none', got zip"),
        "{error}"
    );
    assert!(error.contains("failed to apply KAPACITOR_TELEGRAM_ENABLED"), "{error}");
    let kapacitor = Kapacitor { config: "/nowhere.conf".into(), environment: Vec::new() };
    let deps = ConfigDeps {
        kapacitor: &kapacitor,
        own: Vec::new(),
        documents: memory(),
        clock: SystemClock::new(),
    };
    let error = Config::open(deps).await.unwrap_err().to_string();
    assert!(error.starts_with("`/nowhere.conf` of the setting `kapacitor.config`"), "{error}");
}

struct Fussy;

#[async_trait]
impl Follower for Fussy {
    async fn follow(&self, elements: &[Element]) -> Result<(), String> {
        match elements[0].text("chat-id") {
            "slow" => std::future::pending().await,
            "wrong" => Err("no such chat".to_owned()),
            _ => Ok(()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_follow_stops_the_change() {
    let documents = memory();
    let config = open(&documents, &[]).await;
    config.add_follower("telegram", Arc::new(Fussy));
    let chat = |id: &str| json!({"set": {"chat-id": id}});
    for (id, expected) in [
        ("right", Ok(())),
        ("wrong", Err("failed to update configuration telegram/: no such chat")),
        ("slow", Err("failed to update configuration telegram/: timeout")),
    ] {
        let changed =
            tokio::time::timeout(Duration::from_secs(60), set(&config, "telegram/", chat(id)));
        assert_eq!(changed.await.unwrap(), expected.map_err(str::to_owned), "{id}");
        assert_eq!(config.start_element("telegram").text("chat-id"), "right");
    }
    assert_eq!(open(&documents, &[]).await.start_element("telegram").text("chat-id"), "right");
}
