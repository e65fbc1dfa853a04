//! Clusters as Levada's settings and as Kapacitor's configuration say them.
//!
//! Both are elements of the section `influxdb` there, so that the API shows and changes them alike. Source: reference (server) §7.2.

use levada_alert::services::Element;
use levada_settings::{
    ByteSize, Duration, Influxdb, Settings, SubscriptionMode, SubscriptionProtocol,
};
use serde_json::{Map, Value, json};

use super::filter;

/// Gives the clusters of Levada's settings as elements.
pub(crate) fn own_elements(settings: &Influxdb) -> Vec<Map<String, Value>> {
    let all = settings.all();
    // Levada takes the first one when none is chosen; Kapacitor wants one to be.
    let default = (all.len() > 1).then(|| settings.default_name());
    let all = all.into_iter().map(|(name, cluster)| {
        let protocol = match cluster.subscription_protocol {
            SubscriptionProtocol::Http => "http",
            SubscriptionProtocol::Https => "https",
            SubscriptionProtocol::Udp => "udp",
        };
        let mode = match cluster.subscription_mode {
            SubscriptionMode::Cluster => "cluster",
            SubscriptionMode::Server => "server",
        };
        let element = json!({
            "enabled": true,
            "name": name,
            "default": cluster.default || default == Some(name),
            "urls": cluster.urls(),
            "username": cluster.username,
            "password": cluster.password.expose(),
            "token": cluster.token.expose(),
            "http-shared-secret": cluster.http_shared_secret,
            "ssl-ca": cluster.ca_file,
            "ssl-cert": cluster.cert_file,
            "ssl-key": cluster.key_file,
            "insecure-skip-verify": cluster.insecure_skip_verify,
            "timeout": cluster.timeout.to_string(),
            "disable-subscriptions": cluster.disable_subscriptions,
            "subscription-protocol": protocol,
            "subscription-mode": mode,
            "subscriptions": filter::lists(&cluster.subscriptions),
            "excluded-subscriptions": filter::lists(&cluster.excluded_subscriptions),
            "kapacitor-hostname": cluster.kapacitor_hostname,
            "http-port": cluster.http_port,
            "udp-bind": cluster.udp_bind,
            "udp-buffer": cluster.udp_buffer,
            "udp-read-buffer": cluster.udp_read_buffer.bytes(),
            "subscriptions-sync-interval": cluster.subscriptions_sync_interval.to_string(),
            "subscription-path": cluster.subscription_path,
            "compression": if cluster.compress { "gzip" } else { "none" },
        });
        match element {
            Value::Object(element) => element,
            _ => Map::new(),
        }
    });
    all.collect()
}

/// Gives the clusters that elements describe. An element that nobody set is none: there is no `InfluxDB` unless somebody says so.
///
/// - `own`: has what Kapacitor's configuration does not know.
pub(super) fn clusters(elements: &[Element], own: &Influxdb) -> Vec<(String, Influxdb)> {
    let wanted = elements.iter().filter(|element| element.is_set && element.is_enabled());
    wanted.map(|element| (element.name.clone(), cluster(element, own))).collect()
}

fn cluster(element: &Element, own: &Influxdb) -> Influxdb {
    let known = own.all().into_iter().find(|(name, _)| *name == element.name);
    let known = known.map_or_else(|| Settings::default().influxdb, |(_, known)| known.clone());
    let text = |key: &str| element.text(key).to_owned();
    let option = |key: &str| element.options.get(key);
    let number = |key: &str| option(key).and_then(Value::as_u64).unwrap_or_default();
    let duration = |key: &str| element.text(key).parse::<Duration>().unwrap_or_default();
    let urls = option("urls").and_then(Value::as_array);
    let urls: Vec<&str> = urls.into_iter().flatten().filter_map(Value::as_str).collect();
    let path = element.text("subscription-path");
    let sync = duration("subscriptions-sync-interval");
    Influxdb {
        url: urls.join(","),
        default: element.flag("default"),
        username: text("username"),
        password: text("password").into(),
        token: text("token").into(),
        http_shared_secret: element.flag("http-shared-secret"),
        ca_file: text("ssl-ca"),
        cert_file: text("ssl-cert"),
        key_file: text("ssl-key"),
        insecure_skip_verify: element.flag("insecure-skip-verify"),
        timeout: duration("timeout"),
        compress: element.text("compression") != "none",
        disable_subscriptions: element.flag("disable-subscriptions"),
        subscription_protocol: match element.text("subscription-protocol") {
            "udp" => SubscriptionProtocol::Udp,
            "https" => SubscriptionProtocol::Https,
            _ => SubscriptionProtocol::Http,
        },
        subscription_mode: match element.text("subscription-mode") {
            "server" => SubscriptionMode::Server,
            _ => SubscriptionMode::Cluster,
        },
        subscriptions: filter::text(option("subscriptions")),
        excluded_subscriptions: filter::text(option("excluded-subscriptions")),
        kapacitor_hostname: text("kapacitor-hostname"),
        http_port: u16::try_from(number("http-port")).unwrap_or_default(),
        udp_bind: text("udp-bind"),
        udp_buffer: usize::try_from(number("udp-buffer")).unwrap_or_default().max(1),
        udp_read_buffer: ByteSize::new(number("udp-read-buffer")),
        subscriptions_sync_interval: match sync.is_zero() {
            true => Settings::default().influxdb.subscriptions_sync_interval,
            false => sync,
        },
        subscription_path: match path.is_empty() || path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/{path}"),
        },
        clusters: Default::default(),
        ..known
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use levada_alert::services::{NoServices, Services as _};
    use levada_settings::Loader;

    use super::*;

    fn element(set: Value) -> Element {
        let Value::Object(set) = set else { panic!("no object") };
        let name = set.get("name").and_then(Value::as_str).unwrap_or("default").to_owned();
        let mut options = set;
        options.entry("enabled").or_insert(true.into());
        Element { name, options, is_set: true }
    }

    #[test]
    fn settings_are_the_same_after_they_were_elements() {
        let mut loader = Loader::new();
        for assignment in [
            "influxdb.url=http://a:8086, http://b:8086",
            "influxdb.queries-max=3",
            "influxdb.password=secret",
            "influxdb.username=ann",
            "influxdb.subscriptions=telegraf.autogen, \"my.db\".\"a\\\"b\", metrics",
            "influxdb.clusters.other.url=http://c:8086",
            "influxdb.clusters.other.subscription-protocol=udp",
            "influxdb.clusters.other.udp-read-buffer=1MiB",
            "influxdb.clusters.other.default=true",
            "influxdb.clusters.other.compress=false",
        ] {
            loader = loader.assignment("--set", assignment);
        }
        let own = loader.load().unwrap().settings.influxdb;
        let elements: Vec<Element> =
            own_elements(&own).into_iter().map(|set| element(Value::Object(set))).collect();
        let again = clusters(&elements, &own);
        assert_eq!(again.len(), 2);
        for ((name, found), (known, expected)) in again.iter().zip(own.all()) {
            assert_eq!(name, known);
            assert_eq!(found.urls(), expected.urls());
            assert_eq!(found.queries_max, expected.queries_max);
            let wants = |settings: &Influxdb, database: &str, retention: &str| {
                filter::Filter::new(&settings.subscriptions, &settings.excluded_subscriptions)
                    .wants(database, retention)
            };
            for (database, retention) in [
                ("telegraf", "autogen"),
                ("telegraf", "x"),
                ("my.db", "a\"b"),
                ("metrics", "y"),
                ("_kapacitor", "autogen"),
            ] {
                let (found, expected) =
                    (wants(found, database, retention), wants(expected, database, retention));
                assert_eq!(found, expected, "{name} {database}.{retention}");
            }
            let plain = |settings: &Influxdb| Influxdb {
                url: String::new(),
                subscriptions: String::new(),
                excluded_subscriptions: String::new(),
                clusters: Default::default(),
                ..settings.clone()
            };
            assert_eq!(plain(found), plain(expected), "{name}");
        }
    }

    #[test]
    fn only_elements_that_somebody_set_are_clusters() {
        let own = Settings::default().influxdb;
        assert!(clusters(&NoServices.elements("influxdb"), &own).is_empty());
        let off = element(json!({"name": "x", "enabled": false, "urls": ["http://a"]}));
        let on = element(json!({
            "name": "y", "urls": ["http://a"], "subscription-path": "p", "udp-buffer": 0,
            "subscriptions": {"telegraf": ["autogen", "week"], "all": []},
        }));
        let found = clusters(&[off, on], &own);
        let [(name, cluster)] = &found[..] else { panic!("{found:?}") };
        assert_eq!((&**name, &*cluster.url, &*cluster.subscription_path), ("y", "http://a", "/p"));
        assert_eq!(cluster.udp_buffer, 1);
        assert_eq!(cluster.subscriptions_sync_interval, own.subscriptions_sync_interval);
        let expected = "\"telegraf\".\"autogen\", \"telegraf\".\"week\", \"all\"";
        assert_eq!(cluster.subscriptions, expected);
    }
}
