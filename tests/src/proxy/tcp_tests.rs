//! The proxy before a small server that sends back what it gets.
#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;
use std::time::Instant;

use super::*;

async fn bench() -> TcpProxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    TcpProxy::start(0, &server).await.unwrap()
}

async fn client(proxy: &TcpProxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

/// Sends a byte and reads it back.
async fn echo(stream: &mut TcpStream) -> std::io::Result<u8> {
    stream.write_all(b"x").await?;
    stream.read_u8().await
}

async fn silent(stream: &mut TcpStream) -> bool {
    tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn bytes_pass_until_the_connection_is_reset_and_pass_again() {
    let proxy = bench().await;
    let mut stream = client(&proxy).await;
    assert_eq!(echo(&mut stream).await.unwrap(), b'x');
    proxy.set(Mode::Cut);
    assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(echo(&mut client(&proxy).await).await.is_err());
    proxy.set(Mode::Pass);
    assert_eq!(echo(&mut client(&proxy).await).await.unwrap(), b'x');
    assert_eq!((proxy.accepted(), proxy.cut()), (3, 2));
}

#[tokio::test]
async fn what_was_stalled_arrives_and_what_was_swallowed_never_does() {
    let proxy = bench().await;
    let (mut stalled, mut swallowed) = (client(&proxy).await, client(&proxy).await);
    assert!(echo(&mut stalled).await.is_ok() && echo(&mut swallowed).await.is_ok());
    proxy.set(Mode::Stall);
    stalled.write_all(b"s").await.unwrap();
    assert!(silent(&mut stalled).await);
    proxy.set(Mode::Pass);
    assert_eq!(stalled.read_u8().await.unwrap(), b's');
    assert!(proxy.stalled() >= 2);
    proxy.set(Mode::Swallow);
    swallowed.write_all(b"lost").await.unwrap();
    assert!(silent(&mut swallowed).await);
    assert_eq!(proxy.swallowed(), 4);
    proxy.set(Mode::Pass);
    swallowed.write_all(b"too").await.unwrap();
    assert!(silent(&mut swallowed).await);
    assert_eq!(echo(&mut client(&proxy).await).await.unwrap(), b'x');
}

#[tokio::test]
async fn what_is_delayed_arrives_late() {
    let proxy = bench().await;
    let mut stream = client(&proxy).await;
    proxy.set(Mode::Delay(Duration::from_millis(100)));
    let began = Instant::now();
    assert_eq!(echo(&mut stream).await.unwrap(), b'x');
    assert!(began.elapsed() >= Duration::from_millis(200), "a delay each way");
}
