//! Trouble on the way to the catalog.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use catalog_sync::catalog::{CatalogClient, CatalogConfig};
use catalog_sync::compact::options::Options;
use tokio::runtime::Handle;

use super::World;

/// What happens to a commit between the client and the catalog.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trouble {
    /// Somebody else commits first.
    Overtaken,
    /// An orphan sweep comes first, with a snapshot of its own, as each has.
    Swept,
    /// Somebody else commits real rows first.
    RowsFirst,
    /// Somebody else rewrites the manifests first.
    Rewritten,
    /// Somebody else compacts first.
    Compacted,
    /// Somebody else writes the oldest file anew first.
    OldestCompacted,
    /// Somebody else deletes rows first.
    Deleted,
    /// It is applied, and somebody else deletes rows then.
    DeletedAfter,
    /// It is applied, and the answer is lost.
    AnswerLost,
    /// It is applied, somebody else commits on top, and the answer is lost.
    AnswerLostAndOvertaken,
}

/// Before the catalog: the first `times` commits meet trouble.
pub struct Between {
    catalog: String,
    world: Arc<World>,
    trouble: Trouble,
    times: AtomicU32,
    pub seen: Mutex<Vec<u16>>,
}

impl Between {
    pub async fn client(world: &Arc<World>, trouble: Trouble, times: u32) -> (CatalogClient, Arc<Self>) {
        let catalog = world.catalog.uri().trim_end_matches('/').to_owned();
        let between =
            Arc::new(Self { catalog, world: Arc::clone(world), trouble, times: times.into(), seen: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(pass).with_state(Arc::clone(&between));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (CatalogClient::connect(CatalogConfig::new(uri)).await.unwrap(), between)
    }
}

impl Between {
    /// What happens before the commit arrives.
    async fn come_first(&self) {
        let world = &self.world;
        match self.trouble {
            Trouble::Overtaken => world.commit(&[20_009]).await,
            Trouble::Swept => {
                world.set_property("catalog-sync.sweep-epoch", "a-sweep").await;
                world.commit(&[20_009]).await;
            }
            Trouble::RowsFirst => world.commit_rows(&["click"], 10).await,
            Trouble::Rewritten => drop(world.rewrite().await),
            Trouble::Compacted => drop(world.compact(&Options::default()).await),
            Trouble::OldestCompacted => {
                let one = Options { rewrite_all: true, max_files_to_rewrite: Some(1), ..Options::default() };
                drop(world.compact(&one).await);
            }
            Trouble::Deleted => world.delete_rows("click").await,
            Trouble::AnswerLost | Trouble::AnswerLostAndOvertaken | Trouble::DeletedAfter => {}
        }
    }
}

async fn pass(State(between): State<Arc<Between>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path_and_query().unwrap().as_str();
    let left = |n: u32| n.checked_sub(1);
    let troubled =
        parts.method == "POST" && between.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok();
    let is_lost = [Trouble::AnswerLost, Trouble::AnswerLostAndOvertaken].contains(&between.trouble);
    if troubled {
        // Not every one of these can be sent to another thread.
        tokio::task::block_in_place(|| Handle::current().block_on(between.come_first()));
    }
    let url = format!("{}{path}", between.catalog);
    let request = reqwest::Client::new().request(parts.method, url).header("content-type", "application/json");
    let answer = request.body(body).send().await.unwrap();
    let (status, text) = (answer.status(), answer.bytes().await.unwrap());
    match between.trouble {
        Trouble::AnswerLostAndOvertaken if troubled => between.world.commit(&[20_009]).await,
        Trouble::DeletedAfter if troubled => between.world.delete_rows("click").await,
        _ => {}
    }
    between.seen.lock().unwrap().push(status.as_u16());
    let lost = troubled && is_lost;
    let status = if lost { 504 } else { status.as_u16() };
    Response::builder().status(status).body(Body::from(if lost { Bytes::new() } else { text })).unwrap()
}
