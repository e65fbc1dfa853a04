//! Where `InfluxDB` sends points: `http://~subscriber:token@host:9092/path`, `udp://host:1234`.

use std::fmt;

/// The user name that says that the password is a token. Source: reference (server) §7.4.
const SUBSCRIBER: &str = "~subscriber";

/// Where `InfluxDB` sends points.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) scheme: String,
    /// With authentication.
    pub(super) token: Option<String>,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

// === impl Destination ===

impl Destination {
    /// Reads one that may be ours: there is a port, and a user only with a token.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (token, place) = match authority.rsplit_once('@') {
            Some((user, place)) => {
                let (name, password) = user.split_once(':')?;
                // Servers show the name as it was given, or escaped.
                let name = name.replace("%7E", "~").replace("%7e", "~");
                (Some(password.to_owned()).filter(|_| name == SUBSCRIBER)?, place)
            }
            None => (String::new(), authority),
        };
        let (host, port) = place.rsplit_once(':')?;
        Some(Destination {
            scheme: scheme.to_lowercase(),
            token: (!token.is_empty()).then_some(token),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.parse().ok()?,
            path: path.trim_end_matches('/').to_owned(),
        })
    }

    /// Says whether both go to the same place in the same way, whatever the token.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let place =
            |one: &Self| (one.scheme.clone(), one.host.to_lowercase(), one.port, one.path.clone());
        place(self) == place(other)
    }

    /// Gives the text for `CREATE SUBSCRIPTION`.
    pub(super) fn text(&self) -> String {
        let user = self.token.as_deref();
        let user = user.map_or(String::new(), |token| format!("{SUBSCRIBER}:{token}@"));
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        format!("{}://{user}{host}:{}{}", self.scheme, self.port, self.path)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            Destination { token: self.token.as_ref().map(|_| "***".to_owned()), ..self.clone() };
        f.write_str(&shown.text())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn destinations_are_read_as_they_are_written() {
        for text in [
            "http://localhost:9092",
            "https://~subscriber:abc-_@h.example:1/base/path",
            "udp://[fe80::1]:65535",
        ] {
            assert_eq!(Destination::parse(text).unwrap().text(), text);
        }
        let escaped = Destination::parse("HTTP://%7Esubscriber:t@H:1/").unwrap();
        assert_eq!(escaped.text(), "http://~subscriber:t@H:1");
        assert!(!format!("{escaped:?}").contains(":t@"));
        assert!(escaped.is_like(&Destination::parse("http://h:1").unwrap()));
        assert!(!escaped.is_like(&Destination::parse("http://h:2").unwrap()));
        assert!(!escaped.is_like(&Destination::parse("http://h:1/x").unwrap()));
    }

    #[test]
    fn what_cannot_be_ours_is_nothing() {
        for text in
            ["", "localhost:9092", "http://h", "http://h:x", "http://u:p@h:1", "http://u@h:1"]
        {
            assert_eq!(Destination::parse(text), None, "{text}");
        }
    }
}
