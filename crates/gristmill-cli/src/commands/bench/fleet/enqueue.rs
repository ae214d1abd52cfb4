use std::time::Duration;

use gristmill::Client;
use tokio::sync::mpsc;

use super::super::measure::{Result, task};
use super::figure::{Figure, Goal};
use super::place::Place;
use super::tasks::{next, queues, quick, quick_of, serve};
use super::window::{Counter, Window};

/// What each worker serves.
const QUEUES: usize = 5;
/// Time for the last task to have come before the next, so that none is served by a wake-up of another.
pub(super) const EVERY: Duration = Duration::from_millis(20);
/// What workers do when they start is over then, and what a task leaves to be done.
pub(super) const SETTLED: Duration = Duration::from_secs(2);

/// One enqueue after the other beside idle workers, each of which is a client of its own in this process, with its own connections
/// and its own line for news. What is counted beyond the same time without any enqueue is theirs.
pub(super) async fn measure(place: &Place, bench: &super::super::Args) -> Result<Vec<Figure>> {
    let mut measured = Vec::new();
    for workers in &bench.fleet.workers {
        measured.push((*workers, one(place, *workers, bench).await?));
    }
    let mut figures = Vec::new();
    let baseline = measured.first().and_then(|(_, each)| each.server_ms);
    for (workers, each) in measured {
        let of = |what: &str| format!("{what}, {workers} workers");
        figures.push(Figure::new(of("statements an enqueue"), each.statements, ""));
        if let Some(claims) = each.claims {
            figures.push(Figure::new(of("claims an enqueue"), claims, "").goal(Goal::AtMost(3.0)));
        }
        if let Some((server_ms, baseline)) = each.server_ms.zip(baseline) {
            figures.push(Figure::new(of("server time an enqueue"), server_ms, "ms"));
            figures.push(Figure::new(of("of the first"), server_ms / baseline, "").goal(Goal::AtMost(1.5)));
        }
    }
    Ok(figures)
}

async fn one(place: &Place, count: u32, bench: &super::super::Args) -> Result<Window> {
    let fleet = Fleet::start(place, count).await?;
    let (client, mut started) = (fleet.client.clone(), fleet.started);
    let counter = Counter::new(place, "fleet").await?;
    tokio::time::sleep(SETTLED).await;
    let (idle, ()) = counter.over(nothing(bench)).await?;
    let (busy, enqueued) = counter.over(enqueues(&client, &mut started, bench)).await?;
    for worker in fleet.workers {
        worker.stop().await;
    }
    Ok(busy.each(&idle, enqueued))
}

/// Lets the window pass.
pub(super) async fn nothing(bench: &super::super::Args) -> Result<()> {
    tokio::time::sleep(bench.fleet.window).await;
    Ok(())
}

async fn enqueues(client: &Client, started: &mut mpsc::UnboundedReceiver<u64>, bench: &super::super::Args) -> Result<u64> {
    let count = (bench.fleet.window.as_millis() / EVERY.as_millis()).max(1) as u64;
    let mut clock = tokio::time::interval(EVERY);
    for n in 0..count {
        clock.tick().await;
        task(client, n, bench).tag("fleet").await?;
    }
    for _ in 0..count {
        next(started).await?;
    }
    // The last ones are still to be settled.
    tokio::time::sleep(EVERY * 10).await;
    Ok(count)
}

/// Idle workers, and one who enqueues for them.
pub(super) struct Fleet {
    pub(super) client: Client,
    pub(super) started: mpsc::UnboundedReceiver<u64>,
    pub(super) workers: Vec<gristmill::worker::Running>,
}

impl Fleet {
    pub(super) async fn start(place: &Place, count: u32) -> Result<Self> {
        let (url, queues) = (place.url("fleet"), queues(QUEUES));
        let (client, _) = quick(&url).await?;
        // Queues that were never used are names that nobody knows, which costs something else.
        for queue in &queues {
            client.queues().pause(queue).await?;
            client.queues().resume(queue).await?;
        }
        let (sender, started) = mpsc::unbounded_channel();
        let mut workers = Vec::new();
        for _ in 0..count {
            workers.push(serve(&quick_of(&url, sender.clone()).await?, &queues, 8).await?);
        }
        Ok(Self { client, started, workers })
    }
}
