//! Four provisionings of one OpenStack at once, in all workers together: a hundred wait, some fail and are tried again, and a worker is killed in
//! the middle of it. What it held is free as soon as it is taken for dead.

use std::collections::BTreeMap;
use std::process::{Command, exit};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gristmill::record::{Filter, State};
use gristmill::{App, Context, Error, Result, task};

const LIMIT: usize = 4;

/// How many run here of each OpenStack, and the most that ever did.
#[derive(Clone, Default)]
struct Running(Arc<Mutex<BTreeMap<u64, (usize, usize)>>>);

impl Running {
    fn change(&self, settings: u64, change: impl FnOnce(&mut (usize, usize))) {
        let mut running = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(running.entry(settings).or_default());
    }
}

#[task(name = "provision", concurrency = limit(4, key = "openstack:{settings}"), backoff = fixed("10ms"))]
async fn provision(cx: &Context<Running>, settings: u64, instance: u32) -> Result<String> {
    if is_doomed() {
        println!("this worker dies of instance {instance}");
        exit(9);
    }
    cx.state.change(settings, |(now, most)| {
        *now += 1;
        *most = (*most).max(*now);
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
    cx.state.change(settings, |(now, _)| *now -= 1);
    if instance.is_multiple_of(10) && cx.attempt() == 1 {
        return Err(Error::retry("no host is free"));
    }
    Ok(format!("instance {instance} of {settings}"))
}

/// Whether this process is the worker that is killed.
fn is_doomed() -> bool {
    std::env::args().any(|arg| arg == "doomed")
}

#[tokio::main]
async fn main() -> Result<()> {
    let running = Running::default();
    let client = App::new(running.clone()).register::<Provision>().connect("sqlite:provisioning.db").await?;
    if is_doomed() {
        client.worker().queue("default", 8).lease(Duration::from_secs(1)).start().await?.ended().await;
        return Ok(());
    }

    let tasks = (0..104).map(|instance| Provision { settings: u64::from(instance % 2), instance });
    for task in tasks {
        client.enqueue(task).await?;
    }
    for limit in client.limits().list("openstack:", None).await? {
        println!("{}: {} of {} may run, {} wait", limit.key, limit.used, limit.limit, limit.waiting);
        assert_eq!((limit.used, limit.waiting), (4, 48));
    }
    // It takes all eight that may run with it.
    let doomed = Command::new(std::env::current_exe()?).arg("doomed").status()?;
    println!("a worker has ended: {doomed}");

    let worker = client.worker().queue("default", 20).drain(true).start().await?;
    println!("{}", worker.ended().await);
    let most: Vec<_> = running.0.lock().map(|running| running.values().map(|(_, most)| *most).collect()).unwrap_or_default();
    assert_eq!(most, [LIMIT, LIMIT], "all slots were used, and no more");
    let all = client.tasks().list(&Filter::default(), None, 1_000).await?.items;
    assert!(all.len() == 104 && all.iter().all(|task| task.state == State::Succeeded), "all of them run in the end");
    assert!(client.limits().list("", None).await?.is_empty(), "nobody holds anything any more");
    Ok(())
}
