//! Times in the zone of the server.

use jiff::tz::TimeZone;
use levada_model::Timestamp;
use levada_template::{Options, Template, Time, Value, Zone};

#[test]
fn local_is_what_the_caller_says() {
    let zone = TimeZone::get("Europe/Berlin").expect("the zones are bundled");
    let options = Options { local: Zone::Local(zone), ..Options::default() };
    for (seconds, text, expected) in [
        (1_770_476_645, "{{ .Local }}", "2026-02-07 16:04:05 +0100 CET"),
        (1_770_476_645, "{{ .Local.Format \"15:04 MST Z07:00\" }}", "16:04 CET +01:00"),
        (1_786_000_000, "{{ .Local }} {{ .Local.IsDST }}", "2026-08-06 09:06:40 +0200 CEST true"),
        (
            1_770_476_645,
            "{{ .Local.UTC }} {{ .Local.Location }}",
            "2026-02-07 15:04:05 +0000 UTC Local",
        ),
        (1_770_476_645, "{{ .Local.Unix }} {{ .Local.Hour }}", "1770476645 16"),
        // The clock on the wall stays over the change of the offset.
        (
            1_774_630_800,
            "{{ .Local }} {{ .Local.AddDate 0 0 2 }}",
            "2026-03-27 18:00:00 +0100 CET 2026-03-29 18:00:00 +0200 CEST",
        ),
    ] {
        let template = Template::parse("id", text, &options).expect("it parses");
        let mut out = String::new();
        let time = Value::Time(Time::utc(Timestamp(seconds * 1_000_000_000)));
        template.execute(&time, &mut out).expect("there is nothing to fail");
        assert_eq!(out, expected);
    }
}
