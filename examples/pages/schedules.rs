//! Of `docs/schedules.md`.

use std::time::Duration;

use gristmill::{Client, Result, Timestamp, task};
use sqlx::PgPool;

#[task(name = "report.build")]
async fn build_report(of: String) -> Result<()> {
    Ok(())
}

#[task(name = "mail.fetch")]
async fn fetch_mail() -> Result<()> {
    Ok(())
}

#[task(name = "election.close")]
async fn close_election(id: u32) -> Result<()> {
    Ok(())
}

fn rules() -> Result<(), Box<dyn std::error::Error>> {
    use gristmill::schedule::{Rule, Timing};

    let timing = Timing::new(Rule::cron("30 2 * * *")).tz("Europe/Rome");
    let plan = timing.plan()?; // checks all of it
    for tick in plan.preview("2027-03-27T12:00:00Z".parse()?, 10) {
        println!("{}  {}  {}", tick.utc, tick.local, tick.remark.unwrap_or_default());
    }
    Ok(())
}

async fn in_code() -> Result<()> {
    use gristmill::App;
    use gristmill::beat::{Definition, Overlap};

    let tokyo = Definition::cron("0 3 * * *", BuildReport { of: "Tokyo".into() }).tz("Asia/Tokyo").overlap(Overlap::Allow);
    let client = App::new(())
        .register::<BuildReport>()
        .register::<FetchMail>()
        .tz("Europe/Rome")
        .cron("0 3 * * *", BuildReport { of: "Rome".into() }) // named after its task type, "report.build"
        .every(Duration::from_secs(300), FetchMail {})
        .schedule("report-tokyo", tokyo)
        .connect("sqlite:app.db")
        .await?;
    Ok(())
}

async fn at_run_time(client: &Client, pool: &PgPool, closes_at: Timestamp, later: Timestamp) -> Result<()> {
    let mut tx = pool.begin().await?;

    use gristmill::beat::Definition;

    client.schedules().put("election:7:close", Definition::on(closes_at, CloseElection { id: 7 })).within(&mut *tx).await?;
    let moved = client.schedules().reschedule("election:7:close", later).within(&mut *tx).await?; // says what happened

    tx.commit().await?;
    Ok(())
}
