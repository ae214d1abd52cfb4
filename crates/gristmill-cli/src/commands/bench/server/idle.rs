use std::time::{Duration, Instant};

use gristmill::Client;
use gristmill::postgres::raw::Server;

use super::super::measure::{QUEUE, Result};
use super::super::usage::cpu_seconds_of;
use super::super::{Args, application_name};

const FOR: Duration = Duration::from_secs(10);
/// What a worker does when it starts is over then.
const AFTER: Duration = Duration::from_secs(2);

/// Percent of a core.
pub(super) struct Idle {
    pub(super) process: f64,
    /// `None` if the server is on another machine, or hides its processes.
    pub(super) server: Option<f64>,
}

pub(super) async fn measure(client: &Client, url: &str, bench: &Args) -> Result<Idle> {
    let server = Server::connect(url).await?;
    let worker = client.worker().queue(QUEUE, bench.concurrency).start().await?;
    tokio::time::sleep(AFTER).await;
    let backends = server.backends(&application_name()).await?;
    let used = || (cpu_seconds_of("self"), backends.iter().map(|pid| cpu_seconds_of(&pid.to_string())).sum::<Option<f64>>());
    let (since, before) = (Instant::now(), used());
    tokio::time::sleep(FOR).await;
    let (after, took) = (used(), since.elapsed().as_secs_f64());
    worker.stop().await;
    let percent = |before: Option<f64>, after: Option<f64>| Some((after? - before?) * 100.0 / took);
    let process = percent(before.0, after.0).unwrap_or_default();
    Ok(Idle { process, server: percent(before.1, after.1).filter(|_| !backends.is_empty()) })
}
