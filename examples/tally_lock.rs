//! One count of an area at a time, of however many workers: a lock by name, which goes on to the next when its holder's process is
//! killed, and whose token keeps a late holder from what the lock protects.
//!
//! The program starts itself once more as a worker, and kills that in the middle of its count.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use gristmill::{App, Client, Context, Error, Result, task};

/// The published counts, a line each: the token of the lock, and who had it.
const LEDGER: &str = "tally.txt";

#[task(name = "tally", max_crashes = 3)]
async fn tally(cx: &Context, area: u32) -> Result<u64> {
    // Held until this attempt has ended; the worker's heartbeat sees to that.
    let lock = cx.lock(format!("tally:{area}")).await?;
    let counting = if std::env::args().nth(1).is_some() { Duration::from_secs(60) } else { Duration::from_millis(20) };
    tokio::time::sleep(counting).await;
    publish(lock.token())?;
    Ok(lock.token())
}

/// What takes the count refuses a holder who is late.
fn publish(token: u64) -> Result<()> {
    let last = published()?.last().copied().unwrap_or_default();
    if token < last {
        return Err(Error::fail(format!("{token} is older than {last}")));
    }
    let mut ledger = std::fs::read_to_string(LEDGER).unwrap_or_default();
    ledger.push_str(&format!("{token} {}\n", std::process::id()));
    Ok(std::fs::write(LEDGER, ledger)?)
}

fn published() -> Result<Vec<u64>> {
    if !Path::new(LEDGER).exists() {
        return Ok(Vec::new());
    }
    let token = |line: &str| line.split(' ').next().unwrap_or_default().parse().map_err(Error::fail);
    std::fs::read_to_string(LEDGER)?.lines().map(token).collect()
}

async fn connect() -> Result<Client> {
    Ok(App::new(()).register::<Tally>().connect("sqlite:tally_lock.db").await?)
}

#[tokio::main]
async fn main() -> Result<()> {
    let client = connect().await?;
    let worker = client.worker().queue("default", 4).lease(Duration::from_millis(500));
    if std::env::args().nth(1).is_some() {
        worker.start().await?.ended().await;
        return Ok(());
    }

    let _ = std::fs::remove_file(LEDGER);
    let mut counts = Vec::new();
    for _ in 0..3 {
        counts.push(client.enqueue(Tally { area: 42 }).await?);
    }
    let mut other = Command::new(std::env::current_exe()?).arg("worker").stdout(Stdio::null()).spawn()?;
    let held = loop {
        match client.locks().list("tally:", None, 10).await?.pop() {
            Some(held) => break held,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    println!("{} is held by the task {} on {}", held.name, held.task, held.worker.as_deref().unwrap_or("?"));
    other.kill()?;
    other.wait()?;

    let worker = worker.start().await?;
    let mut tokens = Vec::new();
    for count in counts {
        tokens.push(count.result().await.map_err(Error::fail)?);
    }
    worker.stop().await;
    tokens.sort_unstable();
    println!("then counted with {tokens:?}");
    assert!(tokens.iter().all(|token| *token > held.token), "{tokens:?} follow {}", held.token);
    assert_eq!(published()?, tokens, "one after the other, and each once");
    assert!(client.locks().list("", None, 10).await?.is_empty());
    Ok(())
}
