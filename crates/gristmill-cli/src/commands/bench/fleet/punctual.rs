use std::time::Duration;

use gristmill::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use super::super::measure::{Result, nanos, percentiles, task};
use super::enqueue::SETTLED;
use super::figure::{Figure, Goal};
use super::place::Place;
use super::tasks::{next, queues, quick, serve};

/// Tasks that are due one after the other.
const EVERY: Duration = Duration::from_millis(23);
/// The first is due then, so that all are there before.
const AHEAD: Duration = Duration::from_secs(2);

/// How late tasks start that are due at a moment, on an idle worker. Server and worker are on this machine, so that their clocks
/// are one.
pub(super) async fn measure(place: &Place, bench: &super::super::Args) -> Result<Vec<Figure>> {
    let (client, mut started) = quick(&place.url("fleet")).await?;
    let worker = serve(&client, &queues(1), 8).await?;
    tokio::time::sleep(SETTLED).await;
    let count = (bench.fleet.window.as_millis() / EVERY.as_millis()).clamp(20, 2_000) as u64;
    let (wall, monotonic) = (wall_nanos(), nanos());
    let mut due = Vec::new();
    for n in 0..count {
        let at = (wall + nanos_of(AHEAD) + n * nanos_of(EVERY)) / 1_000_000;
        task(&client, n, bench).at(Timestamp::from_millis(at as i64)).tag("punctual").await?;
        due.push(monotonic + at * 1_000_000 - wall);
    }
    // In their order, as each is due after the last one's run.
    let mut late = Vec::new();
    for due in due {
        late.push(next(&mut started).await?.saturating_sub(due));
    }
    worker.stop().await;
    let (p50, p99) = percentiles(late);
    Ok(vec![Figure::new("delay error p50", p50, "ms"), Figure::new("delay error p99", p99, "ms").goal(Goal::AtMost(4.7))])
}

fn nanos_of(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// The clock by which tasks are due, more finely than they are told.
fn wall_nanos() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
