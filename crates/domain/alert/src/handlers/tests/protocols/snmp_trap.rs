use levada_testkit::services::SNMPTRAPD;

use super::*;

/// Waits for the line of a trap.
async fn received(oid: &str) -> String {
    let log = SNMPTRAPD.state().join("log");
    let wanted = format!("OID: .{oid}");
    let mut found = None;
    let is_there = || {
        let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
        let mut lines =
            text.lines().filter(|line| line.split('\t').any(|part| part.ends_with(&wanted)));
        found = lines.next().map(str::to_owned);
        found.is_some()
    };
    levada_testkit::wait::until_async("a trap is received", Duration::from_secs(10), is_there)
        .await;
    found.unwrap()
}

#[tokio::test]
async fn a_trap_says_what_templates_say() {
    let Some(address) = SNMPTRAPD.address("alert snmptrap") else { return };
    let section = json!({"enabled": true, "addr": address, "community": "secret word"});
    let services = MemoryServices::with("snmptrap", section);
    let oid = format!("1.3.6.1.4.1.9999.{}", std::process::id());
    let data = [
        ("1.3.1", "s", "{{ .Message }}"),
        ("1.3.2", "i", "{{ index .Fields \"value\" }}"),
        ("1.3.3", "c", " 18446744073709551615 "),
        ("1.3.4", "t", "100"),
        ("1.3.5", "n", ""),
        (".1.3.6", "s", ""),
    ];
    let data: Vec<Value> = data
        .iter()
        .map(|(oid, kind, value)| json!({"oid": oid, "type": kind, "value": value}))
        .collect();
    let value = json!({"trap-oid": oid, "data-list": data});
    handler("snmptrap", value, &deps(&services)).handle(&one()).await.unwrap();
    let line = received(&oid).await;
    let values: Vec<&str> = line.split('\t').skip(2).collect();
    assert!(line.contains("SNMP v2c, community secret word"), "{line}");
    assert_eq!(
        values,
        [
            ".1.3.1 = STRING: \"cpu:host=a is CRITICAL\"",
            ".1.3.2 = INTEGER: 61",
            ".1.3.3 = Counter64: 18446744073709551615",
            ".1.3.4 = Timeticks: (100) 0:00:01.00",
            ".1.3.5 = NULL",
            ".1.3.6 = \"\"",
        ]
    );
    let tried_oid = format!("{oid}.1");
    tried("snmptrap", json!({"trap-oid": tried_oid}), &deps(&services)).await.unwrap();
    let line = received(&tried_oid).await;
    assert!(line.ends_with(".1.1.1.1.2 = STRING: \"test snmptrap message\""), "{line}");
}

#[tokio::test]
async fn what_cannot_be_sent_says_why() {
    let services = MemoryServices::with("snmptrap", json!({"enabled": true, "addr": "no host"}));
    let deps = deps(&services);
    for (kind, value, expected) in [
        ("i", "2147483648", "\"2147483648\" of 1.3.1 is no Integer32"),
        ("i", "x", "\"x\" of 1.3.1 is no Integer32"),
        ("c", "-1", "\"-1\" of 1.3.1 is no Counter64"),
        ("t", "4294967296", "\"4294967296\" of 1.3.1 is no TimeTicks"),
    ] {
        let data = json!([{"oid": "1.3.1", "type": kind, "value": value}]);
        let handler = handler("snmptrap", json!({"trap-oid": "1.3", "data-list": data}), &deps);
        assert_eq!(failure(&handler, &one()).await, (expected.to_owned(), false));
    }
    let (text, may_help) =
        failure(&handler("snmptrap", json!({"trap-oid": "1.3"}), &deps), &one()).await;
    assert!(text.starts_with("cannot send a trap to `no host`: ") && may_help, "{text}");
    for (oid, data) in
        [("1.x", json!([])), ("1.3", json!([{"oid": "9", "type": "s", "value": ""}]))]
    {
        let value = json!({"trap-oid": oid, "data-list": data});
        let kind = by_option_kind("snmptrap").unwrap();
        let spec = HandlerSpec::from_options(kind, &options(value)).unwrap();
        let error = spec.start(&deps).err().unwrap().to_string();
        assert!(error.contains("invalid object ID"), "{error}");
    }
}
