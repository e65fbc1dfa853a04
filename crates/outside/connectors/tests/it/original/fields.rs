//! Every field of every block decodes under its wire name, and the schema knows it.

use std::collections::BTreeSet;

use levada_connectors::{SINKS, SOURCES};
use levada_registry::{Named, Node};
use schemars::SchemaGenerator;

use super::{block, problems, smallest};

const REF: &str = "{name: n, key: k, namespace: ns}";
const TLS: &str = "\
     {insecureSkipVerify: false, certFile: c, keyFile: k, caFile: a, certSecretRef: $REF, \
     keySecretRef: $REF, caSecretRef: $REF}";
const SASL: &str = "{mechanism: scram-sha-256, username: u, password: p, usernameSecretRef: $REF, \
     passwordSecretRef: $REF}";
const BASIC: &str = "{username: u, password: p, usernameSecretRef: $REF, passwordSecretRef: $REF}";
const KEYCLOAK: &str = "\
     {serverURL: u, realm: r, clientID: c, clientSecret: s, username: u, password: p, token: t, \
     serverURLSecretRef: $REF, realmSecretRef: $REF, clientIDSecretRef: $REF, \
     clientSecretSecretRef: $REF, usernameSecretRef: $REF, passwordSecretRef: $REF, \
     tokenSecretRef: $REF}";
const REGISTRY: &str = "{url: u, basicAuth: $BASIC, tls: $TLS, urlSecretRef: $REF}";

/// Source: dataflow-operator.md §1.5 and §1.7; what both generations give a block, by role and type.
/// Fields of our own stand among them: `user`, `tls`, `schemaChange` and the source's `queryTimeoutSeconds` of `trino`.
const ALL: &[(&str, &str, &str)] = &[
    (
        "source",
        "kafka",
        "{brokers: [a, b], topic: t, consumerGroup: g, tls: $TLS, sasl: $SASL, securityProtocol: \
         SASL_SSL, format: avro, avroSchema: '\"string\"', avroSchemaFile: f, \
         avroSchemaSecretRef: $REF, schemaRegistry: $REGISTRY, consumerMaxWait: 250ms, \
         fetchMinBytes: 1, fetchMaxBytes: 2, maxPartitionFetchBytes: 3, netReadTimeout: 30s, \
         netWriteTimeout: 30s, startAt: latest, sessionTimeout: 10s, stopAtEnd: true, groupInstanceId: g, brokersSecretRef: $REF, \
         topicSecretRef: $REF, consumerGroupSecretRef: $REF}",
    ),
    (
        "source",
        "postgresql",
        "{connectionString: c, table: t, query: q, pollInterval: 5, readBatchSize: 0, \
         changeTrackingColumn: updated_at, orderByColumn: id, autoCreateTable: true, \
         overlap: 5s, statementTimeout: 5m, stopAtEnd: true, connectionStringSecretRef: $REF, tableSecretRef: $REF}",
    ),
    (
        "source",
        "trino",
        "{serverURL: u, catalog: c, schema: s, table: t, query: q, pollInterval: 5, \
         orderByColumn: id, changeTrackingColumn: updated_at, readBatchSize: 0, \
         queryTimeoutSeconds: 600, stopAtEnd: true, user: u, tls: $TLS, keycloak: $KEYCLOAK, \
         serverURLSecretRef: $REF, catalogSecretRef: $REF, schemaSecretRef: $REF, \
         tableSecretRef: $REF}",
    ),
    (
        "source",
        "postgresql-cdc",
        "{connectionString: c, slotName: s, publicationName: p, tables: [public.t], snapshotMode: \
         initial, createSlotIfNotExists: true, createPublicationIfNotExists: true, plugin: \
         pgoutput, heartbeatIntervalSeconds: 0, primaryKeyColumn: id, includeColumns: [a], \
         excludeColumns: [b], envelopeFormat: row, connectionStringSecretRef: $REF, \
         slotNameSecretRef: $REF, publicationNameSecretRef: $REF}",
    ),
    (
        "source",
        "clickhouse",
        "{connectionString: c, table: t, query: q, pollInterval: 5, orderByColumn: id, \
         changeTrackingColumn: created_at, readBatchSize: 0, stopAtEnd: true, tls: $TLS, \
         connectionStringSecretRef: $REF, tableSecretRef: $REF}",
    ),
    (
        "source",
        "nessie",
        "{baseURL: u, branch: main, warehouse: w, namespace: n, table: t, query: '', \
         pollInterval: 10, basicAuth: $BASIC, bearerToken: t, authenticationType: AUTO, \
         incrementalBySnapshot: true, startSnapshotID: '5', snapshotCheckpoints: true, \
         baseURLSecretRef: $REF, tokenSecretRef: $REF, namespaceSecretRef: $REF, tableSecretRef: \
         $REF}",
    ),
    (
        "source",
        "iceberg",
        "{catalogURI: u, prefix: p, warehouse: w, namespace: n, table: t, query: q, pollInterval: \
         10, basicAuth: $BASIC, bearerToken: '', authenticationType: AUTO, incrementalBySnapshot: \
         false, startSnapshotID: 5, snapshotCheckpoints: true, oauth2ServerURI: u, \
         oauth2ClientID: c, oauth2ClientSecret: s, oauth2Scope: catalog, catalogURISecretRef: \
         $REF, oauth2ServerURISecretRef: $REF, oauth2ClientIDSecretRef: $REF, \
         oauth2ClientSecretSecretRef: $REF, namespaceSecretRef: $REF, tableSecretRef: $REF}",
    ),
    (
        "sink",
        "kafka",
        "{brokers: [a], topic: t, tls: $TLS, sasl: $SASL, securityProtocol: sasl-ssl, async: \
         true, compression: zstd, requiredAcks: all, idempotent: true, maxOpenRequests: 1, \
         flushMessages: 1, flushBytes: 1, flushFrequency: 10ms, partitioner: murmur2, \
         maxMessageBytes: 1000000, deliveryTimeout: 30s, transactionalId: x, \
         brokersSecretRef: $REF, topicSecretRef: $REF}",
    ),
    (
        "sink",
        "postgresql",
        "{connectionString: c, table: t, batchSize: 100, batchFlushIntervalSeconds: 10, \
         autoCreateTable: true, upsertMode: true, conflictKey: id, upsertStrategy: ifNewer, \
         upsertVersionColumn: v, softDeleteColumn: deleted_at, schemaChange: evolve, \
         sampleRecords: 10, statementTimeout: 5m, rawMode: true, \
         flattenMetadataColumns: true, flattenMetadataColumnsPrefix: kafka_, \
         connectionStringSecretRef: $REF, tableSecretRef: $REF}",
    ),
    (
        "sink",
        "trino",
        "{serverURL: u, catalog: my_iceberg, schema: s, table: t, batchSize: 10, \
         batchFlushIntervalSeconds: 10, queryTimeoutSeconds: 600, autoCreateTable: true, \
         upsertMode: true, conflictKey: id, rawMode: true, flattenMetadataColumns: true, \
         flattenMetadataColumnsPrefix: kafka_, schemaChange: strict, user: u, tls: $TLS, \
         keycloak: $KEYCLOAK, serverURLSecretRef: $REF, \
         catalogSecretRef: $REF, schemaSecretRef: $REF, tableSecretRef: $REF}",
    ),
    (
        "sink",
        "clickhouse",
        "{connectionString: c, table: t, batchSize: 500, batchFlushIntervalSeconds: 10, \
         autoCreateTable: true, upsertMode: true, conflictKey: id, tableEngine: \
         ReplacingMergeTree, replacingVersionColumn: v, rawMode: true, flattenMetadataColumns: \
         true, flattenMetadataColumnsPrefix: kafka_, schemaChange: evolve, compression: gzip, \
         tls: $TLS, timeout: 60s, connectionStringSecretRef: $REF, tableSecretRef: $REF}",
    ),
    (
        "sink",
        "nessie",
        "{baseURL: u, branch: main, warehouse: w, namespace: n, table: t, batchSize: 500, \
         batchFlushIntervalSeconds: 10, autoCreateTable: true, rawMode: true, \
         flattenMetadataColumns: true, flattenMetadataColumnsPrefix: kafka_, basicAuth: $BASIC, \
         bearerToken: t, authenticationType: bearer, s3Endpoint: e, s3Region: r, \
         accessKeySecretRef: $REF, secretAccessKeySecretRef: $REF, baseURLSecretRef: $REF, \
         tokenSecretRef: $REF, namespaceSecretRef: $REF, tableSecretRef: $REF}",
    ),
    (
        "sink",
        "iceberg",
        "{catalogURI: u, prefix: p, warehouse: w, namespace: n, table: t, batchSize: 500, \
         batchFlushIntervalSeconds: 10, autoCreateTable: true, rawMode: true, \
         flattenMetadataColumns: true, flattenMetadataColumnsPrefix: kafka_, basicAuth: $BASIC, \
         bearerToken: '', authenticationType: BASIC, oauth2ServerURI: u, oauth2ClientID: c, \
         oauth2ClientSecret: s, oauth2Scope: catalog, s3Endpoint: e, s3Region: r, \
         accessKeySecretRef: $REF, secretAccessKeySecretRef: $REF, catalogURISecretRef: $REF, \
         oauth2ServerURISecretRef: $REF, oauth2ClientIDSecretRef: $REF, \
         oauth2ClientSecretSecretRef: $REF, namespaceSecretRef: $REF, tableSecretRef: $REF}",
    ),
];

/// A bearer token excludes client credentials, so the full Iceberg block cannot have this one.
const ELSEWHERE: &[(&str, &str)] = &[("iceberg", "tokenSecretRef")];

/// Puts the shared blocks in the place of their names.
fn expand(yaml: &str) -> String {
    let blocks = [
        ("$KEYCLOAK", KEYCLOAK),
        ("$REGISTRY", REGISTRY),
        ("$BASIC", BASIC),
        ("$TLS", TLS),
        ("$SASL", SASL),
        ("$REF", REF),
    ];
    blocks.iter().fold(yaml.to_owned(), |yaml, (name, block)| yaml.replace(name, block))
}

fn keys(node: &Node) -> BTreeSet<String> {
    node.map().into_iter().flatten().map(|entry| entry.key.clone()).collect()
}

#[test]
fn a_manifest_may_name_every_field() {
    for (role, name, yaml) in ALL {
        assert_eq!(problems(role, name, &expand(yaml)), [""; 0], "{role} {name}");
    }
}

#[test]
fn the_schema_has_exactly_these_fields() {
    let mut seen = 0;
    for (role, name, yaml) in ALL {
        let entry_schema = match *role {
            "source" => {
                SOURCES.iter().find(|entry| entry.name() == *name).map(|entry| entry.schema)
            }
            _ => SINKS.iter().find(|entry| entry.name() == *name).map(|entry| entry.schema),
        };
        let mut generator = SchemaGenerator::default();
        entry_schema.expect("a type of the table")(&mut generator);
        let definitions = generator.take_definitions(true);
        for (definition, schema) in &definitions {
            // A list of words has no fields.
            let Some(properties) = schema.get("properties").and_then(|all| all.as_object()) else {
                continue;
            };
            for (field, property) in properties {
                let has_words = property.get("description").is_some();
                assert!(has_words, "{role} {name}: {definition}.{field} is not described");
            }
            assert!(schema.get("required").is_none(), "{definition}");
        }
        let own = definitions
            .iter()
            .find(|(definition, _)| definition.ends_with("Source") || definition.ends_with("Sink"))
            .map(|(_, schema)| schema)
            .expect("the block's own schema");
        let properties = own["properties"].as_object().expect("properties");
        let mut expected = keys(&block(&expand(yaml)));
        let elsewhere = ELSEWHERE.iter().filter(|(kind, _)| kind == name);
        expected.extend(elsewhere.map(|(_, field)| (*field).to_owned()));
        assert_eq!(properties.keys().cloned().collect::<BTreeSet<_>>(), expected, "{role} {name}");
        seen += 1;
    }
    let original = SOURCES.iter().filter(|entry| entry.of_original).count()
        + SINKS.iter().filter(|entry| entry.of_original).count();
    assert_eq!(seen, original);
}

#[test]
fn the_schemas_of_all_types_go_together() {
    let mut generator = SchemaGenerator::default();
    for entry in SOURCES.iter().filter(|entry| entry.of_original) {
        (entry.schema)(&mut generator);
    }
    for entry in SINKS.iter().filter(|entry| entry.of_original) {
        (entry.schema)(&mut generator);
    }
    let definitions = generator.take_definitions(true);
    for name in ["KafkaSource", "KafkaSink", "PostgresqlCdcSource", "IcebergSink", "Keycloak"] {
        assert!(definitions.contains_key(name), "{name}");
    }
    let is_numbered = |name: &&String| name.ends_with(|last: char| last.is_ascii_digit());
    assert_eq!(definitions.keys().find(is_numbered), None, "two types have one name");
}

#[test]
fn an_unknown_field_warns() {
    for (role, name, _) in ALL {
        let yaml = format!("{{{}, bogus: 1}}", smallest(role, name));
        let found = problems(role, name, &yaml);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("warning bogus: unknown field `bogus`; known: "), "{found:?}");
    }
}

#[test]
fn wrong_types_are_reported_with_their_path() {
    let yaml = "{brokers: a, topic: t, tls: {caFile: []}, fetchMinBytes: 3000000000, sasl: {username: u, \
     password: {}}}";
    assert_eq!(
        problems("source", "kafka", yaml),
        [
            "brokers: Invalid value: \"a\": must be a list, not a string",
            "tls.caFile: Invalid value: []: must be a string, not a list",
            "fetchMinBytes: Invalid value: 3000000000: must be a whole number from -2147483648 to 2147483647",
            "sasl.password: Invalid value: \"***\": invalid secret: the value has the wrong type",
            "brokers: Invalid value: null: brokers or brokersSecretRef is required",
            "sasl.password: Required value: SASL password is required but not provided \
             (check if passwordSecretRef is correctly configured)",
        ]
    );
}
