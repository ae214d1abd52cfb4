use std::time::Duration;

use gristmill::Client;

use super::super::Args;
use super::super::measure::{Result, bulk, drain, median};

const SMALL: u64 = 10_000;
/// So often is the small backlog filled and drained, which is over too soon to be measured once.
const ROUNDS: u32 = 10;

/// Tasks a second with a small and with a large backlog.
#[derive(Clone, Copy)]
pub(super) struct Backlog {
    pub(super) small_per_s: f64,
    pub(super) large_per_s: f64,
}

pub(super) async fn measure(client: &Client, bench: &Args) -> Result<Backlog> {
    let (mut small_rates, mut large_rates) = (Vec::new(), Vec::new());
    let small = Args { tasks: SMALL, ..bench.clone() };
    let large = Args { tasks: bench.backlog, ..bench.clone() };
    for _ in 0..bench.repeat {
        let mut took = Duration::ZERO;
        for _ in 0..ROUNDS {
            bulk(client, &small).await?;
            took += drain(client, &small).await?;
        }
        small_rates.push((SMALL * u64::from(ROUNDS)) as f64 / took.as_secs_f64());
        bulk(client, &large).await?;
        large_rates.push(bench.backlog as f64 / drain(client, &large).await?.as_secs_f64());
    }
    Ok(Backlog { small_per_s: median(small_rates), large_per_s: median(large_rates) })
}
