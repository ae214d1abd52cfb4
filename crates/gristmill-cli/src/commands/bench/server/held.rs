use gristmill::Client;
use gristmill::postgres::raw::Server;

use super::super::Args;
use super::super::measure::{Result, bulk, drain, median};

/// Drains undisturbed, and while an idle transaction with a snapshot keeps the server from removing dead rows; in turn. Tasks a
/// second of both.
pub(super) async fn measure(client: &Client, url: &str, bench: &Args) -> Result<(f64, f64)> {
    let server = Server::connect(url).await?;
    let (mut free, mut held) = (Vec::new(), Vec::new());
    for _ in 0..bench.repeat {
        bulk(client, bench).await?;
        free.push(bench.tasks as f64 / drain(client, bench).await?.as_secs_f64());
        server.hold().await?;
        bulk(client, bench).await?;
        held.push(bench.tasks as f64 / drain(client, bench).await?.as_secs_f64());
        server.release().await?;
    }
    Ok((median(free), median(held)))
}
