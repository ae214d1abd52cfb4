//! One mail for many changes: each change of a document puts off the notification of its readers a little, but not for ever, and it tells of the last
//! change only.

use std::time::Duration;

use gristmill::record::{Filter, State};
use gristmill::{App, Result, task};

#[task(name = "notify", debounce(key = "document:{document}", wait = "400ms", max_wait = "5s"))]
async fn notify(document: u32, version: u32) -> Result<String> {
    Ok(format!("document {document} is at version {version}"))
}

#[tokio::main]
async fn main() -> Result<()> {
    let client = App::new(()).register::<Notify>().connect("sqlite:notifications.db").await?;
    let mut ids = Vec::new();
    for version in 1..=20 {
        for document in [1, 2] {
            ids.push(client.enqueue(Notify { document, version }).await?.id());
        }
    }
    ids.sort_unstable();
    ids.dedup();
    println!("40 changes, {} notifications", ids.len());

    let worker = client.worker().queue("default", 4).start().await?;
    for id in ids {
        println!("{}", client.handle_of::<Notify>(id).result_within(Duration::from_secs(30)).await?);
    }
    worker.stop().await;
    let sent = client.tasks().list(&Filter { states: vec![State::Succeeded], ..Filter::default() }, None, 1_000).await?.items;
    let last = |document: u32| sent.iter().any(|task| task.args.contains(&format!("\"document\":{document},\"version\":20")));
    assert!(last(1) && last(2), "the last change counts");
    Ok(())
}
