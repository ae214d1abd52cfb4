//! Handlers that take many tasks in one call.

mod gathering;
mod one_by_one;

use std::time::Duration;

use gristmill::batch::Batch;
use gristmill::core::{Env, NewTask, Overrides, State};
use gristmill::options::Limits;
use gristmill::{App, Client, Error, Handle, Result, Task, task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::support::{Probe, within};

/// One entry; `how` says what becomes of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Task)]
#[task(
    name = "log.write",
    state = Probe,
    output = String,
    max_attempts = 2,
    backoff = fixed("1ms"),
    batch(size = 10, wait = "100ms")
)]
struct Write {
    how: String,
}

#[task(name = "log.index")]
async fn index(line: String) -> Result<()> {
    let _ = line;
    Ok(())
}

impl Write {
    async fn handle(cx: &Batch<Probe>, entries: Vec<Self>) -> Result<Vec<Result<String>>> {
        let all: Vec<_> = entries.iter().map(|entry| entry.how.as_str()).collect();
        cx.state.saw(format!("call {}", all.join(" ")));
        assert_eq!(cx.tasks().len(), entries.len());
        cx.state.pass().await;
        if all.contains(&"panics") && cx.tasks()[0].attempt() == 1 {
            panic!("in the middle");
        }
        if all.contains(&"breaks") && cx.tasks()[0].attempt() == 1 {
            return Err(Error::retry("the database is away"));
        }
        if all.contains(&"hangs") && cx.tasks()[0].attempt() == 1 {
            cx.cancellation().cancelled().await;
            cx.state.saw("asked to end");
        }
        let mut results = Vec::new();
        for (task, entry) in cx.tasks().iter().zip(&entries) {
            task.log(format!("wrote {}", entry.how));
            if entry.how.parse::<u32>().is_err() {
                task.enqueue(Index { line: entry.how.clone() }).await?;
            }
            results.push(match entry.how.as_str() {
                "fails" => Err(Error::fail("a bad one")),
                "retries" if task.attempt() == 1 => Err(Error::retry("not now")),
                "snoozes" if task.fencing_token() == 1 => Err(Error::snooze(Duration::from_millis(1))),
                "cancels" => Err(Error::cancel("nobody wants it")),
                "sleeps" => task.sleep(Duration::from_secs(1)).await.map(|()| "slept".to_owned()),
                "gone" => {
                    task.cancellation().cancelled().await;
                    Err(Error::retry("is gone"))
                }
                "done all the same" => {
                    task.cancellation().cancelled().await;
                    Ok("done".to_owned())
                }
                "is left out" => continue,
                how => Ok(format!("wrote {how}")),
            });
        }
        Ok(results)
    }
}

/// One of a tenant; calls have those of one alone.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Task)]
#[task(name = "log.tenant", state = Probe, output = String, batch(size = 10, wait = "100ms", key = "t:{tenant}"))]
struct OfTenant {
    tenant: Option<String>,
    n: u32,
}

impl OfTenant {
    async fn handle(cx: &Batch<Probe>, entries: Vec<Self>) -> Result<Vec<Result<String>>> {
        let tenants: Vec<_> = entries.iter().map(|entry| entry.tenant.clone().unwrap_or_default()).collect();
        cx.state.saw(format!("{}: {}", cx.key().unwrap_or("no key"), tenants.join(" ")));
        Ok(entries.into_iter().map(|entry| Ok(entry.n.to_string())).collect())
    }
}

#[task(name = "plain")]
async fn plain(cx: &gristmill::Context<Probe>, n: u32) -> Result<()> {
    cx.state.saw(format!("plain {n}"));
    cx.state.pass().await;
    Ok(())
}

fn app(probe: &Probe) -> App<Probe> {
    App::new(probe.clone()).register_batch::<Write>().register_batch::<OfTenant>().register::<Index>().register::<Plain>()
}

async fn write(client: &Client, all: &[&str]) -> Vec<Handle<String>> {
    let outcomes = client.enqueue_many(all.iter().map(|how| Write { how: (*how).to_owned() })).await;
    outcomes.into_iter().map(|outcome| outcome.unwrap()).collect()
}

/// The state, the number of attempts, and the error or result.
async fn end<T: serde::de::DeserializeOwned + 'static>(handle: &Handle<T>) -> (State, usize, String) {
    let record = within(handle.ended()).await.unwrap();
    let said = record.error.map(|error| error.message).or(record.result).unwrap_or_default();
    (record.state, record.attempts.len(), said)
}

fn calls(probe: &Probe) -> Vec<String> {
    probe.seen().iter().filter_map(|seen| seen.strip_prefix("call ").map(str::to_owned)).collect()
}

/// A task whose arguments nobody has checked.
fn unchecked(client: &Client, kind: &str, args: &str) -> NewTask {
    let over = Overrides { queue: Some("default".to_owned()), ..Overrides::default() };
    let policy = Write::policy();
    let _ = client;
    NewTask::resolve(kind, &policy, args.to_owned(), over, Env::system().task_id(), &Limits::default()).unwrap()
}
