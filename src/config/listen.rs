//! Where the server listens: addresses and Unix sockets.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use super::{Config, ConfigError};

/// What stands before the path of a Unix socket.
const UNIX: &str = "unix:";

/// One place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The file of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// All places to listen: at least one, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listens(Vec<Listen>);

impl Listens {
    /// The places, as they were written.
    pub fn iter(&self) -> std::slice::Iter<'_, Listen> {
        self.0.iter()
    }

    /// The addresses among them.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().filter_map(|listen| match listen {
            Listen::Tcp(address) => Some(*address),
            Listen::Unix(_) => None,
        })
    }

    /// The ports among them.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.addresses().map(|address| address.port())
    }

    /// Parses the values of the key.
    pub(super) fn parse(texts: &[String]) -> Result<Self, ConfigError> {
        let wrong = |problem: String| ConfigError::new("listen", problem);
        let mut places = Vec::new();
        for text in texts {
            let place = place(text).ok_or_else(|| {
                let cure = "write an address and a port, like 127.0.0.1:8080, or unix: and the path of a socket, like \
                            unix:/run/mandate/mandate.sock";
                wrong(format!("{text:?} is no place to listen; {cure}"))
            })?;
            if places.contains(&place) {
                return Err(wrong(format!("{place} is named twice; name it once")));
            }
            if let Some((wide, narrow)) = places.iter().find_map(|other| overlap(other, &place)) {
                return Err(wrong(format!("{narrow} is a part of {wide}; leave one of them out")));
            }
            places.push(place);
        }
        if places.is_empty() {
            return Err(wrong("it names no place to listen; write one, like 127.0.0.1:8080".to_owned()));
        }
        Ok(Self(places))
    }
}

impl Config {
    /// Where the server listens, for people, and where it speaks TLS itself.
    pub fn places(&self) -> Vec<String> {
        let has_tls = |listen: &Listen| self.tls.is_some() && matches!(listen, Listen::Tcp(_));
        self.listen
            .iter()
            .map(|listen| if has_tls(listen) { format!("{listen} (TLS)") } else { listen.to_string() })
            .collect()
    }

    /// Refuses metrics at an address that clients use.
    pub(super) fn check_listen(self) -> Result<Self, ConfigError> {
        let Some(metrics) = self.metrics_listen else { return Ok(self) };
        let is_same = |address: &SocketAddr| covers(*address, metrics) || covers(metrics, *address);
        let taken = self.listen.addresses().find(is_same);
        match taken {
            Some(address) => Err(ConfigError::new(
                "metrics_listen",
                format!("{metrics} is where clients are heard (listen is {address}); choose another port"),
            )),
            None => Ok(self),
        }
    }

    /// Whether a listener for all addresses of IPv6 leaves IPv4 alone, which it could hear as well: another one is named
    /// for that.
    pub fn is_for_ipv6_alone(&self, address: SocketAddr) -> bool {
        let others = self.listen.addresses().chain(self.metrics_listen);
        let is_other = |other: SocketAddr| other.is_ipv4() && other.port() == address.port();
        address.is_ipv6() && address.ip().is_unspecified() && others.into_iter().any(is_other)
    }
}

/// Two places of which one is a part of the other, the larger one first.
fn overlap<'a>(one: &'a Listen, other: &'a Listen) -> Option<(&'a Listen, &'a Listen)> {
    let (Listen::Tcp(first), Listen::Tcp(second)) = (one, other) else { return None };
    match (covers(*first, *second), covers(*second, *first)) {
        (true, _) => Some((one, other)),
        (_, true) => Some((other, one)),
        _ => None,
    }
}

/// Whether who listens at one address hears all that is for the other. The system chooses port 0.
fn covers(wide: SocketAddr, narrow: SocketAddr) -> bool {
    wide.port() == narrow.port()
        && wide.port() != 0
        && wide.is_ipv4() == narrow.is_ipv4()
        && (wide.ip() == narrow.ip() || wide.ip().is_unspecified())
}

impl From<SocketAddr> for Listens {
    fn from(address: SocketAddr) -> Self {
        Self(vec![Listen::Tcp(address)])
    }
}

impl<'a> IntoIterator for &'a Listens {
    type Item = &'a Listen;
    type IntoIter = std::slice::Iter<'a, Listen>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn place(text: &str) -> Option<Listen> {
    match text.strip_prefix(UNIX) {
        Some("") => None,
        Some(path) => Some(Listen::Unix(path.into())),
        None => text.parse().ok().map(Listen::Tcp),
    }
}

/// One place or a list of them; in one text they are separated by commas, as the environment has them.
pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(String),
        Many(Vec<String>),
        // A port alone looks like a number: it is refused with the cure, too.
        Number(i64),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::Many(texts) => texts,
        Written::One(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
        Written::Number(number) => vec![number.to_string()],
    })
}

/// Parses who may connect to Unix sockets: permissions in octal, as `chmod` takes them.
pub(super) fn mode(text: &str) -> Result<u32, ConfigError> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode & !0o666 == 0 && mode & 0o600 == 0o600 => Ok(mode),
        _ => Err(ConfigError::new(
            "listen_mode",
            format!("{text:?} are no permissions of a socket; write \"0600\", \"0660\" or \"0666\""),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Result<Vec<String>, String> {
        let config = Config::written(text).map_err(|error| error.to_string())?;
        Ok(config.listen.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn one_place_is_a_text_and_several_are_a_list_or_have_commas_between_them() {
        for (text, places) in [
            ("", vec!["127.0.0.1:8080"]),
            ("listen = \"[::]:80\"", vec!["[::]:80"]),
            ("listen = \"unix:/run/m.sock\"", vec!["unix:/run/m.sock"]),
            ("listen = [\"0.0.0.0:1\", \"unix:m.sock\"]", vec!["0.0.0.0:1", "unix:m.sock"]),
            ("listen = \"0.0.0.0:1, unix:m.sock\"", vec!["0.0.0.0:1", "unix:m.sock"]),
        ] {
            assert_eq!(listed(text).unwrap(), places, "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_the_cure() {
        for (text, said) in [
            ("listen = 8080", "127.0.0.1:8080"),
            ("listen = \"localhost:8080\"", "127.0.0.1:8080"),
            ("listen = \"unix:\"", "unix:/run"),
            ("listen = \"127.0.0.1:1,\"", "\"\" is no place"),
            ("listen = []", "write one"),
            ("listen = [\"127.0.0.1:1\", \"127.0.0.1:1\"]", "twice"),
            ("listen = \"0.0.0.0:1,127.0.0.1:1\"", "127.0.0.1:1 is a part of 0.0.0.0:1"),
            ("listen = \"[::1]:1,[::]:1\"", "[::1]:1 is a part of [::]:1"),
        ] {
            let refused = listed(text).unwrap_err();
            assert!(refused.starts_with("listen: ") && refused.contains(said), "{text}: {refused}");
        }
    }

    #[test]
    fn metrics_have_an_address_of_their_own() {
        for listen in ["127.0.0.1:9090", "0.0.0.0:9090", "127.0.0.1:8080,0.0.0.0:9090"] {
            let text = format!("listen = \"{listen}\"\nmetrics_listen = \"127.0.0.1:9090\"");
            let refused = listed(&text).unwrap_err();
            assert!(refused.starts_with("metrics_listen: 127.0.0.1:9090 is where clients"), "{refused}");
        }
        for listen in ["127.0.0.1:8080", "127.0.0.2:9090", "[::]:9090", "unix:m.sock"] {
            let text = format!("listen = \"{listen}\"\nmetrics_listen = \"127.0.0.1:9090\"");
            assert_eq!(listed(&text).unwrap(), [listen]);
        }
    }

    #[test]
    fn all_of_ipv6_is_not_ipv4_where_that_is_named_too() {
        for (text, expected) in [
            ("listen = \"[::]:1\"", false),
            ("listen = \"[::]:1,0.0.0.0:1\"", true),
            ("listen = \"127.0.0.1:1,[::]:1\"", true),
            ("listen = \"[::]:1,0.0.0.0:2\"", false),
            ("listen = \"[::]:1\"\nmetrics_listen = \"127.0.0.1:1\"", true),
        ] {
            let config = Config::written(text).unwrap();
            assert_eq!(config.is_for_ipv6_alone("[::]:1".parse().unwrap()), expected, "{text}");
            assert!(!config.is_for_ipv6_alone("0.0.0.0:1".parse().unwrap()), "{text}");
            assert!(!config.is_for_ipv6_alone("[::1]:1".parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn the_owner_of_a_socket_can_always_use_it_and_nobody_executes_it() {
        for (text, parsed) in [("0660", Some(0o660)), ("660", Some(0o660)), ("0666", Some(0o666))] {
            assert_eq!(mode(text).ok(), parsed, "{text}");
        }
        for text in ["", "rw", "060", "432", "777", "1660", "8"] {
            assert!(mode(text).unwrap_err().to_string().starts_with("listen_mode: "), "{text}");
        }
    }
}
