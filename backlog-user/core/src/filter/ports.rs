//! `--port`: a list of ports and ranges.

use std::collections::BTreeSet;
use std::str::FromStr;

use thiserror::Error;

/// A non-empty set of local ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSet(BTreeSet<u16>);

/// Why a list of ports is invalid. The text says what is valid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PortError {
    /// It is not a number from 1 to 65535.
    #[error("`{0}` is not a port: give numbers from 1 to 65535, as in 8000 or 80,443 or 8000-8100")]
    NotAPort(String),
    /// The first port of a range is above its last one.
    #[error("the range `{0}` runs backwards: give the smaller port first, as in 8000-8100")]
    Backwards(String),
    /// It contains no port.
    #[error("no port: give at least one, as in 8000 or 80,443 or 8000-8100")]
    Empty,
}

impl PortSet {
    /// The port, if it is the only one.
    #[must_use]
    pub fn only(&self) -> Option<u16> {
        self.0.first().copied().filter(|_| self.0.len() == 1)
    }
}

impl FromStr for PortSet {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let mut ports = BTreeSet::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('-') {
                None => {
                    ports.insert(port(part)?);
                }
                Some((first, last)) => {
                    let (first, last) = (port(first.trim())?, port(last.trim())?);
                    if first > last {
                        return Err(PortError::Backwards(part.to_owned()));
                    }
                    ports.extend(first..=last);
                }
            }
        }
        if ports.is_empty() { Err(PortError::Empty) } else { Ok(Self(ports)) }
    }
}

fn port(text: &str) -> Result<u16, PortError> {
    match text.parse() {
        Ok(0) | Err(_) => Err(PortError::NotAPort(text.to_owned())),
        Ok(port) => Ok(port),
    }
}

impl PortSet {
    /// Whether this port is in the set.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.contains(&port)
    }

    /// The ports in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{PortError, PortSet};

    fn ports(text: &str) -> Result<Vec<u16>, PortError> {
        Ok(text.parse::<PortSet>()?.iter().collect())
    }

    #[test]
    fn lists_and_ranges() {
        assert_eq!(ports("8000"), Ok(vec![8000]));
        assert_eq!(ports("443, 80"), Ok(vec![80, 443]));
        assert_eq!(ports("8000-8002,80"), Ok(vec![80, 8000, 8001, 8002]));
        assert_eq!(ports("65535"), Ok(vec![65535]));
    }

    #[test]
    fn errors_name_the_part_and_the_cure() {
        for text in ["0", "65536", "http", "-1", "1-", "80,x"] {
            let error = ports(text).unwrap_err();
            assert!(matches!(error, PortError::NotAPort(_)), "{text}: {error}");
            assert!(error.to_string().contains("8000-8100"));
        }
        assert_eq!(ports("9-8"), Err(PortError::Backwards("9-8".into())));
        assert_eq!(ports(","), Err(PortError::Empty));
    }
}
