//! Against a real receiver of traps, `snmptrapd` of Net-SNMP.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use levada_clients::snmp::{Oid, Trap, TrapTarget, TrapValue};
use levada_settings::Secret;
use levada_testkit::{services, wait};

fn oid(text: &str) -> Oid {
    text.parse().unwrap()
}

fn target(address: &str) -> TrapTarget {
    TrapTarget {
        address: address.to_owned(),
        community: Secret::new("kapacitor".to_owned()),
        retries: 1,
        timeout: Duration::from_secs(5),
    }
}

#[tokio::test]
async fn a_receiver_understands_every_type() {
    let Some(address) = services::SNMPTRAPD.address("clients snmp trap") else { return };
    let marker = format!("1.3.6.1.4.1.8072.{}", std::process::id());
    let trap = Trap {
        oid: oid(&marker),
        values: vec![
            (oid("1.3.6.1.4.1.1.1"), TrapValue::Counter64(u64::MAX)),
            (oid("1.3.6.1.4.1.1.2"), TrapValue::Integer(-7)),
            (oid("1.3.6.1.4.1.1.3"), TrapValue::Null),
            (oid("1.3.6.1.4.1.1.4"), TrapValue::Octets(b"cpu is \"high\"".to_vec())),
            (oid("1.3.6.1.4.1.1.5"), TrapValue::TimeTicks(4_294_967_295)),
            (oid("2.999.4294967295"), TrapValue::Integer(i32::MIN)),
        ],
    };
    target(&address).send(&trap).await.unwrap();
    let log = services::SNMPTRAPD.state().join("log");
    let mut line = None;
    wait::until_async("the trap is logged", Duration::from_secs(10), || {
        let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
        let wanted = format!("OID: .{marker}\t");
        line = text.lines().find(|line| line.contains(&wanted)).map(str::to_owned);
        line.is_some()
    })
    .await;
    let expected = [
        "TRAP TRAP2, SNMP v2c, community kapacitor .1.3.6.1.2.1.1.3.0 = Timeticks: (1000) 0:00:10.00".to_owned(),
        format!(".1.3.6.1.6.3.1.1.4.1.0 = OID: .{marker}"),
        ".1.3.6.1.4.1.1.1 = Counter64: 18446744073709551615".to_owned(),
        ".1.3.6.1.4.1.1.2 = INTEGER: -7".to_owned(),
        ".1.3.6.1.4.1.1.3 = NULL".to_owned(),
        ".1.3.6.1.4.1.1.4 = STRING: \"cpu is \\\"high\\\"\"".to_owned(),
        ".1.3.6.1.4.1.1.5 = Timeticks: (4294967295) 497 days, 2:27:52.95".to_owned(),
        ".2.999.4294967295 = INTEGER: -2147483648".to_owned(),
    ];
    assert_eq!(line.unwrap().split('\t').collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_target_that_is_none_is_an_error() {
    let trap = Trap { oid: oid("1.3"), values: Vec::new() };
    for address in ["no such host.invalid:162", "127.0.0.1:x", "host:1:2:3:4"] {
        let error = target(address).send(&trap).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot send a trap to `{address}`: ")), "{text}");
        assert!(error.is_transient());
    }
    // Nobody has to listen.
    target("127.0.0.1:1").send(&trap).await.unwrap();
    target("localhost:1").send(&trap).await.unwrap();
    target("[::1]").send(&trap).await.ok();
}
