//! Where a ClickHouse server is and who asks.

use levada_settings::Secret;
use reqwest::Url;

/// A connection string, taken apart.
///
/// | written | asked |
/// |---|---|
/// | `http://host`, `https://host` | as it is; port 8123 or 8443 unless another is given |
/// | `clickhouse://host:9000`, `tcp://…` | `http://host:8123`: the native port stands for its HTTP twin |
/// | `clickhouse://host:9440`, or `?secure=true` | `https://host:8443` |
/// | `clickhouse://host:PORT` | `http://host:PORT`: any other port is taken as it is |
///
/// The path is the database. Of the parameters, `username`, `password`, `database`, `secure` and `skip_verify` mean
/// what they mean to the drivers; settings of the drivers themselves are ignored, and all others are
/// settings of ClickHouse, sent with every request.
#[derive(Clone)]
pub(crate) struct Connection {
    /// Scheme, host and port.
    pub(crate) url: Url,
    pub(crate) user: String,
    pub(crate) password: Secret<String>,
    /// Empty: the server's default.
    pub(crate) database: String,
    pub(crate) settings: Vec<(String, String)>,
    /// Certificates are not checked.
    pub(crate) skips_verify: bool,
}

/// Parameters of drivers that mean nothing over HTTP.
const OF_DRIVERS: [&str; 19] = [
    "alt_hosts",
    "block_buffer_size",
    "client_info_product",
    "compress",
    "compress_level",
    "conn_max_lifetime",
    "connection_open_strategy",
    "debug",
    "dial_timeout",
    "http_path",
    "http_proxy",
    "max_compression_buffer",
    "max_idle_conns",
    "max_open_conns",
    "no_delay",
    "pool_size",
    "protocol",
    "read_timeout",
    "write_timeout",
];

/// Settings on which delivery depends, so a connection string cannot change them.
const OURS: [&str; 6] = [
    "query",
    "async_insert",
    "wait_end_of_query",
    "insert_deduplication_token",
    "default_format",
    "compress",
];

// === impl Connection ===

impl Connection {
    /// Reads a connection string; the message of an error shows nothing of it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (scheme, rest) =
            text.split_once("://").ok_or("must begin with clickhouse://, http:// or https://")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains(',') {
            return Err("names several hosts; give the one to use, or a load balancer".into());
        }
        let is_native = match scheme {
            "clickhouse" | "tcp" | "native" => true,
            "http" | "https" => false,
            _ => return Err("must begin with clickhouse://, http:// or https://".into()),
        };
        // The parser treats schemes it does not know differently, so all go through `http`.
        let neutral = format!("{}://{rest}", if scheme == "https" { "https" } else { "http" });
        let mut url = Url::parse(&neutral).map_err(|error| format!("is not a URL: {error}"))?;
        if !url.has_host() {
            return Err("has no host".into());
        }
        let mut connection = Connection {
            user: percent_decoded(url.username()),
            password: percent_decoded(url.password().unwrap_or_default()).into(),
            database: percent_decoded(url.path().trim_matches('/')),
            settings: Vec::new(),
            skips_verify: false,
            url: url.clone(),
        };
        let mut is_secure = scheme == "https";
        for (name, value) in url.query_pairs() {
            let is_yes = matches!(&*value, "true" | "1");
            match &*name {
                "username" | "user" => connection.user = value.into_owned(),
                "password" => connection.password = value.into_owned().into(),
                "database" => connection.database = value.into_owned(),
                "secure" => is_secure |= is_yes,
                "skip_verify" => connection.skips_verify = is_yes,
                driver if OF_DRIVERS.contains(&driver) => {}
                name if OURS.contains(&name) || !is_setting(name) => {
                    return Err(format!("has the parameter `{name}`, which cannot be set here"));
                }
                name => connection.settings.push((name.to_owned(), value.into_owned())),
            }
        }
        // The default port of `http` is not ClickHouse's; the parser hides it, so the text is asked.
        let written = authority.rsplit(']').next().unwrap_or_default().rsplit('@').next();
        let written = written.and_then(|host| host.rsplit_once(':'));
        let port = written.and_then(|(_, port)| port.parse::<u16>().ok());
        is_secure |= is_native && port == Some(9440);
        let port = match port {
            None => {
                if is_secure {
                    8443
                } else {
                    8123
                }
            }
            Some(9000 | 9440) if is_native => {
                if is_secure {
                    8443
                } else {
                    8123
                }
            }
            Some(port) => port,
        };
        let is_set = url.set_scheme(if is_secure { "https" } else { "http" }).is_ok()
            && url.set_port(Some(port)).is_ok()
            && url.set_username("").is_ok()
            && url.set_password(None).is_ok();
        if !is_set {
            return Err("has no host".into());
        }
        url.set_path("/");
        url.set_query(None);
        url.set_fragment(None);
        connection.url = url;
        Ok(connection)
    }
}

fn is_setting(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = if bytes[at] == b'%' { text.get(at + 1..at + 3) } else { None };
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn addresses_become_those_of_the_http_interface() {
        for (text, expected) in [
            ("clickhouse://h", "http://h:8123/"),
            ("clickhouse://h:9000/db", "http://h:8123/"),
            ("clickhouse://u:p@h:9440/db", "https://h:8443/"),
            ("tcp://h:9000?secure=true", "https://h:8443/"),
            ("clickhouse://h:18123", "http://h:18123/"),
            ("http://h", "http://h:8123/"),
            ("http://h:80/", "http://h/"),
            ("https://h", "https://h:8443/"),
            ("https://u:p%40:@[::1]:443/db?x=1", "https://[::1]/"),
            ("http://[::1]", "http://[::1]:8123/"),
            (" http://h:9000 ", "http://h:9000/"),
        ] {
            assert_eq!(Connection::parse(text).unwrap().url.as_str(), expected, "{text}");
        }
    }

    #[test]
    fn the_rest_is_who_asks_and_how() {
        let text = "clickhouse://a%40b:p%2F%3A@h:9000/my%20db?max_threads=2&dial_timeout=1s&skip_verify=true";
        let connection = Connection::parse(text).unwrap();
        assert_eq!(connection.user, "a@b");
        assert_eq!(connection.password.expose(), "p/:");
        assert_eq!(connection.database, "my db");
        assert_eq!(connection.settings, [("max_threads".to_owned(), "2".to_owned())]);
        assert!(connection.skips_verify);
        let text = "http://h?user=u&password=p&database=d";
        let connection = Connection::parse(text).unwrap();
        assert_eq!((&*connection.user, &*connection.database), ("u", "d"));
        assert_eq!(connection.password.expose(), "p");
    }

    #[test]
    fn mistakes_are_named_without_what_is_secret() {
        for (text, expected) in [
            ("h:9000", "must begin with clickhouse://, http:// or https://"),
            ("mysql://h", "must begin with clickhouse://, http:// or https://"),
            (
                "clickhouse://u:secret@a:9000,b:9000/db",
                "names several hosts; give the one to use, or a load balancer",
            ),
            (
                "http://h?async_insert=1",
                "has the parameter `async_insert`, which cannot be set here",
            ),
            ("http://h?a-b=1", "has the parameter `a-b`, which cannot be set here"),
            ("http://", "is not a URL: empty host"),
            ("http://u:secret@h:99999", "is not a URL: invalid port number"),
        ] {
            assert_eq!(Connection::parse(text).err().unwrap(), expected, "{text}");
        }
    }
}
