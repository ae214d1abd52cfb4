//! What a drain does not tell of limits: how soon a slot goes on to the next, and whether a rate is kept.

use std::time::Instant;

use gristmill::client::EnqueueError;
use gristmill::options::{Concurrency, PerTime, Rate};
use gristmill::{Client, client::Enqueue};
use serde::Serialize;
use tokio::sync::mpsc;

use super::Args;
use super::measure::{FAIR, QUEUE, Result, percentiles, task};
use crate::exit::CliError;

/// Tasks that pass one slot on.
const CHAIN: u64 = 1_000;
/// Tasks a second, and for how many seconds of them.
const RATE: u64 = 1_000;
const RATE_SECONDS: u64 = 5;
/// Tasks of a fair queue, and of how many keys.
const TURNS: u64 = 20_000;
const KEYS: u64 = 100;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Limited {
    /// A thousand tasks of which one runs at a time.
    chain_per_s: f64,
    /// From the start of one of them to that of the next.
    slot_passed_on_p50_ms: f64,
    slot_passed_on_p99_ms: f64,
    /// Those that began in a second of a rate of a thousand a second, after the first burst.
    rate_of_1000_per_s: f64,
    /// Twenty thousand tasks of a queue that is fair between a hundred keys, from their enqueue until the last has begun.
    fair_per_s: f64,
    /// The same without turns.
    unfair_per_s: f64,
}

/// Measures it.
pub(super) async fn measure(client: &Client, bench: &Args, started: &mut mpsc::UnboundedReceiver<u64>) -> Result<Limited> {
    let one = Concurrency::of("bench chain".parse().map_err(EnqueueError::Invalid)?, 1);
    let chain = starts(client, bench, started, CHAIN, |n| task(client, n, bench).concurrency(one.clone())).await?;
    let passed_on: Vec<u64> = chain.windows(2).map(|two| two[1].saturating_sub(two[0])).collect();
    let (slot_passed_on_p50_ms, slot_passed_on_p99_ms) = percentiles(passed_on);

    let limit: PerTime = format!("{RATE}/s").parse().map_err(EnqueueError::Invalid)?;
    let rule = Rate::of("bench".parse().map_err(EnqueueError::Invalid)?, limit);
    let rated = starts(client, bench, started, RATE * RATE_SECONDS, |n| task(client, n, bench).rate(rule.clone())).await?;
    let mut shared = Vec::new();
    for queue in [FAIR, QUEUE] {
        let began = Instant::now();
        starts(client, bench, started, TURNS, |n| task(client, n % KEYS, bench).queue(queue)).await?;
        shared.push(TURNS as f64 / began.elapsed().as_secs_f64());
    }
    // The burst comes at once, and is not of the rate.
    let burst = usize::try_from(rule.limit().most()).unwrap_or_default();
    Ok(Limited {
        chain_per_s: per_s(&chain),
        slot_passed_on_p50_ms,
        slot_passed_on_p99_ms,
        rate_of_1000_per_s: per_s(rated.get(burst..).unwrap_or_default()),
        fair_per_s: shared.first().copied().unwrap_or_default(),
        unfair_per_s: shared.last().copied().unwrap_or_default(),
    })
}

/// When so many tasks have begun that are there when a worker comes, in the order of that.
async fn starts<'c>(
    client: &'c Client,
    bench: &Args,
    started: &mut mpsc::UnboundedReceiver<u64>,
    tasks: u64,
    new: impl Fn(u64) -> Enqueue<'c, u64> + Sync,
) -> Result<Vec<u64>> {
    for outcome in client.enqueue_many((0..tasks).map(|n| new(n).tag("limited"))).await {
        outcome?;
    }
    let worker = client.worker().queue(QUEUE, bench.concurrency).queue(FAIR, bench.concurrency).start().await?;
    let mut starts = Vec::new();
    for _ in 0..tasks {
        starts.push(started.recv().await.ok_or_else(|| CliError::failed("the worker is gone"))?);
    }
    worker.stop().await;
    starts.sort_unstable();
    Ok(starts)
}

fn per_s(starts: &[u64]) -> f64 {
    match starts {
        [first, .., last] => (starts.len() - 1) as f64 * 1e9 / last.saturating_sub(*first).max(1) as f64,
        _ => 0.0,
    }
}
