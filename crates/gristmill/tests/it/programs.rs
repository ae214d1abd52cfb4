//! Schedules that a program defines in its code: what they become, and what is refused before anything is written.

use std::time::Duration;

use gristmill::app::ConnectError;
use gristmill::beat::{Definition, ScheduleError};
use gristmill::core::{Env, Schedules, Store};
use gristmill::schedule::{Rule, RuleError};
use gristmill::testing::{Harness, MemoryStore, assert_scheduled};
use gristmill::{App, Result, task};
use serde_json::json;

const DAY: Duration = Duration::from_secs(86_400);

#[task(name = "report")]
async fn report(of: String) -> Result<String> {
    Ok(of)
}

#[task(name = "fetch")]
async fn fetch() -> Result<()> {
    Ok(())
}

fn today() -> Report {
    Report { of: "today".into() }
}

fn app() -> App<()> {
    App::new(()).register::<Report>().register::<Fetch>()
}

#[tokio::test]
async fn a_program_says_its_schedules_by_their_tasks() {
    let tokyo = Definition::cron("0 3 * * *", Report { of: "Tokyo".into() }).tz("Asia/Tokyo");
    let app = app().cron("0 3 * * *", today()).every(DAY, Fetch {}).schedule("tokyo", tokyo).tz("Europe/Rome");
    let test = Harness::new(app).await.unwrap();
    let start = test.now();
    assert_eq!(test.beat_until(start.saturating_add(DAY)).await.unwrap(), 3);
    assert_scheduled!(test, "report", at "2027-01-02T03:00:00+01:00");
    assert_scheduled!(test, "tokyo", at "2027-01-03T03:00:00+09:00");
    assert_scheduled!(test, "fetch", at "2027-01-03T00:00:00Z");
    let record = test.client().schedules().get("report").await.unwrap().unwrap();
    assert_eq!(record.rule, "at 03:00 every day, Europe/Rome");
    let ticks = test.client().schedules().history("tokyo", None, 10).await.unwrap().items;
    let task = test.client().handle_of::<Report>(ticks[0].task.unwrap());
    assert_eq!(task.result().await.unwrap(), "Tokyo");
}

async fn refused(app: App<()>) -> ConnectError {
    let store = MemoryStore::new(Env::system());
    let client = app.with_store(store.clone()).await;
    assert!(store.kinds().await.unwrap().is_empty() && store.schedules(None, None, 10).await.unwrap().is_empty());
    client.unwrap_err()
}

#[tokio::test]
async fn what_can_not_be_is_refused_before_anything_is_written() {
    use ConnectError::Schedule;
    let error = refused(app().cron("0 24 * * *", today())).await;
    assert!(matches!(&error, Schedule(ScheduleError::Rule { name, .. }) if name == "report"), "{error}");
    let error = refused(app().every(Duration::from_millis(1), Fetch {})).await;
    assert!(matches!(&error, Schedule(ScheduleError::Rule { .. })), "{error}");
    let error = refused(app().tz("Europe/Rom").every(DAY, Fetch {})).await;
    let Schedule(ScheduleError::Rule { error: RuleError::UnknownZone { near, .. }, .. }) = error else { panic!("{error}") };
    assert_eq!(near, ["Europe/Rome"]);
    let error = refused(app().tz("Europe/Rome").tz("Asia/Tokyo").every(DAY, Fetch {})).await;
    assert!(error.to_string().contains("`Europe/Rome` and `Asia/Tokyo`"), "{error}");
    let error = refused(app().cron("@daily", today()).every(DAY, today())).await;
    assert!(error.to_string().contains("`report`") && error.to_string().contains("twice"), "{error}");
    let error = refused(App::new(()).register::<Fetch>().cron("@daily", today())).await;
    assert!(matches!(&error, ConnectError::Register(error) if error.name == "report"), "{error}");
    assert!(error.to_string().contains("`App::declare`"), "{error}");
    let wrong = Definition::named(Rule::cron("@daily"), "report", json!({ "of": 7 }));
    let error = refused(app().schedule("wrong", wrong)).await;
    assert!(error.to_string().contains("args/of"), "{error}");
    let wrong = Definition::named(Rule::cron("@daily"), "report", json!([7]));
    let error = refused(app().schedule("wrong", wrong)).await;
    assert!(error.to_string().contains("not a JSON object"), "{error}");

    // What another program may run is for the beat to look up, and what it does not run, for this one.
    let elsewhere = Definition::named(Rule::cron("@daily"), "elsewhere", json!({}));
    app().schedule("elsewhere", elsewhere).with_store(MemoryStore::new(Env::system())).await.unwrap();
    App::new(()).declare::<Report>().cron("@daily", today()).with_store(MemoryStore::new(Env::system())).await.unwrap();
}
