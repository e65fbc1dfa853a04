//! The format of Kafka records.

use levada_registry::{FieldPath, Report};

use super::schema_registry::SchemaRegistry;
use super::secret_ref::{SecretRef, check_reference};

/// The format settings of a Kafka source's block.
#[derive(Clone, Copy, Debug)]
pub struct RecordFormat<'b> {
    /// `format`; empty: `json`.
    pub format: &'b str,
    /// `avroSchema`.
    pub schema: &'b str,
    /// `avroSchemaFile`.
    pub schema_file: &'b str,
    /// `avroSchemaSecretRef`.
    pub schema_secret_ref: Option<&'b SecretRef>,
    /// `schemaRegistry`.
    pub registry: Option<&'b SchemaRegistry>,
}

// === impl RecordFormat ===

impl RecordFormat<'_> {
    /// Reports Avro that no schema could decode, and warns of an unknown format.
    ///
    /// Source: dataflow-operator.md §1.5: every other word behaves as `json`, so it is no error.
    pub fn check(&self, at: &FieldPath, report: &mut Report) {
        check_reference("avroSchemaSecretRef", self.schema_secret_ref, at, report);
        if let Some(registry) = self.registry {
            registry.check(&at.child("schemaRegistry"), report);
        }
        let is_schema_used = self.schema_secret_ref.is_none() && !self.schema.is_empty();
        match self.format {
            "" | "json" => {}
            "avro" => {
                let has_file = !self.schema_file.is_empty();
                let has_reference = self.schema_secret_ref.is_some() || self.registry.is_some();
                if !is_schema_used && !has_file && !has_reference {
                    let detail = "format avro needs avroSchema, avroSchemaFile, avroSchemaSecretRef \
                                  or schemaRegistry";
                    report.required(&at.child("avroSchema"), detail);
                }
                if is_schema_used
                    && let Err(error) = serde_json::from_str::<serde_json::Value>(self.schema)
                {
                    let detail = format!("must be an Avro schema in JSON: {error}");
                    report.invalid(&at.child("avroSchema"), self.schema, &detail);
                }
            }
            other => {
                let text = format!("format `{other}` behaves as json; known: json, avro");
                report.warning(&at.child("format"), text);
            }
        }
    }
}
