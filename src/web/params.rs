//! Parameters of a query or a form, without guessing: a value sent twice is an error when it is asked for.

use percent_encoding::percent_decode;

use crate::oauth::error::{Error, invalid_request};

/// How many parameters are looked at.
const MAX_PARAMETERS: usize = 64;

/// The parameters of one request. Unknown ones are ignored (OAuth 2.1 §3.1), and so is what has no value.
#[derive(Clone)]
pub struct Params(Vec<(String, Vec<u8>)>);

impl Params {
    /// Parses `application/x-www-form-urlencoded` text.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let pairs = text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        let mut params = Vec::new();
        for pair in pairs {
            if params.len() == MAX_PARAMETERS {
                return Err(invalid_request("too many parameters"));
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default());
            let value = decode(halves.next().unwrap_or_default());
            let Ok(name) = String::from_utf8(name) else { continue };
            params.push((name, value));
        }
        Ok(Self(params))
    }

    /// The value of a parameter that may be sent once (OAuth 2.1 §3.1). An empty one counts as omitted.
    pub fn get(&self, name: &'static str) -> Result<Option<&str>, Error> {
        match self.bytes(name)? {
            None => Ok(None),
            Some(value) => text(value).map(Some).map_err(|error| error.detail(name)),
        }
    }

    /// As [`Self::get`], without asking for text: for `state`, which goes back byte for byte.
    pub fn bytes(&self, name: &'static str) -> Result<Option<&[u8]>, Error> {
        let mut values = self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_slice());
        let first = values.next();
        if values.next().is_some() {
            return Err(invalid_request("a parameter is repeated").detail(name));
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    /// The first value of a parameter, even an empty one; `None` when it was not sent.
    pub fn first_or_empty(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(given, _)| given == name)?;
        text(value).ok()
    }

    /// Every value of a parameter that may be repeated (`resource`, RFC 8707 §2; `scope` of our own form).
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(given, value)| given == name && !value.is_empty())
            .map(|(_, value)| text(value).unwrap_or("\u{fffd}"))
    }
}

/// A value as text. Without the null character, which no database of ours is asked to hold: PostgreSQL cannot.
fn text(value: &[u8]) -> Result<&str, Error> {
    if value.contains(&0) {
        return Err(invalid_request("a parameter contains a null character"));
    }
    std::str::from_utf8(value).map_err(|_| invalid_request("a parameter is not UTF-8"))
}

fn decode(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_parameter_twice() {
        let params = Params::parse(b"a=1&b=2&a=3&c=&d").unwrap();
        assert!(params.get("a").is_err());
        assert_eq!(params.get("b").unwrap(), Some("2"));
        assert_eq!(params.get("c").unwrap(), None, "an empty value counts as omitted");
        assert_eq!(params.get("d").unwrap(), None);
        assert_eq!(params.get("e").unwrap(), None);
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["1", "3"]);
    }

    #[test]
    fn values_are_decoded_once_and_kept_to_the_byte() {
        let params = Params::parse(b"s=a%2Bb+c%2525&bin=%ff%00").unwrap();
        assert_eq!(params.get("s").unwrap(), Some("a+b c%25"));
        assert_eq!(params.bytes("bin").unwrap(), Some(&[0xff, 0][..]));
        assert!(params.get("bin").is_err());
    }

    #[test]
    fn a_null_character_is_no_text() {
        let params = Params::parse(b"a=x%00").unwrap();
        assert!(params.get("a").is_err());
        assert_eq!(params.first_or_empty("a"), None);
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["\u{fffd}"]);
    }

    #[test]
    fn a_flood_of_parameters_is_refused() {
        let text = "a=1&".repeat(MAX_PARAMETERS + 1);
        assert!(Params::parse(text.as_bytes()).is_err());
    }
}
