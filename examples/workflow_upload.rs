//! A workflow: each uploaded report is processed by a task of its own, one task merges what they found, exactly once and whatever was
//! retried, and whoever waits for it is told. One report can't be read, which is tolerated, and one takes its worker down with it.

use std::ops::RangeInclusive;
use std::process::Command;
use std::time::Duration;

use gristmill::schemars::JsonSchema;
use gristmill::workflow::{Failed, WorkflowHandle};
use gristmill::{App, Client, Context, Error, Result, task};
use serde::{Deserialize, Serialize};

/// What a processor found in one upload.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "gristmill::schemars")]
struct Part {
    lines: u32,
    hits: u32,
}

#[task(name = "upload.process", queue = "processing", max_attempts = 3, backoff = fixed("10ms"))]
async fn process(cx: &Context, upload: u32) -> Result<Part> {
    if upload == 4 {
        return Err(Error::fail("the report is no XML")); // no other attempt would read it
    }
    if cx.attempt() == 1 && upload == 2 {
        return Err(Error::retry("the storage is slow today")); // another attempt
    }
    if upload == 3 && is_doomed() {
        std::process::abort(); // as if it had run out of memory; another worker takes it over
    }
    Ok(Part { lines: 100, hits: 20 * upload })
}

/// The finisher: it runs once, with what each processor found, in the order of the uploads.
#[task(name = "upload.merge")]
async fn merge(commit: String, parts: Vec<Option<Part>>) -> Result<Summary> {
    let found: Vec<_> = parts.iter().flatten().collect();
    let (lines, hits) = found.iter().fold((0, 0), |(lines, hits), part| (lines + part.lines, hits + part.hits));
    println!("{commit}: {} of {} reports are merged", found.len(), parts.len());
    Ok(Summary { coverage: f64::from(hits) / f64::from(lines.max(1)) })
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "gristmill::schemars")]
struct Summary {
    coverage: f64,
}

#[task(name = "upload.notify")]
async fn notify(commit: String, coverage: f64) -> Result<String> {
    Ok(format!("{commit} is covered to {:.0} %", coverage * 100.0))
}

#[task(name = "upload.flag")]
async fn flag(commit: String, failed: Failed) -> Result<()> {
    println!("{commit} failed: {failed}");
    Ok(())
}

async fn upload(client: &Client, commit: &str, uploads: RangeInclusive<u32>) -> Result<WorkflowHandle<String>> {
    // Another upload of the same commit, as long as this one goes on, is this one.
    let mut w = client.workflow("upload").key(format!("upload:{commit}"));
    let parts = w.each("process", uploads.map(|upload| Process { upload })).may_fail_percent(40);
    let merged = w.step("merge", Merge::with(commit, parts.outcomes()));
    w.step("notify", Notify::with(commit, merged.at("/coverage")));
    w.on_failure("flag", Flag::with(commit, w.failure()));
    Ok(w.start().await?.typed())
}

/// Whether this process is the worker that is killed.
fn is_doomed() -> bool {
    std::env::args().any(|arg| arg == "doomed")
}

#[tokio::main]
async fn main() -> Result<()> {
    let app = App::new(()).register::<Process>().register::<Merge>().register::<Notify>().register::<Flag>();
    let client = app.connect("sqlite:workflow_upload.db").await?;
    if is_doomed() {
        client.worker().queue("processing", 1).lease(Duration::from_secs(1)).start().await?.ended().await;
        return Ok(());
    }

    // The fourth can't be read, and a worker of its own process dies of the third.
    let run = upload(&client, "9f2c", 1..=4).await?;
    let doomed = Command::new(std::env::current_exe()?).arg("doomed").status()?;
    println!("a worker has ended: {doomed}");
    let worker = client.worker().queue("processing", 4).queue("default", 2).start().await?;
    println!("{}", run.result().await?);

    // And here it is all there is: nothing is merged, and the failure is told.
    let failed = upload(&client, "b1d7", 4..=4).await?.result().await;
    println!("{}", failed.expect_err("one of one is more than tolerated"));
    println!("{}", worker.stop().await);
    Ok(())
}
