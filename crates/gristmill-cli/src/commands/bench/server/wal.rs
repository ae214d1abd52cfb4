use gristmill::Client;
use gristmill::postgres::raw::Server;

use super::super::Args;
use super::super::measure::{Result, bulk, drain, median};

/// Bytes of write-ahead log for each task.
pub(super) struct Wal {
    pub(super) enqueue_bytes: f64,
    pub(super) run_bytes: f64,
    pub(super) full_page_writes: String,
}

/// Whatever else the server does meanwhile is counted as well.
pub(super) async fn measure(client: &Client, url: &str, bench: &Args) -> Result<Wal> {
    let server = Server::connect(url).await?;
    let mut full_page_writes = server.setting("full_page_writes").await?;
    let (mut enqueue, mut run) = (Vec::new(), Vec::new());
    for _ in 0..bench.repeat {
        if !server.checkpoint().await? {
            full_page_writes = format!("{full_page_writes}, no checkpoint before, as the role may not");
        }
        let before = server.wal_bytes().await?;
        bulk(client, bench).await?;
        let between = server.wal_bytes().await?;
        drain(client, bench).await?;
        let after = server.wal_bytes().await?;
        enqueue.push((between - before) as f64 / bench.tasks as f64);
        run.push((after - between) as f64 / bench.tasks as f64);
    }
    Ok(Wal { enqueue_bytes: median(enqueue), run_bytes: median(run), full_page_writes })
}
