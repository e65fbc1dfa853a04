//! `snmpTrap`: sends an SNMP trap.
//!
//! Source: kapacitor: reference (server) §4.5.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use levada_clients::snmp::{Oid, Trap, TrapTarget, TrapValue};
use levada_settings::Secret;
use serde::Deserialize;

use super::connections::failed;
use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, Place, Rule, Shape, StartError, TestRule, Trouble};
use super::render::Text;
use super::spec::{Arg, HandlerSpec};
use crate::event::Event;
use crate::services::{OptionDefault, OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("snmpTrap"),
    option_kind: "snmptrap",
    summary: "sends an SNMP trap",
    rules: &[
        Rule::text("trapOid", "trap-oid").at(Place::Call),
        Rule::new(Shape::SnmpData, "data", "data-list").template(),
    ],
    check,
    section: Some(&SECTION),
    test: Some(TestRule {
        options: |deps| form::options(&SECTION, FIELDS, deps),
        run: |options, deps| form::run(&KIND, FIELDS, options, deps),
    }),
    ..Kind::starting(start)
};

static SECTION: SectionRule = SectionRule {
    name: "snmptrap",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("addr", "localhost:162"),
        OptionRule::text("community", "kapacitor").secret(),
        OptionRule::new("retries", OptionDefault::Int(1)),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("trap-oid", Sample::Text("1.1.1.1"), Goes::Option("trap-oid")),
    Field::new(
        "data-list",
        Sample::Json(r#"[{"oid":"1.1.1.1.2","type":"s","value":"test snmptrap message"}]"#),
        Goes::Option("data-list"),
    ),
];

/// Source: reference §7.6: counter, integer, null, octets, time ticks.
const TYPES: &[&str] = &["c", "i", "n", "s", "t"];

/// How often a trap is sent again at most. Ours: what cannot be sent so often will not be.
const RETRIES_MAX: i64 = 10;

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    addr: String,
    community: String,
    retries: i64,
}

struct SnmpTrap {
    section: Section,
    oid: Oid,
    data: Vec<Datum>,
    timeout: Duration,
}

/// A value of the trap: its place, its type, its text.
struct Datum {
    oid: Oid,
    kind: char,
    value: Text,
}

fn check(spec: &HandlerSpec) -> Result<(), Trouble> {
    let trap = spec.text("trapOid").unwrap_or_default();
    let invalid =
        |text: String| Err(Trouble::define(format!("invalid SNMP trap {trap:?}: {text}")));
    if trap.is_empty() {
        return invalid("you must supply a trap Oid".to_owned());
    }
    for args in spec.all("data") {
        let [Arg::Str(oid), Arg::Str(kind), _] = args else { continue };
        if !TYPES.contains(&&**kind) {
            return invalid(format!("unsupported data type {kind:?} for data entry {oid:?}"));
        }
    }
    Ok(())
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let trap = spec.text("trapOid").unwrap_or_default();
    let oid = |text: &str| {
        let parsed: Result<Oid, _> = text.parse();
        parsed.map_err(|error| Trouble::enable(format!("invalid SNMP trap {trap:?}: {error}")))
    };
    let mut data = Vec::new();
    for args in spec.all("data") {
        let [Arg::Str(place), Arg::Str(kind), Arg::Str(value)] = args else { continue };
        data.push(Datum {
            oid: oid(place)?,
            kind: kind.chars().next().unwrap_or_default(),
            value: Text::parse(deps, "data", value)?,
        });
    }
    Ok(Arc::new(SnmpTrap {
        section: Section::new(&SECTION, deps),
        oid: oid(trap)?,
        data,
        timeout: deps.request_timeout,
    }))
}

// === impl Datum ===

impl Datum {
    fn value(&self, event: &Event) -> Result<TrapValue, HandlerError> {
        let text = self.value.render(event)?;
        let number = text.trim();
        let wrong = |what: &str| {
            let text = format!("{text:?} of {} is no {what}", self.oid);
            HandlerError::new(text).finally()
        };
        Ok(match self.kind {
            'c' => TrapValue::Counter64(number.parse().map_err(|_| wrong("Counter64"))?),
            'i' => TrapValue::Integer(number.parse().map_err(|_| wrong("Integer32"))?),
            't' => TrapValue::TimeTicks(number.parse().map_err(|_| wrong("TimeTicks"))?),
            'n' => TrapValue::Null,
            _ => TrapValue::Octets(text.as_bytes().to_vec()),
        })
    }
}

impl SnmpTrap {
    async fn send(&self, event: &Event) -> Result<(), HandlerError> {
        let settings: Settings = self.section.read()?;
        let value = |datum: &Datum| Ok((datum.oid.clone(), datum.value(event)?));
        let values: Result<_, HandlerError> = self.data.iter().map(value).collect();
        let target = TrapTarget {
            address: settings.addr,
            community: Secret::from(settings.community),
            retries: settings.retries.clamp(0, RETRIES_MAX) as u32,
            timeout: self.timeout,
        };
        target.send(&Trap { oid: self.oid.clone(), values: values? }).await.map_err(failed)
    }
}

#[async_trait]
impl Handler for SnmpTrap {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.send(event).await.map_err(|error| error.during("failed to send SNMP trap"))
    }
}
