//! Of `docs/batches.md`.

use gristmill::batch::Batch;
use gristmill::{App, Error, Result, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

struct Db;

impl Db {
    async fn insert(&self, rows: &[WriteLog]) -> std::io::Result<()> {
        Ok(())
    }
}

type Logs = std::sync::Arc<Db>;

#[derive(Serialize, Deserialize, JsonSchema, Task)]
#[task(name = "log.write", state = Logs, output = u64, batch(size = 1000, wait = "200ms"))]
struct WriteLog {
    tenant: String,
    line: String,
}

impl WriteLog {
    async fn handle(cx: &Batch<Logs>, entries: Vec<Self>) -> Result<Vec<Result<u64>>> {
        cx.state.insert(&entries).await?; // `?`: an error of all of them
        let result = |entry: &Self| match entry.line.len() {
            0 => Err(Error::fail("no text")), // of this one alone
            bytes => Ok(bytes as u64),
        };
        Ok(entries.iter().map(result).collect()) // one for each, in their order
    }
}

fn registered(db: Logs) {
    let app = App::new(db).register_batch::<WriteLog>();
}
