//! A reverse proxy for HTTP/1.1 that does to chosen requests what a bad network or a bad server would.
//!
//! Bodies are read whole and forwarded unchanged, and so are all headers, `Host` among them: S3 signs it. The request
//! goes its way in a task of its own, so that a client that gives up does not take back what it has sent. Nothing is
//! ever sent again unless a rule says so.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::rule::{Answer, Fault, Garbage, Heard, Matcher, Rule, When};

/// Headers that belong to one connection and not to the message.
const HOP_BY_HOP: [HeaderName; 4] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, HeaderName::from_static("keep-alive")];

/// A proxy in front of one server. It ends when dropped, with all its connections.
#[derive(Debug)]
pub struct HttpProxy {
    address: SocketAddr,
    path: String,
    shared: Arc<Shared>,
    serving: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    /// `http://host:port` of the server.
    server: String,
    rules: Mutex<Vec<Rule>>,
}

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer was dropped")]
struct Dropped;

impl HttpProxy {
    /// A proxy on a port of its own before the server at `uri`; a path in it stays the client's.
    ///
    /// # Errors
    /// `uri` has no host, or there is no port.
    pub async fn start(uri: &str) -> Result<Self> {
        let rest = uri.strip_prefix("http://").with_context(|| format!("{uri} does not begin with http://"))?;
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        // Some answers take as long as the test wants; a proxy that gives up early would be a fault of its own.
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build()?;
        let shared = Arc::new(Shared { http, server: format!("http://{host}"), rules: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self { address, path: path.to_owned(), shared, serving })
    }

    /// What a client is to be given in place of the server's address.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    /// Puts a rule in force. The first rule that hits a request decides; those before it have counted it.
    pub fn inject(&self, matcher: Matcher, when: When, fault: Fault) -> Rule {
        let rule = Rule::new(matcher, when, fault);
        self.rules().push(rule.clone());
        rule
    }

    /// Takes a rule out of force; its counters stay readable.
    pub fn lift(&self, rule: &Rule) {
        self.rules().retain(|other| !other.is(rule));
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, Vec<Rule>> {
        self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this future, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, Arc::clone(&shared)));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| handle(Arc::clone(&shared), request));
    // An error of the service is a dropped answer: hyper closes the connection then.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn handle(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(Body::new(body), usize::MAX).await.map_err(|_| Dropped)?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let heard = Heard { method: parts.method, path, headers: parts.headers, body };
    let answer = tokio::spawn(async move { shared.answer(heard).await }).await.map_err(|_| Dropped)??;
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}

impl Shared {
    async fn answer(&self, heard: Heard) -> Result<Answer, Dropped> {
        let rule = {
            let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
            rules.iter().find(|rule| rule.hit_by(&heard)).cloned()
        };
        match rule {
            Some(rule) => self.fault(&rule, heard).await,
            None => self.forward(&heard).await,
        }
    }

    async fn fault(&self, rule: &Rule, mut heard: Heard) -> Result<Answer, Dropped> {
        match rule.fault() {
            Fault::Refuse => return Err(Dropped),
            Fault::StatusBefore(status, retry_after) => return made_up(*status, *retry_after),
            Fault::Instead(stand) => return Ok(stand(&heard)),
            Fault::Hold(gate) => gate.pass().await,
            Fault::Delay(time) => tokio::time::sleep(*time).await,
            Fault::Duplicate => rule.answered(self.forward(&heard).await?.status),
            Fault::Flip => heard.body = flipped(&heard.body),
            Fault::DropAnswer | Fault::StatusAfter(_) | Fault::Garble(_) => {}
        }
        let answer = self.forward(&heard).await?;
        rule.answered(answer.status);
        match rule.fault() {
            Fault::DropAnswer => Err(Dropped),
            Fault::StatusAfter(status) => made_up(*status, None),
            Fault::Garble(garbage) => Ok(garbled(*garbage, &answer)),
            _ => Ok(answer),
        }
    }

    /// Sends the request to the server. A server that does not answer is passed on as what it is to the client: no answer.
    async fn forward(&self, heard: &Heard) -> Result<Answer, Dropped> {
        let mut headers = heard.headers.clone();
        for name in &HOP_BY_HOP {
            headers.remove(name);
        }
        let request = self.http.request(heard.method.clone(), format!("{}{}", self.server, heard.path));
        let answer = request.headers(headers).body(heard.body.clone()).send().await.map_err(|_| Dropped)?;
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        for name in &HOP_BY_HOP {
            headers.remove(name);
        }
        let body = answer.bytes().await.map_err(|_| Dropped)?;
        Ok(Answer { status, headers, body })
    }
}

fn made_up(status: u16, retry_after: Option<u32>) -> Result<Answer, Dropped> {
    let mut answer = Answer { status: StatusCode::from_u16(status).map_err(|_| Dropped)?, ..Answer::default() };
    if let Some(seconds) = retry_after {
        answer.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(answer)
}

fn garbled(garbage: Garbage, answer: &Answer) -> Answer {
    let body = match garbage {
        Garbage::Cut => answer.body.slice(..answer.body.len() / 2),
        Garbage::Foreign => Bytes::from_static(br#"{"status":"ok","data":[1,2,3]}"#),
        Garbage::Binary => Bytes::from_static(&[0x1f, 0x8b, 0xff, 0x00, 0xfe, 0x80]),
    };
    Answer { body, ..Answer::default() }
}

fn flipped(body: &Bytes) -> Bytes {
    let mut bytes = body.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0b0001_0000;
    }
    bytes.into()
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
