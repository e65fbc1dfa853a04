//! Which servers there are, and what each needs from the machine.

use super::packages::{Check, Need};

/// One server.
#[derive(Debug)]
pub(crate) struct Service {
    /// Its name, and that of its folder in `services`.
    pub(crate) name: &'static str,
    /// Its port on 127.0.0.1; tests know it from `crates/testkit/src/services.rs`.
    pub(super) port: u16,
    /// How many ports it takes, beginning with `port`.
    pub(super) ports: u16,
    /// What must be on the machine.
    pub(super) needs: &'static [Need],
}

const CURL: Need = Need { check: Check::Program("curl"), packages: &["curl"] };
const MAVEN: Need = Need { check: Check::Program("mvn"), packages: &["maven"] };
const OPENSSL: Need = Need { check: Check::Program("openssl"), packages: &["openssl"] };
const JAVA: Need =
    Need { check: Check::Java(17), packages: &["openjdk-17-jre-headless", "default-jre-headless"] };
// Their main classes are started from source.
const JDK: Need =
    Need { check: Check::Jdk(17), packages: &["openjdk-17-jdk-headless", "default-jdk-headless"] };
// Debian 12 has no Java 21: the script fetches a runtime with pip there. Later releases have it from the needs above.
const JAVA_21: Need = Need { check: Check::JavaOrPip(21), packages: &["python3-pip"] };
const INITDB: Need =
    Need { check: Check::PostgresProgram("initdb"), packages: &["postgresql-15", "postgresql"] };
const VICTORIA: Need =
    Need { check: Check::Program("victoria-metrics"), packages: &["victoria-metrics"] };
const INFLUXD: Need = Need { check: Check::Program("influxd"), packages: &["influxdb"] };
const MOSQUITTO: Need = Need { check: Check::Program("mosquitto"), packages: &["mosquitto"] };
const PIP: Need = Need { check: Check::Program("pip3"), packages: &["python3-pip"] };
const SNMPTRAPD: Need = Need { check: Check::Program("snmptrapd"), packages: &["snmptrapd"] };

/// Every server, in the order in which they are shown.
pub(super) const SERVICES: &[Service] = &[
    Service { name: "kafka", port: 29092, ports: 5, needs: &[JAVA, MAVEN, OPENSSL] },
    Service { name: "postgres", port: 25432, ports: 1, needs: &[INITDB] },
    Service { name: "trino", port: 28080, ports: 1, needs: &[JDK, MAVEN] },
    Service { name: "opensearch", port: 29200, ports: 2, needs: &[JDK, MAVEN, CURL] },
    Service { name: "schema-registry", port: 28081, ports: 2, needs: &[MAVEN, JAVA_21, CURL] },
    Service { name: "victoria-metrics", port: 28428, ports: 1, needs: &[VICTORIA, CURL] },
    Service { name: "clickhouse", port: 28123, ports: 1, needs: &[PIP, CURL] },
    Service { name: "influxdb", port: 28086, ports: 3, needs: &[INFLUXD, CURL] },
    Service { name: "mosquitto", port: 21883, ports: 3, needs: &[MOSQUITTO, OPENSSL] },
    Service { name: "snmptrapd", port: 21162, ports: 1, needs: &[SNMPTRAPD] },
];

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::repo;

    #[test]
    fn tests_look_for_the_services_on_these_ports() {
        let testkit = repo::root().join("crates/testkit/src/services.rs");
        let text = std::fs::read_to_string(testkit).unwrap();
        for Service { name, port, .. } in SERVICES {
            let line = format!("Service {{ name: \"{name}\", port: {port} }}");
            assert!(text.contains(&line), "no `{line}` in the testkit");
        }
        assert_eq!(text.matches("Service = Service {").count(), SERVICES.len());
    }

    #[test]
    fn each_service_has_its_scripts_with_the_same_port() {
        for Service { name, port, .. } in SERVICES {
            for script in ["start.sh", "stop.sh"] {
                let path = repo::root().join("services").join(name).join(script);
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(text.contains(&format!("\ninstance {port}\n")), "{path:?}");
            }
        }
    }

    #[test]
    fn no_two_services_share_a_port() {
        let mut ports: Vec<u16> = SERVICES
            .iter()
            .flat_map(|service| service.port..service.port + service.ports)
            .collect();
        let all = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), all);
    }
}
