//! Addresses that handlers must not reach, such as those of a cloud's metadata service.
//!
//! The address is checked and not the name: what a name resolves to, and what an URL or a redirect writes as a number.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use levada_model::ErrorKind;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

/// Networks that handlers must not reach; cheap to clone. By default there are none.
///
/// Source: kapacitor: `-blacklist-cidrs`. Differs: it concerns every handler that sends HTTP requests, and `tcp`.
#[derive(Clone, Debug, Default)]
pub struct AddressFilter(Arc<[Network]>);

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

/// A text that is no network.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("invalid network `{0}`; for example `169.254.0.0/16` or `fe80::/10`")]
pub struct NetworkError(String);

/// An address that must not be reached.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("address {0} is on the deny list for outgoing requests")]
pub struct Denied(IpAddr);

/// Resolves names, and leaves out what the filter denies.
pub(super) struct FilteredResolver(pub(super) AddressFilter);

// === impl NetworkError ===

impl NetworkError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

// === impl Denied ===

impl Denied {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Forbidden
    }
}

// === impl Network ===

impl Network {
    /// Says whether an address is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                same_start(base.to_bits().into(), address.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                same_start(base.to_bits(), address.to_bits(), 128, self.prefix)
            }
            _ => false,
        }
    }
}

/// Compares the first bits of two numbers of `width` bits.
fn same_start(a: u128, b: u128, width: u8, prefix: u8) -> bool {
    let rest = u32::from(width - prefix);
    // Shifting everything out is no shift in Rust.
    (a ^ b).checked_shr(rest).unwrap_or(0) == 0
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Reads `10.0.0.0/8`, or one address.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let invalid = || NetworkError(text.to_owned());
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| invalid())?;
        let width = match base {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let prefix = prefix.map_or(Ok(width), |prefix| prefix.parse().map_err(|_| invalid()))?;
        if prefix > width {
            return Err(invalid());
        }
        // Addresses are compared in their short form, so that networks must be, too.
        match (base, base.to_canonical()) {
            (IpAddr::V6(_), canonical @ IpAddr::V4(_)) if prefix >= 96 => {
                Ok(Network { base: canonical, prefix: prefix - 96 })
            }
            _ => Ok(Network { base, prefix }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

// === impl AddressFilter ===

impl AddressFilter {
    /// Makes a filter that denies some networks.
    pub fn deny(networks: impl IntoIterator<Item = Network>) -> Self {
        AddressFilter(networks.into_iter().collect())
    }

    /// Checks an address.
    pub fn check(&self, address: IpAddr) -> Result<(), Denied> {
        match self.0.iter().any(|network| network.contains(address)) {
            true => Err(Denied(address)),
            false => Ok(()),
        }
    }

    /// Checks the host of an URL when it is an address; names are checked when they are resolved.
    pub(super) fn check_url(&self, url: &Url) -> Result<(), Denied> {
        let Some(host) = url.host_str() else { return Ok(()) };
        let address = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => host.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
            None => host.parse::<Ipv4Addr>().map(IpAddr::V4).ok(),
        };
        address.map_or(Ok(()), |address| self.check(address))
    }

    /// Keeps the addresses that are not denied.
    ///
    /// Errors: there were addresses, and all of them are denied.
    pub(super) fn keep(
        &self,
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Denied> {
        let mut denied = None;
        let mut kept = Vec::new();
        for address in addresses {
            match self.check(address.ip()) {
                Ok(()) => kept.push(address),
                Err(error) => denied = Some(error),
            }
        }
        match denied {
            Some(denied) if kept.is_empty() => Err(denied),
            _ => Ok(kept),
        }
    }
}

// === impl FilteredResolver ===

impl Resolve for FilteredResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let filter = self.0.clone();
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let kept = filter.keep(addresses)?;
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn networks_contain_addresses() {
        let cases = [
            ("169.254.0.0/16", "169.254.169.254", true),
            ("169.254.0.0/16", "169.253.255.255", false),
            ("169.254.0.0/16", "::ffff:169.254.169.254", true),
            ("::ffff:169.254.0.0/112", "169.254.1.1", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.2", false),
            ("10.1.2.3/31", "10.1.2.2", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "8.8.8.8", false),
            ("::/0", "2001:db8::1", true),
            ("fe80::/10", "febf::1", true),
            ("fe80::/10", "fec0::1", false),
            ("::1", "::1", true),
        ];
        for (network, address, expected) in cases {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), expected, "{network} {address}");
        }
        assert_eq!("10.0.0.0/8".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "::/129", "10.0.0/8"] {
            let error = wrong.parse::<Network>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{wrong}`")), "{error}");
        }
    }

    #[test]
    fn hosts_are_checked_in_every_spelling_of_an_address() {
        let networks = ["127.0.0.0/8", "::1"].map(|network| network.parse().unwrap());
        let filter = AddressFilter::deny(networks);
        let cases = [
            ("http://127.0.0.1:8080/x", false),
            ("http://2130706433/", false),
            ("http://0x7f.1/", false),
            ("http://[::1]/", false),
            ("http://[::ffff:127.0.0.1]/", false),
            ("http://128.0.0.1/", true),
            ("http://[::2]/", true),
            ("http://example.org/", true),
        ];
        for (url, expected) in cases {
            assert_eq!(filter.check_url(&url.parse().unwrap()).is_ok(), expected, "{url}");
        }
    }

    #[test]
    fn a_name_keeps_the_addresses_that_are_allowed() {
        let filter = AddressFilter::deny(["10.0.0.0/8".parse().unwrap()]);
        let both: [SocketAddr; 2] = ["10.1.1.1:0".parse().unwrap(), "1.1.1.1:0".parse().unwrap()];
        assert_eq!(filter.keep(both.into_iter()).unwrap(), both[1..]);
        assert_eq!(
            filter.keep(both[..1].iter().copied()).unwrap_err().to_string(),
            "address 10.1.1.1 is on the deny list for outgoing requests"
        );
        assert_eq!(filter.keep(std::iter::empty()).unwrap(), Vec::new());
    }
}
