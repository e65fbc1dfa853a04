//! Connections: from a URL or from `key=value` pairs, with TLS as `sslmode` says, in bounded time.
//!
//! | parameter | meaning |
//! |---|---|
//! | `sslmode`, `sslrootcert`, `sslcert`, `sslkey` | TLS; `prefer` when nothing is said, `verify-full` to be sure |
//! | `connect_timeout` | seconds until an attempt is given up; 10 |
//! | `pool_*` and other settings of drivers | read and ignored |
//! | anything else | a setting of the session, such as `search_path` |

use std::str::FromStr;
use std::time::Duration;

use levada_model::ErrorClass;
use reqwest::Url;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::error::Fault;

/// Ours: a server in reach answers within milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Parameters that are handed to the client library.
const KNOWN: [&str; 14] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "ssl-mode",
    "ssl-root-cert",
    "ssl-cert",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
];

/// Parameters of drivers that say nothing about the session.
const IGNORED: [&str; 17] = [
    "target_session_attrs",
    "default_query_exec_mode",
    "statement_cache_capacity",
    "description_cache_capacity",
    "statement_cache_mode",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "gssencmode",
    "krbsrvname",
    "sslsni",
    "channel_binding",
    "tcp_user_timeout",
    "client_encoding",
    "sslcompression",
];

/// Where to connect.
#[derive(Clone)]
pub(crate) struct Target {
    options: PgConnectOptions,
    connect_timeout: Duration,
    /// Parameters that name files, and the files.
    files: Pairs,
}

// === impl Target ===

impl Target {
    /// Reads a connection string; errors never repeat it, because it holds a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (mut options, files, extra) =
            if text.starts_with("postgres://") || text.starts_with("postgresql://") {
                of_url(text)?
            } else {
                of_pairs(text)?
            };
        let mut connect_timeout = CONNECT_TIMEOUT;
        for (key, value) in extra {
            match key.as_str() {
                "connect_timeout" => {
                    let seconds: u64 = value
                        .parse()
                        .map_err(|_| "connect_timeout must be a number of seconds".to_owned())?;
                    // Source: libpq, where 0 means no limit; here everything is bounded.
                    if seconds > 0 {
                        connect_timeout = Duration::from_secs(seconds.min(3600));
                    }
                }
                "application_name" => options = options.application_name(&value),
                "options" => {
                    return Err(
                        "`options` is not supported: write each setting as a parameter".into()
                    );
                }
                key if key.starts_with("pool_") || IGNORED.contains(&key) => {}
                key if crate::blocks::identifier::is_identifier(&key.replace('.', "_")) => {
                    options =
                        options.options([(key, value.replace('\\', "\\\\").replace(' ', "\\ "))]);
                }
                key => return Err(format!("`{key}` is no parameter of a connection string")),
            }
        }
        if options.get_application_name().is_none() {
            options = options.application_name("levada");
        }
        Ok(Target { options: options.disable_statement_logging(), connect_timeout, files })
    }

    /// Connects, and bounds how long a statement and an open transaction may take.
    pub(crate) async fn connect(&self, statement_timeout: Duration) -> Result<PgConnection, Fault> {
        // The client library does not say which file it could not read.
        for (name, file) in &self.files {
            if let Err(error) = tokio::fs::File::open(file).await {
                let message = format!("{name}: cannot read `{file}`: {error}");
                return Err(Fault::new(ErrorClass::AuthError, message));
            }
        }
        let attempt = async {
            let mut connection = self.options.connect().await?;
            let millis = statement_timeout.as_millis();
            let text = format!(
                "SET statement_timeout = {millis}; SET idle_in_transaction_session_timeout = {millis}"
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await?;
            Ok::<_, sqlx::Error>(connection)
        };
        match tokio::time::timeout(self.connect_timeout, attempt).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                let fault = Fault::from(error);
                Err(Fault {
                    message: format!("cannot connect to {self}: {}", fault.message),
                    ..fault
                })
            }
            Err(_) => {
                let message = format!(
                    "cannot connect to {self}: no answer within {:?}",
                    self.connect_timeout
                );
                Err(Fault::new(ErrorClass::Timeout, message))
            }
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let database = self.options.get_database().unwrap_or(self.options.get_username());
        write!(f, "{}:{}/{database}", self.options.get_host(), self.options.get_port())
    }
}

type Pairs = Vec<(String, String)>;

/// Tells whether a parameter names a file; the client library takes certificates and keys themselves too.
fn is_file(key: &str, value: &str) -> bool {
    let names = ["sslrootcert", "ssl-root-cert", "sslcert", "ssl-cert", "sslkey", "ssl-key"];
    names.contains(&key) && !value.trim_start().starts_with("-----BEGIN")
}

fn of_url(text: &str) -> Result<(PgConnectOptions, Pairs, Pairs), String> {
    let mut url = Url::parse(text).map_err(|error| format!("not a connection URL: {error}"))?;
    let pairs: Pairs =
        url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
    let (known, extra): (Pairs, Pairs) =
        pairs.into_iter().partition(|(key, _)| KNOWN.contains(&key.as_str()));
    url.set_query(None);
    if !known.is_empty() {
        url.query_pairs_mut().extend_pairs(&known);
    }
    let options = PgConnectOptions::from_str(url.as_str())
        .map_err(|error| format!("not a connection URL: {error}"))?;
    let files = known.into_iter().filter(|(key, value)| is_file(key, value)).collect();
    Ok((options, files, extra))
}

/// Source: libpq, "Keyword/Value Connection Strings".
fn of_pairs(text: &str) -> Result<(PgConnectOptions, Pairs, Pairs), String> {
    let mut options = PgConnectOptions::new();
    let (mut files, mut extra) = (Vec::new(), Vec::new());
    for (key, value) in pairs(text)? {
        if is_file(&key, &value) {
            files.push((key.clone(), value.clone()));
        }
        let wrong = |what: &str| format!("`{key}` of the connection string must be {what}");
        options = match key.as_str() {
            "host" if value.starts_with('/') => options.socket(&value),
            "host" | "hostaddr" => options.host(&value),
            "port" => options.port(value.parse().map_err(|_| wrong("a port"))?),
            "user" => options.username(&value),
            "password" => options.password(&value),
            "dbname" => options.database(&value),
            "sslmode" => options.ssl_mode(value.parse().map_err(|_| {
                wrong("one of disable, allow, prefer, require, verify-ca, verify-full")
            })?),
            "sslrootcert" => options.ssl_root_cert(&value),
            "sslcert" => options.ssl_client_cert(&value),
            "sslkey" => options.ssl_client_key(&value),
            _ => {
                extra.push((key, value));
                continue;
            }
        };
    }
    Ok((options, files, extra))
}

fn pairs(text: &str) -> Result<Pairs, String> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            break;
        }
        let mut key = String::new();
        while let Some(c) = chars.next_if(|&c| c != '=' && !c.is_whitespace()) {
            key.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next() != Some('=') {
            let text = "the connection string is neither a postgres:// URL nor key=value pairs";
            return Err(text.to_owned());
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut value = String::new();
        let is_quoted = chars.next_if_eq(&'\'').is_some();
        loop {
            match chars.next() {
                None if is_quoted => return Err(format!("the value of `{key}` lacks a quote")),
                None => break,
                Some('\'') if is_quoted => break,
                Some('\\') => value.extend(chars.next()),
                Some(c) if !is_quoted && c.is_whitespace() => break,
                Some(c) => value.push(c),
            }
        }
        out.push((key, value));
    }
    if out.is_empty() {
        return Err("the connection string is empty".to_owned());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn both_forms_are_read() {
        for text in [
            "postgres://u:p%40w@h:5433/d?sslmode=require&connect_timeout=3&pool_max_conns=4&search_path=a,b",
            "postgresql://u:p@h:5433/d",
            "host=h port=5433 user=u password='p w\\'' dbname = d sslmode=verify-full",
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.to_string(), "h:5433/d", "{text}");
            assert_eq!(target.options.get_username(), "u");
        }
        let target = Target::parse("postgres://u@h/d?connect_timeout=3").unwrap();
        assert_eq!(target.connect_timeout, Duration::from_secs(3));
    }

    #[test]
    fn errors_do_not_show_passwords() {
        for text in [
            "",
            "secret",
            "host=h password='secret",
            "host=h port=secret",
            "host=h sslmode=secret",
            "postgres://u:secret@h:99999/d",
            "postgres://u:secret@h/d?sslmode=maybe",
            "postgres://u:secret@h/d?a%20b=1",
        ] {
            let error = Target::parse(text).err().unwrap();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
