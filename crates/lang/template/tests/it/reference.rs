//! The examples of the reference about alerts (E101, E102, E103, E136 and the escaping of details).

use std::collections::BTreeMap;

use levada_model::Timestamp;
use levada_template::{SortedTags, StructLike, Template, Time, Value};

/// The data of an alert, as far as the examples go.
struct Info {
    group: &'static str,
    tags: SortedTags<'static, &'static str, &'static str>,
    fields: BTreeMap<String, Value<'static>>,
    seconds: i64,
    duration: i64,
}

impl Info {
    fn new(
        group: &'static str,
        tags: &'static [(&str, &str)],
        fields: &[(&str, Value<'static>)],
    ) -> Self {
        let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        Info { group, tags: SortedTags(tags), fields, seconds: 1, duration: 0 }
    }
}

impl StructLike for Info {
    fn type_name(&self) -> &'static str {
        "kapacitor.idInfo"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Name", "TaskName", "Group", "Tags", "ID", "Fields", "Level", "Time", "Duration"]
    }

    fn field(&self, name: &str) -> Option<Value<'_>> {
        Some(match name {
            "Name" => Value::from("m"),
            "TaskName" => Value::from("tid"),
            "Group" => Value::from(self.group),
            "Tags" => Value::Map(&self.tags),
            "ID" => Value::from("tid/a"),
            "Fields" => Value::Map(&self.fields),
            "Level" => Value::from("CRITICAL"),
            "Time" => Value::Time(Time::utc(Timestamp(self.seconds * 1_000_000_000))),
            "Duration" => Value::Duration(self.duration),
            _ => return None,
        })
    }
}

fn text(info: &Info, template: &str) -> String {
    let template = Template::text("id", template).expect("it parses");
    let mut out = String::new();
    template.execute(&Value::Struct(info), &mut out).expect("there is nothing to fail");
    out
}

#[test]
fn ids_and_messages() {
    let info = Info::new("nil", &[], &[]);
    assert_eq!(text(&info, "{{ .Name }}:{{ .Group }}"), "m:nil");

    const MESSAGE: &str = "{{ .ID }} {{ .Level }} {{ index .Fields \"value\" }} {{ index .Fields \"value\" | printf \"%0.3f\" }} {{ .Time.Unix }} {{ .Duration }} {{ index .Fields \"nope\" }}";
    let mut info = Info::new("host=a", &[("host", "a")], &[("value", Value::Float(61.0))]);
    assert_eq!(text(&info, "{{ .TaskName }}/{{ index .Tags \"host\" }}"), "tid/a");
    assert_eq!(text(&info, MESSAGE), "tid/a CRITICAL 61 61.000 1 0s <no value>");
    info.fields.insert(String::from("value"), Value::Float(1_000_000.0));
    (info.seconds, info.duration) = (3, 2_000_000_000);
    assert_eq!(text(&info, MESSAGE), "tid/a CRITICAL 1e+06 1000000.000 3 2s <no value>");
}

#[test]
fn mistakes() {
    let info = Info::new("nil", &[], &[]);
    let template = Template::text("id", "{{ .Foo }}").expect("it parses");
    let error = template.execute(&Value::Struct(&info), &mut String::new()).expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "template: id:1:3: executing \"id\" at <.Foo>: can't evaluate field Foo in type kapacitor.idInfo"
    );
    let error = Template::text("id", "{{ .x").expect_err("it has no end");
    assert_eq!(error.to_string(), "template: id:1: unclosed action");
}

#[test]
fn markup() {
    let fields = [("v", Value::Float(9.0)), ("w", Value::from("x"))];
    let mut info = Info::new("host=a<b", &[("host", "a<b")], &fields);
    assert_eq!(
        text(&info, "{{ .Name }} {{ .Group }} {{ .Tags }} {{ .Fields }}"),
        "m host=a<b map[host:a<b] map[v:9 w:x]"
    );
    info.fields.insert(String::from("w"), Value::from("x&y"));
    let details = Template::html(
        "details",
        "<b>{{ .Level }}</b> {{ index .Tags \"host\" }} {{ .Fields }} {{ jsonCompact .Tags }}",
    )
    .expect("it parses");
    let mut out = String::new();
    details.execute(&Value::Struct(&info), &mut out).expect("there is nothing to fail");
    assert_eq!(
        out,
        "<b>CRITICAL</b> a&lt;b map[v:9 w:x&amp;y] {&#34;host&#34;:&#34;a\\u003cb&#34;}"
    );
    let details = Template::html("details", "{{ json . }}").expect("it parses");
    out.clear();
    details.execute(&Value::Struct(&info), &mut out).expect("there is nothing to fail");
    assert!(
        out.starts_with("{&#34;Name&#34;:&#34;m&#34;,&#34;TaskName&#34;:&#34;tid&#34;"),
        "{out}"
    );
    assert!(out.ends_with("&#34;Duration&#34;:0}\n"), "{out}");
}
