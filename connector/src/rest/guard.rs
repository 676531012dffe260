//! What stands between the network and the handlers.
//!
//! The API has no log-in, so it must be reachable by the machine's own users only, and a web page that such a user looks
//! at must not be able to use it: the `Host` is checked (DNS rebinding), a foreign `Origin` is refused, bodies must be
//! JSON by their type (which a foreign page can only send after a pre-flight that is never answered), there is no CORS.
//! Bodies and times are bounded. Called for every request, before routing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// Largest body.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024;
/// Longest wait for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for one request; Kafka Connect's own limit. The change goes on, only the answer is given up.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);

/// Which names the server answers to.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    listen: IpAddr,
    allowed: Vec<String>,
}

impl Hosts {
    /// The address that is listened on, loopback names, and what the operator allowed (`*` = everything).
    pub(super) fn new(listen: SocketAddr, allowed: &[String]) -> Self {
        Self { listen: listen.ip(), allowed: allowed.iter().map(|host| host.to_ascii_lowercase()).collect() }
    }

    /// True when a request for this `host[:port]` is meant for us.
    fn admits(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let is_own = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == self.listen);
        is_own || host == "localhost" || self.allowed.iter().any(|allowed| allowed == "*" || *allowed == host)
    }

    fn check(&self, request: &Request) -> Result<(), ApiError> {
        let host = match one(request.headers(), &HOST)? {
            Some(host) => Some(host),
            None => request.uri().authority().map(Authority::as_str),
        };
        if !host.is_some_and(|host| self.admits(host)) {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "this Host is not served here; an operator can allow it with --allowed-host",
            ));
        }
        let foreign = |origin: &str| {
            let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            !authority.is_some_and(|authority| self.admits(authority))
        };
        if one(request.headers(), &ORIGIN)?.is_some_and(foreign) {
            return Err(ApiError::new(StatusCode::FORBIDDEN, "requests from pages of other origins are refused"));
        }
        Ok(())
    }
}

/// The value of a header that may stand once.
fn one<'a>(headers: &'a HeaderMap, name: &axum::http::HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ApiError::bad_request(format!("the header {name} stands twice")));
    }
    first
        .map(|value| value.to_str().map_err(|_| ApiError::bad_request(format!("the header {name} is no text"))))
        .transpose()
}

/// Middleware around everything.
pub(super) async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let mut response = match hosts.check(&request) {
        Err(refused) => refused.into_response(),
        Ok(()) => tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, "Request timed out; what was asked for goes on").into_response()
        }),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The body of a request that says it is JSON and is small and quick enough.
pub(super) struct JsonBytes(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let kind = one(request.headers(), &CONTENT_TYPE)?.unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send JSON, with the header Content-Type: application/json",
            ));
        }
        let too_large =
            || ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {BODY_BYTES_MAX} bytes"));
        let told = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if told.is_some_and(|told| told > BODY_BYTES_MAX) {
            return Err(too_large());
        }
        // A body that breaks off reads like one that is too long: either way nobody waits for the difference.
        match tokio::time::timeout(BODY_TIMEOUT, to_bytes(request.into_body(), BODY_BYTES_MAX)).await {
            Ok(Ok(bytes)) => Ok(Self(bytes)),
            Ok(Err(_)) => Err(too_large()),
            Err(_) => Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Hosts;

    #[test]
    fn only_own_names_are_admitted() {
        let hosts = Hosts::new("127.0.0.1:8083".parse().unwrap(), &["Connect.internal".into()]);
        for good in ["127.0.0.1:8083", "localhost", "LOCALHOST:1", "[::1]:8083", "connect.internal:80", "127.0.0.2"] {
            assert!(hosts.admits(good), "{good}");
        }
        for bad in ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.1", "", "a@localhost", "*"] {
            assert!(!hosts.admits(bad), "{bad}");
        }
        assert!(Hosts::new("10.0.0.5:1".parse().unwrap(), &[]).admits("10.0.0.5:1"));
        assert!(Hosts::new("0.0.0.0:1".parse().unwrap(), &["*".into()]).admits("anything.example"));
    }
}
