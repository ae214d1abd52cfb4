use std::time::{Duration, Instant};

use gristmill::Client;
use gristmill::postgres::raw::RawBench;

use super::super::Args;
use super::super::measure::{Result, median, task};
use crate::stores::Scratch;

/// One round: an fsync each makes it long enough.
const TASKS: usize = 500;
const ROUNDS: usize = 4;

/// One caller, one by one: through the client, and with the bare statement. Tasks a second.
pub(super) async fn measure(client: &Client, url: &str, bench: &Args) -> Result<(f64, f64)> {
    let mut raw = RawBench::create(&Scratch::beside(url, "gristmill-bench-raw").url()).await?.retention(bench.retention);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let rate = |took: Duration| TASKS as f64 / took.as_secs_f64();
    // In turn, as a disk has better and worse moments.
    for _ in 0..ROUNDS * bench.repeat as usize {
        let since = Instant::now();
        for n in 0..TASKS {
            task(client, n as u64, bench).await?;
        }
        ours.push(rate(since.elapsed()));
        bare.push(rate(raw.enqueue_bulk(TASKS, 1).await?));
    }
    raw.remove().await?;
    super::drain(client, bench).await?;
    Ok((median(ours), median(bare)))
}
