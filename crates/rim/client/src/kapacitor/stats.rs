//! `stats`: numbers of the server.

use serde_json::Value;

use super::objects::text;
use super::value::plain;
use super::{Command, Failure, OUTPUT_FLAG, Run, Session};
use crate::flags::Parsed;
use crate::table::{Table, left, longest, right};

pub(super) const STATS: Command = Command {
    name: "stats",
    arguments: "general|ingress",
    summary: "show numbers of the server",
    detail: "general: IDs and counts. ingress: points received, by database, retention policy and measurement.",
    leading: "",
    flags: &[OUTPUT_FLAG],
    run: Run::Server(stats),
};

/// The lines of `general`: name and debug variable.
const GENERAL: [(&str, &str); 8] = [
    ("ClusterID:", "cluster_id"),
    ("ServerID:", "server_id"),
    ("Host:", "host"),
    ("Tasks:", "num_tasks"),
    ("Enabled Tasks:", "num_enabled_tasks"),
    ("Subscriptions:", "num_subscriptions"),
    ("Platform:", "platform"),
    ("Version:", "version"),
];

fn stats(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    let [kind] = parsed.rest.as_slice() else {
        return Err(Failure::missing("Must provide a kind of stats: general or ingress."));
    };
    let is_general = match kind.as_str() {
        "general" => true,
        "ingress" => false,
        kind => {
            let message = format!("cannot show stats '{kind}'; known: general, ingress");
            return Err(Failure::error(message));
        }
    };
    let vars = session.api.get(&["debug", "vars"], &[])?;
    if is_general { general(session, &vars) } else { ingress(session, &vars) }
}

fn general(session: &mut Session<'_, '_>, vars: &Value) -> Result<(), Failure> {
    let only = crate::format::only(vars, &GENERAL.map(|(_, key)| key));
    if session.gives_one(&Value::Object(only))? {
        return Ok(());
    }
    let lines: String = GENERAL
        .iter()
        .map(|(name, key)| format!("{}{}\n", left(name, 30), left(&plain(vars, key), 30)))
        .collect();
    session.print(&lines)
}

fn ingress(session: &mut Session<'_, '_>, vars: &Value) -> Result<(), Failure> {
    let all = vars.get("kapacitor").and_then(Value::as_object);
    let mut found: Vec<Value> = all
        .into_iter()
        .flatten()
        .map(|(_, stat)| stat.clone())
        .filter(|stat| text(stat, "name") == "ingress")
        .collect();
    const KEYS: [&str; 3] = ["database", "retention_policy", "measurement"];
    let tag = |stat: &Value, key: &str| plain(stat.get("tags").unwrap_or(&Value::Null), key);
    found.sort_by_key(|stat| KEYS.map(|key| tag(stat, key)));
    if session.gives(&found)? {
        return Ok(());
    }
    let mut table = Table::new([
        longest("Database"),
        longest("Retention Policy"),
        longest("Measurement"),
        right("Points Received", 15),
    ]);
    for stat in &found {
        let points = plain(stat.get("values").unwrap_or(&Value::Null), "points_received");
        table.row(KEYS.map(|key| tag(stat, key)).into_iter().chain([points]));
    }
    session.print(&table.render())
}
