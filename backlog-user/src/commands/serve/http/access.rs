//! Decides who may see the page. A token alone is not enough, since other sites can make a browser
//! send it: the request must name this service by an address (otherwise another site's name may
//! have been pointed at it), and must not come from another site's page.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Request, StatusCode};

use super::query::value;
use super::response::{Answer, text};
use super::token::Token;

/// How the page is protected at an address.
#[derive(Clone)]
pub(in crate::commands::serve) enum Guard {
    /// The page is not served here.
    Off,
    /// Everyone who can connect may see it: only the owner can connect to this socket.
    Socket,
    /// Clients with the token may see it.
    Token {
        token: Arc<Token>,
        /// With TLS, the certificate says which names belong to this service.
        tls: bool,
    },
}

/// A client that may see the page.
#[derive(Debug)]
pub(super) enum Pass {
    /// It has sent the cookie, or needs none.
    Known,
    /// It has sent the token, and gets this cookie.
    New(HeaderValue),
}

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl Guard {
    /// Lets a client in, or returns the answer that refuses it.
    #[expect(clippy::result_large_err, reason = "the error is the answer, made once for a request")]
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<Pass, Answer> {
        let (token, tls) = match self {
            Self::Off => return Err(text(StatusCode::NOT_FOUND, "not found\n")),
            Self::Socket => (None, false),
            Self::Token { token, tls } => (Some(token), *tls),
        };
        let host = host(request, tls)?;
        from_our_page(request)?;
        let Some(token) = token else { return Ok(Pass::Known) };
        let name =
            format!("backlog_token_{}", host.port_u16().unwrap_or(if tls { 443 } else { 80 }));
        if shows(request, token, &name) {
            return Ok(Pass::Known);
        }
        let given = request.uri().query().and_then(|query| value(query, "token"));
        match given {
            Some(given) if request.uri().path() == "/" && token.is(given) => {
                Ok(Pass::New(cookie(&name, token, tls)))
            }
            _ => Err(text(
                StatusCode::UNAUTHORIZED,
                "this page needs the token of the service, as /?token=TOKEN or as the header \
                 Authorization: Bearer TOKEN. The log of the service names the file that has it.\n",
            )),
        }
    }
}

/// The host that the client addresses: an IP address, or this machine. Any other name may be in
/// somebody else's domain and point here.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once for a request")]
fn host<B>(request: &Request<B>, tls: bool) -> Result<Authority, Answer> {
    // A request in the form for proxies names the host in its first line, which takes precedence.
    let in_line = request.uri().authority().cloned();
    let in_header = request.headers().get(HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    let named = in_line.or(in_header);
    let known = |host: &Authority| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        tls || name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    };
    let has_one = request.headers().get_all(HOST).iter().count() == 1;
    named.filter(|host| has_one && known(host)).ok_or_else(|| {
        text(
            StatusCode::MISDIRECTED_REQUEST,
            "this page is served under an IP address or localhost, not under another name\n",
        )
    })
}

/// Rejects requests that a browser sends for another site. Only the page itself may be opened from
/// elsewhere, by a link.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once for a request")]
fn from_our_page<B>(request: &Request<B>) -> Result<(), Answer> {
    let site = request.headers().get(SITE).map(HeaderValue::as_bytes);
    if request.uri().path() == "/" || matches!(site, None | Some(b"same-origin" | b"none")) {
        return Ok(());
    }
    Err(text(StatusCode::FORBIDDEN, "requests from pages of other sites are refused\n"))
}

/// Does a header contain the token?
fn shows<B>(request: &Request<B>, token: &Token, name: &str) -> bool {
    let headers = request.headers();
    let bearer = headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, given) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(given.trim())
    });
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| {
        let (key, given) = pair.trim().split_once('=')?;
        (key == name).then_some(given)
    });
    bearer.chain(cookies).any(|given| token.is(given))
}

/// The cookie's name includes the port that the client sees: services behind forwarded ports are
/// all `localhost` to a browser, which distinguishes cookies by name but not by port.
fn cookie(name: &str, token: &Token, tls: bool) -> HeaderValue {
    let secure = if tls { "; Secure" } else { "" };
    let cookie = format!("{name}={}; Path=/; HttpOnly; SameSite=Strict{secure}", token.digits());
    // Letters and digits are always a valid header.
    HeaderValue::from_str(&cookie).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::{Guard, Pass, Token};
    use hyper::Request;
    use std::sync::Arc;

    const DIGITS: &str = "0123456789abcdef0123456789abcdef";

    fn ask(tls: bool, path: &str, headers: &[(&str, &str)]) -> Result<Option<String>, u16> {
        let guard = Guard::Token { token: Arc::new(Token::made_up(DIGITS)), tls };
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match guard.admit(&request.body(()).unwrap()) {
            Ok(Pass::Known) => Ok(None),
            Ok(Pass::New(cookie)) => Ok(Some(cookie.to_str().unwrap().to_owned())),
            Err(answer) => Err(answer.status().as_u16()),
        }
    }

    #[test]
    fn the_token_comes_once_in_the_url_and_then_as_a_cookie_or_in_a_header() {
        let host = ("host", "127.0.0.1:9469");
        assert_eq!(ask(false, "/", &[host]), Err(401));
        let with = format!("/?token={DIGITS}");
        let cookie = ask(false, &with, &[host]).unwrap().unwrap();
        let kept = format!("backlog_token_9469={DIGITS}");
        assert_eq!(cookie, format!("{kept}; Path=/; HttpOnly; SameSite=Strict"));
        assert_eq!(ask(false, "/events", &[host, ("cookie", &kept)]), Ok(None));
        let many = format!("a=b; {kept}; c");
        assert_eq!(ask(false, "/events", &[host, ("cookie", &many)]), Ok(None));
        let bearer = format!("bearer {DIGITS}");
        assert_eq!(ask(false, "/events", &[host, ("authorization", &bearer)]), Ok(None));
        // The cookie of another port, another token, and the token in a URL, which is logged more
        // often.
        let other = ("host", "127.0.0.1:9470");
        assert_eq!(ask(false, "/events", &[other, ("cookie", &kept)]), Err(401));
        assert_eq!(ask(false, "/?token=0123", &[host]), Err(401));
        assert_eq!(ask(false, &format!("/events?token={DIGITS}"), &[host]), Err(401));
        let secure = ask(true, &with, &[("host", "a.example")]).unwrap().unwrap();
        assert!(secure.starts_with("backlog_token_443=") && secure.ends_with("; Secure"));
    }

    #[test]
    fn a_name_that_was_pointed_here_and_other_sites_are_refused() {
        let with = format!("/?token={DIGITS}");
        for (host, outcome) in [
            ("localhost:9469", true),
            ("LOCALHOST", true),
            ("[::1]:9469", true),
            ("192.0.2.7", true),
            ("rebound.example:9469", false),
            ("localhost.rebound.example", false),
            ("127.0.0.1.rebound.example", false),
            ("", false),
        ] {
            assert_eq!(ask(false, &with, &[("host", host)]).is_ok(), outcome, "{host}");
        }
        assert_eq!(ask(false, &with, &[]), Err(421));
        assert_eq!(ask(false, &with, &[("host", "127.0.0.1"), ("host", "x.example")]), Err(421));
        let bearer = format!("Bearer {DIGITS}");
        for (site, outcome) in [("same-origin", Ok(None)), ("same-site", Err(403))] {
            let headers = [
                ("host", "127.0.0.1"),
                ("authorization", bearer.as_str()),
                ("sec-fetch-site", site),
            ];
            assert_eq!(ask(false, "/events", &headers), outcome, "{site}");
        }
    }
}
