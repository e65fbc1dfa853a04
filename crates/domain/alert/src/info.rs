//! Points and batches as the templates of an alert see them: `id`, `message`, `details`.
//!
//! A view borrows everything and allocates nothing: the ID is rendered for every point.
//!
//! Source: reference §7.2.

use levada_model::group::GroupKey;
use levada_model::{BatchRef, FieldValue, Point, Series, Str, Timestamp};
use levada_template::{MapLike, StructLike, Time, Value};

use crate::decision::Report;
use crate::event::{Event, EventData};
use crate::json::{write_field, write_int, write_key, write_text, write_time};
use crate::level::Level;

/// Which template looks; a later one sees more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// `id`
    Id,
    /// `message`
    Message,
    /// `details`
    Details,
}

/// What templates know of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// The name of the machine.
    pub hostname: String,
    /// The ID of the cluster.
    pub cluster_id: String,
    /// The ID of the server.
    pub server_id: String,
}

/// What the templates of an alert see.
#[derive(Clone, Copy, Debug)]
pub struct AlertInfo<'e> {
    stage: Stage,
    name: &'e str,
    task: &'e str,
    group: &'e str,
    tags: Tags<'e>,
    server: &'e ServerInfo,
    id: &'e str,
    fields: Fields<'e>,
    level: Level,
    time: Timestamp,
    duration: i64,
    message: &'e str,
}

/// Tags as a map.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tags<'e> {
    None,
    Series(&'e Series),
    Group(&'e GroupKey),
}

/// Fields as a map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'e>(pub(crate) Option<&'e Point>);

/// What `.Group` shows when nothing is grouped. Source: kapacitor: alert.go.
pub const UNGROUPED: &str = "nil";

// === impl AlertInfo ===

impl<'e> AlertInfo<'e> {
    /// Shows a point to the ID; `group` is the text of its group, empty when nothing is grouped.
    pub fn of_point(
        point: &'e Point,
        group: &'e str,
        task: &'e str,
        server: &'e ServerInfo,
    ) -> Self {
        AlertInfo::new(&point.series.name, Tags::Series(&point.series), group, task, server)
    }

    /// Shows a batch to the ID.
    pub fn of_batch(batch: BatchRef<'e>, task: &'e str, server: &'e ServerInfo) -> Self {
        AlertInfo::new(batch.name, Tags::Group(&batch.group.key), &batch.group.id, task, server)
    }

    /// Shows an event to the details, as it was shown when it was made; nothing for one that shows no point.
    pub fn of_event(event: &'e Event, server: &'e ServerInfo) -> Option<Self> {
        let (name, tags) = match &event.data {
            EventData::Point(point) => (&point.series.name, Tags::Series(&point.series)),
            EventData::Batch(batch, _) => (&batch.name, Tags::Group(&batch.group.key)),
            EventData::None | EventData::Many(_) => return None,
        };
        Some(AlertInfo {
            stage: Stage::Details,
            id: &event.id,
            fields: Fields(Some(event.point()?)),
            level: event.level,
            time: event.time,
            duration: event.duration,
            message: &event.message,
            ..AlertInfo::new(name, tags, &event.group, &event.task, server)
        })
    }

    fn new(
        name: &'e str,
        tags: Tags<'e>,
        group: &'e str,
        task: &'e str,
        server: &'e ServerInfo,
    ) -> Self {
        AlertInfo {
            stage: Stage::Id,
            name,
            task,
            group: if group.is_empty() { UNGROUPED } else { group },
            tags,
            server,
            id: "",
            fields: Fields(None),
            level: Level::Ok,
            time: Timestamp(0),
            duration: 0,
            message: "",
        }
    }

    /// Shows it to the message, too; the fields are those of `point`.
    pub fn with_report(self, id: &'e str, report: &Report, point: &'e Point) -> Self {
        AlertInfo {
            stage: Stage::Message,
            id,
            fields: Fields(Some(point)),
            level: report.level,
            time: report.time,
            duration: report.duration,
            ..self
        }
    }

    /// Shows it to the details, too.
    pub fn with_message(self, message: &'e str) -> Self {
        AlertInfo { stage: Stage::Details, message, ..self }
    }

    /// Gives `.Group`: the text of the group, or `nil`.
    pub fn group(&self) -> &'e str {
        self.group
    }

    /// Gives the default details: a JSON line.
    ///
    /// Differs: U-34; upstream escapes it for HTML, which gives `&#34;` for every quote.
    pub fn default_details(&self) -> String {
        let mut bytes = Vec::new();
        self.write_default_details(&mut bytes);
        // It is made of texts and always is one.
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    fn write_default_details(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        write_key("Name", out);
        write_text(self.name, out);
        write_next_key("TaskName", out);
        write_text(self.task, out);
        write_next_key("Group", out);
        write_text(self.group, out);
        write_next_key("Tags", out);
        write_object(self.tags.len(), out, |index, out| {
            let (key, value) = self.tags.at(index);
            write_key(key, out);
            write_text(value, out);
        });
        write_next_key("ServerInfo", out);
        out.push(b'{');
        write_key("Hostname", out);
        write_text(&self.server.hostname, out);
        write_next_key("ClusterID", out);
        write_text(&self.server.cluster_id, out);
        write_next_key("ServerID", out);
        write_text(&self.server.server_id, out);
        out.push(b'}');
        write_next_key("ID", out);
        write_text(self.id, out);
        write_next_key("Fields", out);
        write_object(self.fields.len(), out, |index, out| {
            let (key, value) = self.fields.at(index);
            write_key(key, out);
            write_field(value, out);
        });
        write_next_key("Level", out);
        write_text(self.level.as_str(), out);
        write_next_key("Time", out);
        write_time(self.time, out);
        write_next_key("Duration", out);
        write_int(self.duration, out);
        write_next_key("Message", out);
        write_text(self.message, out);
        out.extend_from_slice(b"}\n");
    }
}

fn write_next_key(key: &str, out: &mut Vec<u8>) {
    out.push(b',');
    write_key(key, out);
}

fn write_object(count: usize, out: &mut Vec<u8>, mut entry: impl FnMut(usize, &mut Vec<u8>)) {
    out.push(b'{');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        entry(index, out);
    }
    out.push(b'}');
}

impl StructLike for AlertInfo<'_> {
    fn type_name(&self) -> &'static str {
        match self.stage {
            Stage::Id => "kapacitor.idInfo",
            Stage::Message => "kapacitor.messageInfo",
            Stage::Details => "kapacitor.detailsInfo",
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        const FIELDS: &[&str] = &[
            "Name",
            "TaskName",
            "Group",
            "Tags",
            "ServerInfo",
            "ID",
            "Fields",
            "Level",
            "Time",
            "Duration",
            "Message",
        ];
        match self.stage {
            Stage::Id => &FIELDS[..5],
            Stage::Message => &FIELDS[..10],
            Stage::Details => FIELDS,
        }
    }

    fn field(&self, name: &str) -> Option<Value<'_>> {
        if !StructLike::fields(self).contains(&name) {
            return None;
        }
        Some(match name {
            "Name" => Value::from(self.name),
            "TaskName" => Value::from(self.task),
            "Group" => Value::from(self.group),
            "Tags" => Value::Map(&self.tags),
            "ServerInfo" => Value::Struct(self.server),
            "ID" => Value::from(self.id),
            "Fields" => Value::Map(&self.fields),
            "Level" => Value::from(self.level.as_str()),
            "Time" => Value::Time(Time::utc(self.time)),
            "Duration" => Value::Duration(self.duration),
            "Message" => Value::from(self.message),
            _ => return None,
        })
    }
}

impl StructLike for ServerInfo {
    fn type_name(&self) -> &'static str {
        "kapacitor.serverInfo"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Hostname", "ClusterID", "ServerID"]
    }

    fn field(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "Hostname" => Some(Value::from(&*self.hostname)),
            "ClusterID" => Some(Value::from(&*self.cluster_id)),
            "ServerID" => Some(Value::from(&*self.server_id)),
            _ => None,
        }
    }
}

// === impl Tags ===

impl<'e> Tags<'e> {
    fn at(&self, index: usize) -> (&'e Str, &'e Str) {
        match *self {
            Tags::None => unreachable!("there are no tags"),
            Tags::Series(series) => (&series.keys.names[index], &series.values[index]),
            Tags::Group(key) => (&key.dimensions[index], &key.values[index]),
        }
    }
}

impl MapLike for Tags<'_> {
    fn type_name(&self) -> &'static str {
        "map[string]string"
    }

    fn element_type(&self) -> &'static str {
        "string"
    }

    fn len(&self) -> usize {
        match self {
            Tags::None => 0,
            Tags::Series(series) => series.values.len(),
            Tags::Group(key) => key.values.len(),
        }
    }

    fn get(&self, key: &str) -> Option<Value<'_>> {
        let value = match *self {
            Tags::None => None,
            Tags::Series(series) => series.tag(key),
            Tags::Group(group) => group.tag(key),
        };
        value.map(|value| Value::from(&**value))
    }

    fn entry(&self, index: usize) -> (&str, Value<'_>) {
        let (key, value) = self.at(index);
        (key, Value::from(&**value))
    }
}

// === impl Fields ===

impl<'e> Fields<'e> {
    fn at(&self, index: usize) -> (&'e Str, &'e FieldValue) {
        let point = self.0.expect("without a point there are no fields");
        let place = point.shape.sorted[index] as usize;
        (&point.shape.names[place], &point.values[place])
    }
}

impl MapLike for Fields<'_> {
    fn len(&self) -> usize {
        self.0.map_or(0, |point| point.values.len())
    }

    fn get(&self, key: &str) -> Option<Value<'_>> {
        self.0?.field(key).map(field_value)
    }

    fn entry(&self, index: usize) -> (&str, Value<'_>) {
        let (key, value) = self.at(index);
        (key, field_value(value))
    }
}

/// Gives a field as templates see it.
pub(crate) fn field_value(value: &FieldValue) -> Value<'_> {
    match value {
        FieldValue::Float(number) => Value::Float(*number),
        FieldValue::Int(number) => Value::Int64(*number),
        FieldValue::UInt(number) => Value::Uint64(*number),
        FieldValue::Bool(value) => Value::Bool(*value),
        FieldValue::Str(text) => Value::from(&**text),
        FieldValue::Bytes(bytes) => Value::from(String::from_utf8_lossy(bytes).into_owned()),
        FieldValue::Duration(nanos) => Value::Duration(*nanos),
        FieldValue::Null => Value::Nil,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use levada_template::Template;

    use super::*;
    use crate::event::tests::{batch, point};

    fn render(template: &Template, info: &AlertInfo<'_>) -> Result<String, String> {
        let mut out = String::new();
        template.execute(&Value::Struct(info), &mut out).map_err(|error| error.to_string())?;
        Ok(out)
    }

    fn text(text: &str, info: &AlertInfo<'_>) -> Result<String, String> {
        render(&Template::text("id", text).unwrap(), info)
    }

    fn report() -> Report {
        let time = Timestamp(1_000_000_000);
        Report {
            level: Level::Critical,
            previous: Level::Ok,
            time,
            duration: 90_000_000_000,
            index: 0,
        }
    }

    fn server() -> ServerInfo {
        let text = |text: &str| text.to_owned();
        ServerInfo { hostname: text("h"), cluster_id: text("c"), server_id: text("s") }
    }

    #[test]
    fn each_template_sees_what_it_may() {
        let server = server();
        let one = point(
            "m",
            &[("host", "a<b")],
            &[("v", FieldValue::Float(9.0)), ("w", FieldValue::Str("x&y".into()))],
            1,
        );
        let id = AlertInfo::of_point(&one, "", "tid", &server);
        assert_eq!(text("{{ .Name }}:{{ .Group }}", &id).unwrap(), "m:nil");
        assert_eq!(
            text("{{ .TaskName }}/{{ index .Tags \"host\" }} {{ .ServerInfo.Hostname }}{{ .ServerInfo.ClusterID }}{{ .ServerInfo.ServerID }}", &id).unwrap(),
            "tid/a<b hcs"
        );
        // E103.
        assert_eq!(
            text("{{ .Foo }}", &id).unwrap_err(),
            "template: id:1:3: executing \"id\" at <.Foo>: can't evaluate field Foo in type kapacitor.idInfo"
        );
        assert!(text("{{ .ID }}", &id).unwrap_err().contains("field ID in type kapacitor.idInfo"));
        let message = id.with_report("m:nil", &report(), &one);
        // E102, E136.
        assert_eq!(
            text("{{ .ID }} {{ .Level }} {{ .Fields.v }} {{ .Time.Unix }} {{ .Duration }} {{ index .Fields \"nope\" }} {{ .Tags }} {{ .Fields }}", &message).unwrap(),
            "m:nil CRITICAL 9 1 1m30s <no value> map[host:a<b] map[v:9 w:x&y]"
        );
        assert!(
            text("{{ .Message }}", &message).unwrap_err().contains("in type kapacitor.messageInfo")
        );
        let details = message.with_message("it is");
        assert_eq!(text("{{ .Message }}", &details).unwrap(), "it is");
        let html =
            "<b>{{ .Level }}</b> {{ index .Tags \"host\" }} {{ .Fields }} {{ jsonCompact .Tags }}";
        assert_eq!(
            render(&Template::html("details", html).unwrap(), &details).unwrap(),
            "<b>CRITICAL</b> a&lt;b map[v:9 w:x&amp;y] {&#34;host&#34;:&#34;a\\u003cb&#34;}"
        );
    }

    #[test]
    fn default_details_are_the_json_of_the_template_unescaped() {
        let server = server();
        let fields = [
            ("w", FieldValue::Str("<x>".into())),
            ("big", FieldValue::Float(1e21)),
            ("i", FieldValue::Int(-3)),
            ("none", FieldValue::Null),
            ("b", FieldValue::Bool(true)),
        ];
        let one = point("m", &[("host", "a"), ("dc", "x")], &fields, 1);
        let grouped = batch("m", &[("host", "a")], 5, vec![one.clone()]);
        let options = levada_template::Options {
            functions: levada_template::JSON_FUNCTIONS,
            ..levada_template::Options::default()
        };
        let template = Template::parse("details", "{{ json . }}", &options).unwrap();
        for info in [
            AlertInfo::of_point(&one, "host=a", "tid", &server),
            AlertInfo::of_batch(grouped.as_ref(), "tid", &server),
        ] {
            let info = info.with_report("the id", &report(), &one).with_message("it \"is\"");
            let written = info.default_details();
            assert_eq!(written, render(&template, &info).unwrap());
            let html = render(&Template::html("details", "{{ json . }}").unwrap(), &info).unwrap();
            assert_eq!(
                html,
                written.replace('"', "&#34;").replace('+', "&#43;"),
                "Compat: as upstream escapes it"
            );
        }
        assert_eq!(AlertInfo::of_batch(grouped.as_ref(), "tid", &server).group(), "host=a");
    }
}
