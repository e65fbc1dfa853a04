//! The real servers that tests run against.
//!
//! `cargo xtask services up` starts them on ports of their own and `cargo xtask test` does so before the
//! tests. A test asks for an address; where nothing listens it is skipped loudly.

use std::env;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A server that tests use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name, as in `cargo xtask services up NAME`.
    pub name: &'static str,
    /// The port on 127.0.0.1.
    pub port: u16,
}

/// Apache Kafka: PLAINTEXT. SASL_PLAINTEXT is two ports further, SSL three, SASL_SSL four.
pub const KAFKA: Service = Service { name: "kafka", port: 29092 };
/// PostgreSQL: user and database `postgres`, no password.
pub const POSTGRES: Service = Service { name: "postgres", port: 25432 };
/// Trino: catalogs `memory`, `iceberg` (takes `MERGE`) and `tpch`.
pub const TRINO: Service = Service { name: "trino", port: 28080 };
/// OpenSearch.
pub const OPENSEARCH: Service = Service { name: "opensearch", port: 29200 };
/// A schema registry: Confluent's API under `/apis/ccompat/v7`.
pub const SCHEMA_REGISTRY: Service = Service { name: "schema-registry", port: 28081 };
/// VictoriaMetrics.
pub const VICTORIA_METRICS: Service = Service { name: "victoria-metrics", port: 28428 };
/// ClickHouse's engine behind its HTTP interface: anybody may use `default` and `shop`.
pub const CLICKHOUSE: Service = Service { name: "clickhouse", port: 28123 };
/// InfluxDB 1.x.
pub const INFLUXDB: Service = Service { name: "influxdb", port: 28086 };
/// Mosquitto, a broker of MQTT: for anybody. With a password it is one port further, with TLS two.
pub const MOSQUITTO: Service = Service { name: "mosquitto", port: 21883 };
/// A receiver of SNMP traps, over UDP; what it got is in `log` of its [state](Service::state).
pub const SNMPTRAPD: Service = Service { name: "snmptrapd", port: 21162 };

/// Every service.
pub const ALL: [Service; 10] = [
    KAFKA,
    POSTGRES,
    TRINO,
    OPENSEARCH,
    SCHEMA_REGISTRY,
    VICTORIA_METRICS,
    CLICKHOUSE,
    INFLUXDB,
    MOSQUITTO,
    SNMPTRAPD,
];

/// Is added to every port, as `cargo xtask services` does, so that two clones can be tested on one machine.
const PORT_OFFSET: &str = "LEVADA_SERVICES_PORT_OFFSET";
/// Where `cargo xtask services` keeps state and downloads.
const DIR: &str = "LEVADA_SERVICES_DIR";

// === impl Service ===

impl Service {
    /// Gives `127.0.0.1:PORT` when the service listens; otherwise says that `test` is skipped.
    pub fn address(self, test: &str) -> Option<String> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.real_port()));
        match TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
            Ok(_) => Some(address.to_string()),
            Err(error) => {
                let hint = format!("run `cargo xtask services up {}`", self.name);
                crate::skipped(test, &format!("{address}: {error}; {hint}"));
                None
            }
        }
    }

    /// Gives the folder in which the server that this project started keeps its state, such as the certificates of Kafka
    /// in `tls`; a server started in another way has none there.
    pub fn state(self) -> PathBuf {
        let dir = env::var_os(DIR).filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let target = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/services");
        let name = format!("{}-{}", self.name, self.real_port());
        dir.unwrap_or_else(target).join("run").join(name)
    }

    fn real_port(self) -> u16 {
        let offset = env::var(PORT_OFFSET).ok().filter(|text| !text.is_empty());
        self.port + offset.map_or(0, |text| text.parse::<u16>().unwrap())
    }
}
