//! Settings of sinks whose records become points of this process.

/// Makes the settings of a sink that maps records to points as the `influxdb` sink does: those before the mapping, those of
/// the mapping, and those behind it.
macro_rules! mapped_spec {
    (
        $(#[$about:meta])*
        $name:ident {
            $($(#[$doc:meta])* $field:ident: $type:ty,)*
            [$(#[$numbers_doc:meta])* numbers: $numbers:ty],
            $($(#[$last_doc:meta])* $last:ident: $last_type:ty,)*
        }
    ) => {
        #[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
        $(#[$about])*
        #[serde(default, rename_all = "camelCase")]
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
            /// The measurement: a text, a path such as `$.metric` or a template such as `host_{metric}`.
            /// Required.
            pub measurement: String,
            /// Tags by name: a text, a path or a template each. Records without one do not have that tag.
            /// Default: none.
            pub tags: BTreeMap<String, String>,
            /// Paths of objects whose members become tags under their own names. Default: none.
            pub tags_from: Vec<String>,
            /// Paths of the fields; the last key is the field's name. Default: every text, number and boolean
            /// at the top of the record that has no other use.
            pub fields: Vec<String>,
            $(#[$numbers_doc])*
            pub numbers: $numbers,
            /// Path of the time. Default: when the record was received.
            pub timestamp: String,
            /// The unit of times that are numbers: `auto`, `s`, `ms`, `us` or `ns`. Default `auto`.
            pub timestamp_unit: TimeUnit,
            $($(#[$last_doc])* pub $last: $last_type,)*
        }

        impl $name {
            /// The same mapping, as the sink writes it that sends points over the network.
            fn mapped(&self, numbers: influxdb::Numbers) -> influxdb::Spec {
                influxdb::Spec {
                    measurement: self.measurement.clone(),
                    tags: self.tags.clone(),
                    tags_from: self.tags_from.clone(),
                    fields: self.fields.clone(),
                    numbers,
                    timestamp: self.timestamp.clone(),
                    timestamp_unit: self.timestamp_unit,
                    ..influxdb::Spec::default()
                }
            }
        }
    };
}

pub(super) use mapped_spec;
