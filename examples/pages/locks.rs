//! Of `docs/locks.md`.

use std::time::Duration;

use gristmill::{Client, Context, Result, task};

async fn count_votes(area: u32) -> Result<u32> {
    Ok(area)
}

async fn publish(area: u32, count: u32, token: u64) -> Result<()> {
    Ok(())
}

#[task(name = "tally")]
async fn tally(cx: &Context, area: u32) -> Result<()> {
    let lock = cx.lock(format!("tally:{area}")).await?; // waits until it is this attempt's
    let count = count_votes(area).await?;
    publish(area, count, lock.token()).await // refuses a token smaller than the last
}

async fn ways(cx: &Context) -> Result<()> {
    let lock = cx.lock("report").await?; // waits as long as the attempt may
    let lock = cx.lock("report").wait(Duration::from_secs(5)).await?; // so long, then the attempt has failed
    let lock = cx.lock("report").or_snooze(Duration::from_secs(30)).await?; // not at all: run again in 30 s, at no cost
    let lock = cx.lock("report").wait(Duration::from_secs(5)).or_snooze(Duration::from_secs(30)).await?;
    let lock = cx.lock("report").now().await?; // Some, or None if somebody has it
    Ok(())
}

async fn early(cx: &Context) -> Result<()> {
    let lock = cx.lock("import").await?;
    // ...
    lock.release().await?; // else it is held until the attempt has ended, whatever becomes of `lock`
    Ok(())
}

#[task(name = "sweep")]
fn sweep(cx: &Context) -> Result<()> {
    let lock = cx.block_on(cx.lock("sweep"))?;
    Ok(())
}

async fn who(client: &Client) -> Result<()> {
    for lock in client.locks().list("tally:", None, 100).await? {
        println!("{} is held by {} since {}", lock.name, lock.task, lock.since);
    }
    Ok(())
}
