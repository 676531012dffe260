//! The proxy before a small server that says what it was sent and how often.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use reqwest::Method;

use super::super::gate::Gate;
use super::super::requests::all;
use super::*;

/// A server that echoes, and the proxy before it.
struct Bench {
    proxy: HttpProxy,
    server: SocketAddr,
    served: Arc<AtomicU64>,
    http: reqwest::Client,
}

impl Bench {
    async fn new() -> Self {
        let served = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&served);
        let echo = move |request: Request<Body>| {
            let count = Arc::clone(&count);
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                let host = request.headers()[header::HOST].to_str().unwrap().to_owned();
                let path = request.uri().to_string();
                let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
                format!("{host} {path} {}", String::from_utf8_lossy(&body))
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(echo)).await });
        let proxy = HttpProxy::start(&format!("http://{server}/base/")).await.unwrap();
        Self { proxy, server, served, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    async fn post(&self, body: &'static str) -> reqwest::Result<(u16, String)> {
        let answer = self.http.post(format!("{}a%7Cb?c=d", self.proxy.uri())).body(body).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn without_a_rule_everything_goes_through_unchanged_host_and_escapes_included() {
    let bench = Bench::new().await;
    let (status, body) = bench.post("hello").await.unwrap();
    let own = bench.proxy.uri().trim_start_matches("http://").trim_end_matches("/base/").to_owned();
    assert_eq!((status, body), (200, format!("{own} /base/a%7Cb?c=d hello")));
    let head = bench.http.head(format!("http://{}/x", bench.server)).send().await.unwrap();
    let through = bench.http.head(bench.proxy.uri()).send().await.unwrap();
    // The length of what a HEAD does not send is told all the same.
    assert!(head.headers().contains_key(header::CONTENT_LENGTH));
    assert!(through.headers().contains_key(header::CONTENT_LENGTH));
}

#[tokio::test]
async fn a_lost_answer_is_no_answer_to_a_request_that_was_served() {
    let bench = Bench::new().await;
    let rule = bench.proxy.inject(all(), When::Nth(2), Fault::DropAnswer);
    assert!(bench.post("1").await.is_ok());
    assert!(bench.post("2").await.is_err());
    assert!(bench.post("3").await.is_ok());
    assert_eq!((bench.served(), rule.seen(), rule.hits(), rule.answers()), (3, 3, 1, vec![200]));
}

#[tokio::test]
async fn statuses_come_before_or_after_the_server_has_acted() {
    let bench = Bench::new().await;
    let before = bench.proxy.inject(all(), When::First(1), Fault::StatusBefore(503, Some(7)));
    let answer = bench.http.get(bench.proxy.uri()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()[header::RETRY_AFTER].to_str().unwrap()), (503, "7"));
    assert_eq!((bench.served(), before.hits()), (0, 1));
    bench.proxy.lift(&before);
    let after = bench.proxy.inject(all(), When::Always, Fault::StatusAfter(502));
    assert_eq!(bench.post("x").await.unwrap(), (502, String::new()));
    assert_eq!((bench.served(), after.hits(), before.seen()), (1, 1, 1));
    bench.proxy.lift(&after);
    let refuse = bench.proxy.inject(all(), When::Always, Fault::Refuse);
    assert!(bench.post("x").await.is_err());
    assert_eq!((bench.served(), refuse.hits()), (1, 1));
}

#[tokio::test]
async fn a_held_request_waits_for_the_gate_and_arrives_even_when_its_client_has_gone() {
    let bench = Bench::new().await;
    let gate = Gate::new("post");
    let rule = bench.proxy.inject(all(), When::First(1), Fault::Hold(gate.clone()));
    let twin = bench.http.post(bench.proxy.uri()).timeout(Duration::from_millis(200)).body("late").send();
    assert!(twin.await.unwrap_err().is_timeout());
    gate.arrived(1, Duration::from_secs(5)).await.unwrap();
    assert!(gate.arrived(2, Duration::ZERO).await.is_err());
    assert_eq!(bench.served(), 0);
    gate.open();
    while rule.answers().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((bench.served(), rule.answers()), (1, vec![200]));
}

#[tokio::test]
async fn a_request_is_doubled_its_body_bent_and_its_answer_garbled() {
    let bench = Bench::new().await;
    let rule = bench.proxy.inject(all(), When::First(1), Fault::Duplicate);
    assert!(bench.post("a").await.unwrap().1.ends_with(" a"));
    assert_eq!((bench.served(), rule.answers()), (2, vec![200, 200]));
    let flip = bench.proxy.inject(all(), When::Nth(1), Fault::Flip);
    assert!(bench.post("a").await.unwrap().1.ends_with(" q"));
    bench.proxy.lift(&flip);
    let whole = bench.post("abc").await.unwrap().1;
    for (garbage, expected) in [
        (Garbage::Cut, whole[..whole.len() / 2].to_owned()),
        (Garbage::Foreign, r#"{"status":"ok","data":[1,2,3]}"#.to_owned()),
    ] {
        let rule = bench.proxy.inject(all(), When::Always, Fault::Garble(garbage));
        assert_eq!(bench.post("abc").await.unwrap(), (200, expected));
        bench.proxy.lift(&rule);
    }
}

#[tokio::test]
async fn another_can_answer_and_an_answer_can_take_its_time() {
    let bench = Bench::new().await;
    let stand = |heard: &Heard| Answer { body: heard.body.slice(1..), ..Answer::default() };
    let posts = Box::new(|heard: &Heard| heard.method == Method::POST);
    bench.proxy.inject(posts, When::Always, Fault::Instead(Box::new(stand)));
    assert_eq!(bench.post("abc").await.unwrap(), (200, "bc".to_owned()));
    assert_eq!(bench.served(), 0);
    bench.proxy.inject(all(), When::Always, Fault::Delay(Duration::from_millis(300)));
    let began = Instant::now();
    assert!(bench.http.get(bench.proxy.uri()).send().await.is_ok());
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_share_is_about_that_share_and_the_same_for_the_same_seed() {
    let hits = |seed| {
        let rule = Rule::new(all(), When::Share { percent: 30, seed }, Fault::Refuse);
        let heard =
            Heard { method: Method::GET, path: "/".to_owned(), headers: header::HeaderMap::new(), body: Bytes::new() };
        (0..1_000).map(|_| rule.hit_by(&heard)).collect::<Vec<_>>()
    };
    let count = hits(1).into_iter().filter(|hit| *hit).count();
    assert!((200..400).contains(&count), "{count}");
    assert_eq!(hits(1), hits(1));
    assert_ne!(hits(1), hits(2));
}
