use gristmill::Client;
use gristmill::client::EnqueueError;
use gristmill::core::limits::BATCH_TASKS_MAX;
use gristmill::core::{Env, TaskId};
use gristmill::options::Retention;
use gristmill::postgres::raw::Server;

use super::super::Args;
use super::super::measure::{Result, bulk, drain, median, task};
use super::figure::{Figure, Goal};
use super::place::Place;
use super::tasks::quick;
use crate::exit::CliError;

/// Of each day so many tasks are kept: one more than what is carried on when a day is dropped, so that it stays.
const KEPT: u64 = 1_005;
const DAY_MS: i64 = 86_400_000;
/// How often a day is tried to be made while somebody holds a lock on the tables.
const TRIES: usize = 100;

/// A store with many days of history and a fresh one beside it: their drains in turn, and the locks that a claim holds.
pub(super) async fn measure(place: &Place, bench: &Args) -> Result<Vec<Figure>> {
    let fresh_place = place.another("fresh");
    let measured = beside(place, &fresh_place, bench).await;
    fresh_place.remove().await?;
    measured
}

async fn beside(old_place: &Place, fresh_place: &Place, bench: &Args) -> Result<Vec<Figure>> {
    let (old, _started) = quick(&old_place.url("fleet")).await?;
    let (fresh, _started_fresh) = quick(&fresh_place.url("fleet")).await?;
    let (old_server, fresh_server) = (old_place.server().await?, fresh_place.server().await?);
    fill(&old, &old_server, bench).await?;

    let (mut old_rates, mut fresh_rates) = (Vec::new(), Vec::new());
    for _ in 0..bench.repeat {
        for (client, rates) in [(&fresh, &mut fresh_rates), (&old, &mut old_rates)] {
            bulk(client, bench).await?;
            rates.push(bench.tasks as f64 / drain(client, bench).await?.as_secs_f64());
        }
    }
    let fresh_locks = locks(&fresh, &fresh_server, bench).await?;
    let old_locks = locks(&old, &old_server, bench).await?;
    let (old_rate, fresh_rate) = (median(old_rates), median(fresh_rates));
    Ok(vec![
        Figure::new("locks a claim, fresh store", fresh_locks as f64, ""),
        Figure::new(format!("locks a claim, {} days", bench.fleet.days), old_locks as f64, "").goal(Goal::AtMost(40.0)),
        Figure::new("drain of a fresh store", fresh_rate, "/s"),
        Figure::new(format!("drain with {} days", bench.fleet.days), old_rate, "/s"),
        Figure::new("of the first", old_rate / fresh_rate, "").goal(Goal::AtLeast(0.9)),
    ])
}

/// Makes days and tasks that have ended and are kept.
async fn fill(client: &Client, server: &Server, bench: &Args) -> Result<()> {
    for before in 1..=i64::from(bench.fleet.days) {
        let mut tries = 0;
        while !server.make_day_before(before).await.unwrap_or(false) {
            tries += 1;
            if tries == TRIES {
                return Err(CliError::failed("the partitions of a day could not be made: somebody holds a lock on the tables"));
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    let now = Env::system().now().as_millis();
    let days = u64::from(bench.fleet.days);
    for from in (0..days * KEPT).step_by(BATCH_TASKS_MAX) {
        let mut tasks = Vec::new();
        for n in from..(from + BATCH_TASKS_MAX as u64).min(days * KEPT) {
            let id = id_of(now - (1 + (n / KEPT) as i64) * DAY_MS, n)?;
            tasks.push(task(client, n, bench).id(id).retention(Retention::Forever));
        }
        client.enqueue_many(tasks).await.into_iter().collect::<std::result::Result<Vec<_>, EnqueueError>>()?;
    }
    drain(client, bench).await.map(drop)
}

/// An id as of that moment.
fn id_of(ms: i64, n: u64) -> Result<TaskId> {
    let text = format!("{:08x}-{:04x}-7000-8000-{n:012x}", ms >> 16, ms & 0xffff);
    text.parse().map_err(|_| CliError::failed(format!("{text} is no id")))
}

/// The most locks that were seen with a claim while a queue was drained.
async fn locks(client: &Client, server: &Server, bench: &Args) -> Result<i64> {
    bulk(client, bench).await?;
    let mut most = 0;
    let mut drained = std::pin::pin!(drain(client, bench));
    loop {
        tokio::select! {
            done = &mut drained => {
                done?;
                return Ok(most);
            }
            seen = server.locks_of_claims() => most = most.max(seen?),
        }
    }
}
