//! `snmpTrap`: sends an SNMP trap.

use super::kind::{Kind, Place, Rule, Shape, Trouble};
use super::spec::{Arg, HandlerSpec};

pub(super) static KIND: Kind = Kind {
    method: Some("snmpTrap"),
    option_kind: "snmptrap",
    summary: "sends an SNMP trap",
    rules: &[
        Rule::text("trapOid", "trap-oid").at(Place::Call),
        Rule::new(Shape::SnmpData, "data", "data-list").template(),
    ],
    check,
    ..Kind::BASE
};

/// Source: reference §7.6: counter, integer, null, octets, time ticks.
const TYPES: &[&str] = &["c", "i", "n", "s", "t"];

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
