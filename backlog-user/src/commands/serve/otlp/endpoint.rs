//! Parses the URL of `--otlp`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use hyper::Uri;

/// The default port of OTLP over HTTP.
const PORT: u16 = 4318;
/// The default path for metrics.
const PATH: &str = "/v1/metrics";

/// A receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(super) address: SocketAddr,
    /// As typed, with the port if one was given.
    pub(super) host: String,
    pub(super) path: String,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{text}: {error}"))?;
        if uri.scheme_str() != Some("http") {
            return Err(format!(
                "{text}: only http:// is possible: push to a collector on this \
                                host or behind a tunnel"
            ));
        }
        let (host, authority) =
            uri.host().zip(uri.authority()).ok_or(format!("{text}: no host"))?;
        if authority.as_str().contains('@') {
            return Err(format!("{text}: a user and a password are not sent: remove them"));
        }
        let address = match host.trim_start_matches('[').trim_end_matches(']') {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            // The static binary has no resolver.
            literal => literal.parse().map_err(|_| {
                format!("{text}: names of hosts are not resolved: give an IP address or localhost")
            })?,
        };
        let path = match uri.path_and_query().map_or("/", |path| path.as_str()) {
            "/" => PATH,
            path => path,
        };
        Ok(Self {
            address: (address, uri.port_u16().unwrap_or(PORT)).into(),
            host: authority.to_string(),
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "http://{}{}", self.address, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn the_port_and_the_path_have_defaults() {
        for (text, full) in [
            ("http://127.0.0.1", "http://127.0.0.1:4318/v1/metrics"),
            ("http://localhost:80/", "http://127.0.0.1:80/v1/metrics"),
            (
                "http://[::1]:8428/opentelemetry/v1/metrics?a=b",
                "http://[::1]:8428/opentelemetry/v1/metrics?a=b",
            ),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        for (text, why) in [
            ("https://127.0.0.1", "only http://"),
            ("127.0.0.1:4318", "only http://"),
            ("http://collector:4318", "give an IP address"),
            ("http://a:b@127.0.0.1", "remove them"),
            ("http://", ""),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
