//! A log writer that takes a thousand events at once: one round trip for all of them, a bad event fails alone, and each tenant's events are written
//! apart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gristmill::batch::Batch;
use gristmill::record::{Filter, State};
use gristmill::{App, Error, Result, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stands for a database.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Written>>);

/// The lines of each tenant, and how often it was asked to write.
#[derive(Clone, Default)]
struct Written {
    lines: BTreeMap<String, Vec<String>>,
    calls: usize,
}

impl Logs {
    /// One statement, however many lines there are.
    fn insert(&self, tenant: &str, lines: Vec<String>) {
        let mut written = self.0.lock().expect("nothing panics here");
        written.lines.entry(tenant.to_owned()).or_default().extend(lines);
        written.calls += 1;
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Task)]
#[task(name = "log.write", state = Logs, output = usize, quiet, batch(size = 1000, wait = "200ms", key = "{tenant}"))]
struct WriteLog {
    tenant: String,
    line: String,
}

impl WriteLog {
    async fn handle(cx: &Batch<Logs>, events: Vec<Self>) -> Result<Vec<Result<usize>>> {
        let tenant = cx.key().unwrap_or_default();
        // The outcome of each, in their order.
        let results = events.iter().map(|event| match event.line.as_str() {
            "" => Err(Error::fail("an event without text")),
            line => Ok(line.len()),
        });
        let results: Vec<_> = results.collect();
        cx.state.insert(tenant, events.into_iter().map(|event| event.line).filter(|line| !line.is_empty()).collect());
        Ok(results)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let logs = Logs::default();
    let client = App::new(logs.clone()).register_batch::<WriteLog>().connect("sqlite:micro_batches.db").await?;

    let event = |n: usize| WriteLog {
        tenant: if n.is_multiple_of(5) { "small" } else { "large" }.to_owned(),
        line: if n % 1000 == 7 { String::new() } else { format!("event {n}") },
    };
    for outcome in client.enqueue_many((0..5_000).map(event)).await {
        outcome?;
    }
    let report = client.worker().queue("default", 2).drain(true).start().await?.ended().await;
    println!("{report}");
    assert_eq!((report.succeeded, report.failed), (4_995, 5));

    let Written { lines: written, calls } = logs.0.lock().expect("nothing panics here").clone();
    for (tenant, lines) in &written {
        println!("{tenant}: {} lines", lines.len());
    }
    println!("5000 events in {calls} calls");
    assert_eq!((written["small"].len(), written["large"].len()), (1_000, 3_995));
    assert!(calls <= 20, "many at once: {calls}");

    // Each event is a task of its own: the bad ones are found, and nothing else was held up by them.
    let failed = Filter { states: vec![State::Failed], ..Filter::default() };
    for task in client.tasks().list(&failed, None, 100).await?.items {
        println!("{} failed: {}", task.id, task.error.map(|error| error.message).unwrap_or_default());
    }
    Ok(())
}
