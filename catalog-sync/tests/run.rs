//! The scheduler beside a writer, on the embedded catalog: bounds hold, rows stay, also when there are two and when it is killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use catalog_sync::run::config::{Compact, Jobs, Maintenance, MetricsConfig, RewriteManifests};
use catalog_sync::run::metrics::Metrics;
use catalog_sync::run::{Job, JobRun, Runs, Verdict, once, run};
use common::World;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

const TYPES: [&str; 2] = ["click", "page_view"];
/// Rows of a file.
const ROWS: usize = 10;

/// Everything at once: a look is due ten times a second, and so is whatever it finds.
fn eager() -> Maintenance {
    let compact = Compact { commit_count: 5, min_interval_ms: 0, ..Compact::default() };
    let rewrite_manifests = RewriteManifests { manifest_count: 8, min_interval_ms: 0, ..RewriteManifests::default() };
    Maintenance {
        tables: vec!["analytics.clicks".to_owned()],
        check_interval_ms: 100,
        jobs: Jobs { compact, rewrite_manifests, ..Jobs::default() },
        ..Maintenance::default()
    }
}

/// A scheduler at work, in a thread of its own: its future cannot be sent to another one.
struct Scheduler {
    thread: JoinHandle<()>,
    stop: watch::Sender<bool>,
    kill: oneshot::Sender<()>,
    told: Arc<Mutex<Vec<JobRun>>>,
}

impl Scheduler {
    fn start(world: &World, config: Maintenance) -> Self {
        let (client, told) = (world.client.clone(), Arc::new(Mutex::new(Vec::new())));
        let ((stop, stopped), (kill, killed)) = (watch::channel(false), oneshot::channel());
        let runs = Arc::clone(&told);
        let thread = tokio::task::spawn_blocking(move || {
            let tell = |run: &JobRun| runs.lock().unwrap().push(run.clone());
            let runs = Runs { config: &config, only: &[], told: &tell, metrics: Arc::new(Metrics::default()) };
            Handle::current().block_on(async {
                tokio::select! {
                    ended = run(&client, &runs, &stopped) => ended.unwrap(),
                    // Dropped, wherever it is.
                    Ok(()) = killed => {}
                }
            });
        });
        Self { thread, stop, kill, told }
    }

    fn told(&self, job: Job, verdict: Verdict) -> usize {
        self.told.lock().unwrap().iter().filter(|run| (run.job, run.verdict) == (job, verdict)).count()
    }

    async fn stop(self) -> Vec<JobRun> {
        self.stop.send_replace(true);
        self.thread.await.unwrap();
        self.told.lock().unwrap().clone()
    }

    async fn kill(self) {
        self.kill.send(()).unwrap();
        self.thread.await.unwrap();
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(120), "not within two minutes: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Somebody who commits real rows all the time.
struct Writer {
    task: JoinHandle<()>,
    is_over: Arc<AtomicBool>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    fn start(world: &Arc<World>) -> Self {
        let (is_over, commits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (world, over, count) = (Arc::clone(world), Arc::clone(&is_over), Arc::clone(&commits));
        let task = tokio::task::spawn_blocking(move || {
            // The committer's futures cannot all be sent to another thread.
            Handle::current().block_on(async move {
                while !over.load(Ordering::SeqCst) {
                    world.commit_rows(&TYPES, ROWS).await;
                    count.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        });
        Self { task, is_over, commits }
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Rows that were committed.
    async fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        self.commits.load(Ordering::SeqCst) * (TYPES.len() * ROWS) as u64
    }
}

/// Rows and distinct event ids, read from the files.
async fn rows(world: &World) -> (usize, usize) {
    use arrow_array::RecordBatch;
    use arrow_array::cast::AsArray;
    use futures::TryStreamExt;
    let loaded = world.load().await;
    let table = loaded.to_iceberg(&world.store(&loaded)).unwrap();
    let batches = table.scan().build().unwrap().to_arrow().await.unwrap();
    let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
    let (mut rows, mut ids) = (0, BTreeSet::new());
    for batch in &batches {
        rows += batch.num_rows();
        let column = batch.column_by_name("event_id").unwrap().as_string::<i32>();
        ids.extend(column.iter().flatten().map(str::to_owned));
    }
    (rows, ids.len())
}

async fn exact(world: &World, expected: u64) {
    assert_eq!(rows(world).await, (expected as usize, expected as usize));
    world.complete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_manifests_stay_few_beside_a_writer_and_every_row_stays_once() {
    let world = Arc::new(World::new().await);
    let (scheduler, writer) = (Scheduler::start(&world, eager()), Writer::start(&world));
    let (mut files_max, mut manifests_max) = (0, 0);
    until("150 commits and five compactions", async || {
        files_max = files_max.max(world.entries().await.0.len());
        manifests_max = manifests_max.max(world.manifests().await.len());
        writer.commits() >= 150 && scheduler.told(Job::Compact, Verdict::Done) >= 5
    })
    .await;
    let written = writer.stop().await;
    // All is written: what is left to do is soon done.
    until("few files and manifests", async || {
        world.entries().await.0.len() <= 2 * 5 && world.manifests().await.len() <= 8
    })
    .await;
    let told = scheduler.stop().await;
    assert!(told.iter().all(|run| run.verdict != Verdict::Failed), "{told:#?}");
    let files_written = written as usize / ROWS;
    assert!(files_max < files_written / 2, "{files_max} files at once of {files_written} that were written");
    assert!(manifests_max < files_written / 4, "{manifests_max} manifests at once after {} commits", files_written / 2);
    exact(&world, written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_share_a_table_with_a_writer() {
    let world = Arc::new(World::new().await);
    let writer = Writer::start(&world);
    let both = [Scheduler::start(&world, eager()), Scheduler::start(&world, eager())];
    until("each has compacted three times", async || both.iter().all(|one| one.told(Job::Compact, Verdict::Done) >= 3))
        .await;
    let written = writer.stop().await;
    until("few files", async || world.entries().await.0.len() <= 2 * 5).await;
    for scheduler in both {
        let told = scheduler.stop().await;
        assert!(told.iter().all(|run| run.verdict != Verdict::Failed), "{told:#?}");
    }
    exact(&world, written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_it_leaves_a_complete_table() {
    let world = Arc::new(World::new().await);
    let writer = Writer::start(&world);
    for kill in 0..25_u64 {
        let scheduler = Scheduler::start(&world, eager());
        // Points of time spread over looks, reads, writes and commits.
        tokio::time::sleep(Duration::from_millis(5 + kill * 23)).await;
        scheduler.kill().await;
    }
    let written = writer.stop().await;
    exact(&world, written).await;
    let scheduler = Scheduler::start(&world, eager());
    until("few files", async || world.entries().await.0.len() <= 2 * 5).await;
    scheduler.stop().await;
    exact(&world, written).await;
}

#[tokio::test]
async fn only_partitions_that_need_it_are_rewritten() {
    let world = World::new().await;
    for _ in 0..5 {
        world.commit_rows(&TYPES, ROWS).await;
    }
    world.commit_rows(&["click"], ROWS).await;
    let mut config = eager();
    config.jobs.compact.commit_count = 6;
    let scheduler = Scheduler::start(&world, config);
    until("a compaction", async || scheduler.told(Job::Compact, Verdict::Done) == 1).await;
    let told = scheduler.stop().await;
    let compaction = told.iter().find(|run| run.job == Job::Compact).unwrap();
    assert!(compaction.why.ends_with("event_type=click: small files of 6 commits"), "{compaction}");
    assert_eq!((compaction.files_removed, world.entries().await.0.len()), (6, 1 + 5));
    world.complete().await;
}

#[tokio::test]
async fn a_file_that_is_gone_lets_its_partition_rest_and_the_others_go_on() {
    let world = World::new().await;
    for _ in 0..5 {
        world.commit_rows(&TYPES, ROWS).await;
    }
    let gone = world.entries().await.0.into_iter().map(|entry| entry.0).find(|it| it.contains("event_type=click"));
    world.store(&world.load().await).delete(&gone.unwrap()).await.unwrap();
    let scheduler = Scheduler::start(&world, eager());
    until("a failure", async || scheduler.told(Job::Compact, Verdict::Failed) == 1).await;
    for _ in 0..5 {
        world.commit_rows(&["page_view"], ROWS).await;
    }
    until("a compaction of the other", async || scheduler.told(Job::Compact, Verdict::Done) >= 1).await;
    scheduler.stop().await;
}

#[tokio::test]
async fn a_table_that_does_not_exist_yet_is_waited_for() {
    let mut world = World::new().await;
    world.ident = iceberg::TableIdent::from_strs(["analytics", "later"]).unwrap();
    let config = Maintenance { tables: vec![world.ident.to_string()], ..eager() };
    let runs = Runs { config: &config, only: &[], told: &|_| panic!("nothing runs"), metrics: Arc::default() };
    assert!(once(&world.client, &runs, false).await.unwrap(), "there is nothing to do");
    let scheduler = Scheduler::start(&world, config);
    catalog_sync::create::load_or_create(&world.client, &world.ident, &Default::default()).await.unwrap();
    for _ in 0..5 {
        world.commit_rows(&TYPES, ROWS).await;
    }
    until("a compaction", async || scheduler.told(Job::Compact, Verdict::Done) >= 1).await;
    scheduler.stop().await;
    world.complete().await;
}

#[tokio::test]
async fn once_runs_each_job_now_whatever_its_conditions_and_a_dry_run_changes_nothing() {
    let world = World::new().await;
    for _ in 0..6 {
        world.commit_rows(&TYPES, ROWS).await;
    }
    let config = Maintenance { tables: vec!["analytics.clicks".to_owned()], ..Maintenance::default() };
    let told = Mutex::new(Vec::new());
    let tell = |run: &JobRun| told.lock().unwrap().push((run.job, run.verdict));
    let runs = |only| Runs { config: &config, only, told: &tell, metrics: Arc::default() };
    let before = world.load().await.metadata().current_snapshot_id();
    assert!(once(&world.client, &runs(&[]), true).await.unwrap());
    assert_eq!(world.load().await.metadata().current_snapshot_id(), before);
    assert!(once(&world.client, &runs(&[]), false).await.unwrap());
    assert!(once(&world.client, &runs(&[Job::Verify, Job::Compact]), false).await.unwrap());
    let expected = [
        (Job::Compact, Verdict::Planned),
        (Job::RewriteManifests, Verdict::Planned),
        (Job::Compact, Verdict::Done),
        (Job::RewriteManifests, Verdict::Done),
        (Job::Compact, Verdict::NothingToDo),
        (Job::Verify, Verdict::Done),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
    assert_eq!(world.entries().await.0.len(), 2);
}

#[tokio::test]
async fn metrics_are_served_and_tell_of_the_table() {
    let world = World::new().await;
    world.commit_rows(&TYPES, ROWS).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = Maintenance { metrics: MetricsConfig { listen: Some(port.to_string()) }, ..eager() };
    let scheduler = Scheduler::start(&world, config);
    let mut page = String::new();
    until("the table is in the metrics", async || {
        page = match reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await {
            Ok(answer) => answer.text().await.unwrap(),
            Err(_) => return false,
        };
        page.contains("catalog_sync_table_live_files{table=\"analytics.clicks\"} 2\n")
    })
    .await;
    assert!(
        page.contains("catalog_sync_job_runs_total{job=\"compact\",table=\"analytics.clicks\",verdict=\"done\"} 0\n")
    );
    let health = reqwest::get(format!("http://127.0.0.1:{port}/health")).await.unwrap();
    assert_eq!(health.status(), 200);
    scheduler.stop().await;
    assert!(reqwest::get(format!("http://127.0.0.1:{port}/health")).await.is_err(), "it ends with the scheduler");
}
