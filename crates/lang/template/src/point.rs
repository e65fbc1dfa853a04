//! Points as data of templates: a series is the map of its tags, a point the map of its fields.

use levada_model::{FieldValue, Point, Series};

use crate::value::{MapLike, Value};

impl<'a> From<&'a FieldValue> for Value<'a> {
    /// Lends the value; bytes that are no text show with U+FFFD in their place.
    fn from(value: &'a FieldValue) -> Self {
        match value {
            FieldValue::Float(value) => Value::Float(*value),
            FieldValue::Int(value) => Value::Int64(*value),
            FieldValue::UInt(value) => Value::Uint64(*value),
            FieldValue::Bool(value) => Value::Bool(*value),
            FieldValue::Str(text) => Value::from(&**text),
            FieldValue::Bytes(bytes) => Value::Str(String::from_utf8_lossy(bytes)),
            FieldValue::Duration(nanos) => Value::Duration(*nanos),
            FieldValue::Null => Value::Nil,
        }
    }
}

impl MapLike for Series {
    fn type_name(&self) -> &'static str {
        "map[string]string"
    }

    fn element_type(&self) -> &'static str {
        "string"
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn get(&self, key: &str) -> Option<Value<'_>> {
        self.tag(key).map(|value| Value::from(&**value))
    }

    fn entry(&self, index: usize) -> (&str, Value<'_>) {
        (&self.keys.names[index], Value::from(&*self.values[index]))
    }
}

impl MapLike for Point {
    fn len(&self) -> usize {
        self.values.len()
    }

    fn get(&self, key: &str) -> Option<Value<'_>> {
        self.field(key).map(Value::from)
    }

    fn entry(&self, index: usize) -> (&str, Value<'_>) {
        let at = self.shape.sorted[index] as usize;
        (&self.shape.names[at], Value::from(&self.values[at]))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use levada_model::{Shape, Timestamp};

    use super::*;
    use crate::template::Template;

    #[test]
    fn tags_and_fields_are_maps_in_the_order_of_their_keys() {
        let tags = vec![("host".into(), "a".into()), ("dc".into(), "x".into())];
        let series = Series::new("db".into(), "rp".into(), "cpu".into(), tags);
        let shape = Shape::new(Box::from(["v".into(), "s".into(), "n".into()]));
        let values = [FieldValue::Float(1e6), FieldValue::Str("t".into()), FieldValue::Null];
        let point = Point {
            series: Arc::clone(&series),
            shape,
            values: values.into_iter().collect(),
            time: Timestamp(0),
        };
        let cases: [(&str, &dyn MapLike, &str); 4] = [
            ("{{ . }} {{ .host }} {{ .nope }}", &*series, "map[dc:x host:a] a <no value>"),
            ("{{ range $k, $v := . }}{{ $k }}={{ $v }};{{ end }}", &*series, "dc=x;host=a;"),
            ("{{ . }} {{ .v }} {{ .n }}", &point, "map[n:<nil> s:t v:1e+06] 1e+06 <no value>"),
            ("{{ len . }} {{ index . \"s\" | printf \"%q\" }}", &point, "3 \"t\""),
        ];
        for (text, map, expected) in cases {
            let template = Template::text("id", text).expect("it parses");
            let mut out = String::new();
            template.execute(&Value::Map(map), &mut out).expect("there is nothing to fail");
            assert_eq!(out, expected);
        }
    }
}
