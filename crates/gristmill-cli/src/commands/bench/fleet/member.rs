use std::process::Stdio;
use std::time::Instant;

use gristmill::Client;
use tokio::process::{Child, Command};

use super::super::measure::Result;
use super::tasks::{PATIENCE, queues, quick, serve};
use crate::exit::CliError;

/// Is a worker process of the fleet: runs until its standard input ends.
pub(in super::super) async fn be_one(url: &str, bench: &super::super::Args) -> Result<()> {
    let (client, _started) = quick(url).await?;
    let worker = serve(&client, &bench.fleet.member_of, bench.concurrency).await?;
    // An error is an end as well.
    let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
    worker.stop().await;
    Ok(())
}

/// A worker in a process of its own, from this binary. Killed if it is dropped.
pub(super) struct Member(Child);

impl Member {
    /// Starts so many, each for that many queues, and waits until all are at work.
    pub(super) async fn start(
        count: u32,
        served: usize,
        url: &str,
        client: &Client,
        bench: &super::super::Args,
    ) -> Result<Vec<Self>> {
        let alive = async || -> Result<usize> { Ok(client.workers().list().await?.iter().filter(|worker| worker.alive).count()) };
        let before = alive().await?;
        let mut members = Vec::new();
        for _ in 0..count {
            let queues = queues(served).join(",");
            let concurrency = bench.concurrency.to_string();
            let child = Command::new(std::env::current_exe().map_err(failed)?)
                .args(["--store", url, "bench", "--concurrency", &concurrency, "--member-of", &queues])
                .stdin(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .map_err(failed)?;
            members.push(Self(child));
        }
        let since = Instant::now();
        while alive().await? < before + members.len() {
            if since.elapsed() > PATIENCE {
                return Err(CliError::failed("a worker process does not start"));
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(members)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.0.id()
    }

    /// Stops it in order.
    pub(super) async fn stop(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        self.0.wait().await.map(drop).map_err(failed)
    }
}

fn failed(error: std::io::Error) -> CliError {
    CliError::failed(format!("a worker process failed: {error}"))
}
