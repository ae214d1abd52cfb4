//! Schedules: in the program's code, and at run time.

use std::time::Duration;

use gristmill::beat::Definition;
use gristmill::{App, Context, Result, Timestamp, task};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

type Built = UnboundedSender<String>;

#[task(name = "report.build")]
async fn build_report(cx: &Context<Built>, of: String) -> Result<()> {
    cx.state.send(of)?;
    Ok(())
}

#[task(name = "election.close")]
async fn close_election(id: u32) -> Result<u32> {
    Ok(id)
}

#[tokio::main]
async fn main() -> Result<()> {
    let (built, mut seen) = unbounded_channel();
    let client = App::new(built)
        .register::<BuildReport>()
        .register::<CloseElection>()
        .tz("Europe/Rome")
        .cron("0 3 * * *", BuildReport { of: "the day".into() })
        // A second one of a type has a name of its own, and may have a zone of its own.
        .schedule("report-tokyo", Definition::cron("0 3 * * *", BuildReport { of: "Tokyo".into() }).tz("Asia/Tokyo"))
        .connect("sqlite:schedules.db")
        .await?;
    let worker = client.worker().queue("default", 2).start().await?; // runs a beat, too, which writes the program's schedules

    for tick in client.schedules().next("report.build", 3).await? {
        println!("{} = {}", tick.local, tick.utc);
    }
    // Again and again, made while all runs; it stays until somebody deletes it.
    let each_second = Definition::every(Duration::from_secs(1), BuildReport { of: "the second".into() });
    client.schedules().put("report-second", each_second).await?;
    println!("a report of {:?}", seen.recv().await);
    client.schedules().delete("report-second").await?;

    // Once, under a name by which it can be moved or called off.
    let closes_at: Timestamp = "2100-01-01T18:00:00Z".parse().expect("a time in RFC 3339");
    client.schedules().put("election:7:close", Definition::on(closes_at, CloseElection { id: 7 })).await?;
    println!("{:?}", client.schedules().delete("election:7:close").await?);

    worker.stop().await;
    Ok(())
}
