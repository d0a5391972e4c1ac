//! Access rules of requests.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, uri::Authority};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::config::Tokens;
use super::guesses::GuessLimiter;
use crate::telemetry::LogThrottle;

/// Content security policy: own files only, nothing inline.
const CONTENT: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src \
                       blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The same behind a proxy that shows the page in a frame of its own, as Home Assistant does.
const CONTENT_IN_A_FRAME: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src \
                                  blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// Addresses that each proxy on the way has added, the nearest one last.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The rules.
pub(super) struct AccessGuard {
    tokens: Tokens,
    hosts: Vec<String>,
    /// Trusted proxies: they authenticate their users; host names and origins are those of the proxy.
    proxies: Vec<IpAddr>,
    guesses: Arc<GuessLimiter>,
    /// Throttle of log lines about wrong tokens.
    log: LogThrottle,
}

/// Address of the client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// The permissions of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Read.
    Viewer,
    /// Review events, operate streams and listen to clips as well.
    Operator,
}

/// The answer to a client that is no operator.
pub(super) fn refuse_viewer(role: Role, operators: bool) -> Option<Response> {
    let why = match operators {
        _ if role == Role::Operator => return None,
        true => "only operators may do that: show the token of http.operator_token_file\n",
        false => "nobody may do that over HTTP here: set operator_token_file in [http]\n",
    };
    Some((StatusCode::FORBIDDEN, why).into_response())
}

/// The address of a client, for the log.
pub(super) fn name_of(peer: Option<Extension<Peer>>) -> String {
    peer.map_or_else(|| "somebody".to_owned(), |Extension(peer)| peer.0.to_string())
}

impl AccessGuard {
    pub(super) fn new(tokens: Tokens, hosts: &[String], proxies: &[IpAddr]) -> Arc<Self> {
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        let (guesses, log) = (GuessLimiter::new(), LogThrottle::new());
        Arc::new(Self { tokens, hosts, proxies: proxies.to_vec(), guesses, log })
    }

    /// Routes behind the token, where there is one.
    pub(super) fn with_token(self: &Arc<Self>, routes: Router) -> Router {
        routes.layer(middleware::from_fn_with_state(Arc::clone(self), token))
    }

    /// Routes behind everything else; answers say what a browser may do with them.
    pub(super) fn with_rules(self: &Arc<Self>, routes: Router) -> Router {
        routes.layer(middleware::from_fn_with_state(Arc::clone(self), rules))
    }

    /// Whether an operator token is set.
    pub(super) fn has_operators(&self) -> bool {
        self.tokens.operator.is_some()
    }

    /// The token that a request shows, where there are tokens at all. Other schemes are for proxies.
    fn shown(&self, headers: &HeaderMap) -> Option<String> {
        if self.tokens.viewer.is_none() && self.tokens.operator.is_none() {
            return None;
        }
        let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = shown.split_once(' ')?;
        // Prometheus and curl write `Bearer`, other clients in lower case
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    }

    /// The role of those who have this token.
    fn role(&self, shown: &str) -> Option<Role> {
        let is = |token: &Option<String>| {
            token.as_ref().is_some_and(|token| bool::from(shown.as_bytes().ct_eq(token.as_bytes())))
        };
        if is(&self.tokens.operator) {
            Some(Role::Operator)
        } else {
            is(&self.tokens.viewer).then_some(Role::Viewer)
        }
    }

    /// The role of those who show no token. Without a configured one everybody may read.
    fn role_without(&self, trusted: bool) -> Option<Role> {
        (trusted || self.tokens.viewer.is_none()).then_some(Role::Viewer)
    }

    /// The address of whoever asks: behind a trusted proxy the one that it names.
    fn client(&self, request: &Request) -> IpAddr {
        let peer =
            request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
        if !self.proxies.contains(&peer) {
            return peer;
        }
        let named = request.headers().get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let named: Vec<&str> = named.flat_map(|value| value.split(',')).collect();
        let addresses = named.iter().rev().map_while(|text| text.trim().parse::<IpAddr>().ok());
        addresses.into_iter().find(|address| !self.proxies.contains(address)).unwrap_or(peer)
    }

    /// Whether it comes from a trusted proxy.
    fn trusts(&self, request: &Request) -> bool {
        request.extensions().get::<Peer>().is_some_and(|peer| self.proxies.contains(&peer.0))
    }

    /// The reason to refuse the request, independent of its path.
    fn refuses(&self, headers: &HeaderMap) -> Option<&'static str> {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if [header::HOST, header::ORIGIN].iter().any(|name| headers.get_all(name).iter().count() > 1) {
            return Some("the request names a host or an origin twice\n");
        }
        // a user before the host is for URLs alone (RFC 9110, 4.2.4)
        let host = text(header::HOST).filter(|host| !host.contains('@'));
        let host = host.and_then(|host| host.parse::<Authority>().ok());
        let Some(host) = host else { return Some("the request names no host\n") };
        // DNS rebinding: a website can point a name of its own at this machine, and would read without a token
        if self.tokens.viewer.is_none() && !self.is_ours(host.host()) {
            return Some(
                "this name of the host is not known; add it to `hosts` in [http], or set a token_file\n",
            );
        }
        let foreign = text(header::ORIGIN).is_some_and(|origin| {
            let of = origin.split_once("://").map_or(origin, |(_, rest)| rest);
            !of.eq_ignore_ascii_case(host.as_str())
        });
        if foreign || text(header::HeaderName::from_static("sec-fetch-site")) == Some("cross-site") {
            return Some("other websites may not ask\n");
        }
        None
    }

    fn is_ours(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let loopback = bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        loopback || bare == "localhost" || self.hosts.contains(&bare)
    }
}

async fn token(State(guard): State<Arc<AccessGuard>>, mut request: Request, next: Next) -> Response {
    let mut why = "show the token of http.token_file: Authorization: Bearer TOKEN\n";
    let role = match guard.shown(request.headers()) {
        None => guard.role_without(guard.trusts(&request)),
        Some(shown) => {
            let client = guard.client(&request);
            let attempt = match guard.guesses.admit(client).await {
                Ok(attempt) => attempt,
                Err(seconds) => return too_many(seconds),
            };
            let role = guard.role(&shown);
            if role.is_some() {
                attempt.succeed();
            } else {
                if let Some(held) = guard.log.allow() {
                    tracing::warn!("{client} shows a wrong token at {}{held}", request.uri().path());
                }
                why = "this is no token of this daemon: show that of http.token_file or of http.operator_token_file\n";
                attempt.fail().await;
            }
            role
        }
    };
    if let Some(role) = role {
        request.extensions_mut().insert(role);
        return next.run(request).await;
    }
    let ask = [(header::WWW_AUTHENTICATE, "Bearer realm=\"cpc-stream\"")];
    (StatusCode::UNAUTHORIZED, ask, why).into_response()
}

/// The answer to a token that is not compared.
fn too_many(seconds: u64) -> Response {
    let why = format!("too many wrong tokens came; show yours again in {seconds} s\n");
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())], why).into_response()
}

async fn rules(State(guard): State<Arc<AccessGuard>>, request: Request, next: Next) -> Response {
    let trusted = guard.trusts(&request);
    let mut response = match guard.refuses(request.headers()).filter(|_| !trusted) {
        Some(why) => (StatusCode::FORBIDDEN, why).into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, if trusted { CONTENT_IN_A_FRAME } else { CONTENT }),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_token_is_shown_whole_or_not_at_all() {
        let token = |text: &str| Some(text.to_owned());
        let viewer = Tokens { viewer: token("0123456789abcdef"), operator: None };
        let guard = AccessGuard::new(viewer.clone(), &[], &[]);
        let role = |guard: &AccessGuard, value: &'static str| {
            guard.shown(&headers(&[("authorization", value)])).and_then(|shown| guard.role(&shown))
        };
        let knows = |value: &'static str| role(&guard, value).is_some();
        assert!(knows("Bearer 0123456789abcdef") && knows("bearer 0123456789abcdef"));
        for wrong in
            ["Bearer 0123456789abcdeg", "Bearer 0123456789abcde", "Bearer ", "Basic 0123456789abcdef", "x"]
        {
            assert!(!knows(wrong), "{wrong}");
        }
        let open = AccessGuard::new(Tokens::default(), &[], &[]);
        let without = [guard.role_without(false), guard.role_without(true), open.role_without(false)];
        assert_eq!(without, [None, Some(Role::Viewer), Some(Role::Viewer)]);
        assert_eq!(
            open.shown(&headers(&[("authorization", "Bearer left-over")])),
            None,
            "nothing is guessed"
        );
        let both = AccessGuard::new(Tokens { operator: token("fedcba9876543210"), ..viewer }, &[], &[]);
        assert_eq!(role(&both, "Bearer fedcba9876543210"), Some(Role::Operator));
        assert_eq!(role(&both, "Bearer 0123456789abcdef"), Some(Role::Viewer));
        assert_eq!(role(&both, "Bearer fedcba9876543211"), None);
    }

    #[test]
    fn behind_a_trusted_proxy_the_client_is_the_one_that_it_names() {
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        let guard = AccessGuard::new(Tokens::default(), &[], &[of("10.0.0.1"), of("10.0.0.2")]);
        let client = |peer: &str, forwarded: &'static str| {
            let mut request = Request::new(axum::body::Body::empty());
            request.extensions_mut().insert(Peer(of(peer)));
            *request.headers_mut() = headers(&[(FORWARDED_FOR, forwarded)]);
            guard.client(&request).to_string()
        };
        assert_eq!(client("10.0.0.1", "1.2.3.4, 192.168.1.7"), "192.168.1.7");
        assert_eq!(client("10.0.0.1", "192.168.1.7, 10.0.0.2"), "192.168.1.7");
        assert_eq!(client("10.0.0.1", "192.168.1.7, unknown"), "10.0.0.1");
        assert_eq!(client("192.168.1.9", "1.2.3.4"), "192.168.1.9", "nobody else may name one");
    }

    #[test]
    fn foreign_names_and_foreign_pages_are_refused() {
        let open = AccessGuard::new(Tokens::default(), &["Ear.example".into()], &[]);
        let closed =
            AccessGuard::new(Tokens { viewer: Some("0123456789abcdef".into()), operator: None }, &[], &[]);
        for host in ["localhost:8099", "127.0.0.1:8099", "[::1]:8099", "LOCALHOST", "ear.example"] {
            assert_eq!(open.refuses(&headers(&[("host", host)])), None, "{host}");
        }
        for host in ["evil.example:8099", "localhost.evil.example", "192.168.1.2"] {
            assert!(open.refuses(&headers(&[("host", host)])).is_some(), "{host}");
            assert_eq!(closed.refuses(&headers(&[("host", host)])), None, "{host}");
        }
        assert!(open.refuses(&HeaderMap::new()).is_some());
        for guard in [&open, &closed] {
            let from = |origin| guard.refuses(&headers(&[("host", "localhost:1"), ("origin", origin)]));
            assert_eq!(from("http://localhost:1"), None);
            assert!(from("http://localhost:2").is_some() && from("null").is_some());
            let site = |site| guard.refuses(&headers(&[("host", "localhost:1"), ("sec-fetch-site", site)]));
            assert!(site("cross-site").is_some() && site("same-origin").is_none() && site("none").is_none());
        }
    }
}
