//! Beats: what is stored becomes tasks, once; and what people do to schedules meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gristmill::app::{ConnectError, Handler, HandlerFuture};
use gristmill::beat::{Definition, Deleted, Origin, Rescheduled, ScheduleError, ScheduleState, Scheduled, TICK_HEADER};
use gristmill::core::{Edit, Env, Filter, NewSchedule, Store, TickOutcome, TickRecord, VirtualTime};
use gristmill::options::{KindSpec, Policy};
use gristmill::record::State;
use gristmill::schedule::{Rule, RuleError, Timing};
use gristmill::testing::MemoryStore;
use gristmill::{App, Client, Context, Result, Timestamp, task};
use serde_json::json;

use crate::support::{in_memory, on_file, within};

const SECOND: Duration = Duration::from_secs(1);

#[task(name = "report")]
async fn report(year: u32) -> Result<u32> {
    Ok(year)
}

#[task(name = "stamp")]
async fn stamp(tick: String) -> Result<String> {
    Ok(tick)
}

fn app() -> App<()> {
    App::new(()).program("test").register::<Report>().register::<Stamp>()
}

fn every(distance: Duration) -> Definition {
    Definition::every(distance, Report { year: 2027 })
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// On a clock that stands at 2027-01-01.
async fn standing(app: App<()>) -> (Client, VirtualTime) {
    let (env, time) = Env::virtual_time(at("2027-01-01T00:00:00Z"), 1);
    let store: Arc<dyn Store> = MemoryStore::new(env.clone());
    (app.env(env).with_store(store).await.unwrap(), time)
}

/// A store that answers a while is not waited for: the beats look again within a second.
async fn until<T>(mut found: impl AsyncFnMut() -> Option<T>) -> T {
    within(async {
        loop {
            if let Some(found) = found().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

async fn history(client: &Client, name: &str) -> Vec<TickRecord> {
    let mut ticks = client.schedules().history(name, None, 1_000).await.unwrap().items;
    ticks.reverse();
    ticks
}

async fn tasks(client: &Client) -> Vec<gristmill::record::TaskRecord> {
    client.tasks().list(&Filter::default(), None, 1_000).await.unwrap().items
}

/// As somebody with a newer version, or with an editor, wrote it.
async fn write_raw(client: &Client, name: &str, body: &str, memory: &str) {
    let (body, memory) = (body.to_owned(), memory.to_owned());
    let edit = move |_: &str, _: Option<&_>, now| {
        Ok(Edit::Put(NewSchedule { owner: None, body: body.clone(), due_at: Some(now), memory: memory.clone() }))
    };
    client.store().edit_schedules(&[name.to_owned()], &(Arc::new(edit) as _)).await.unwrap();
}

async fn each_tick_is_one_task(client: Client) {
    let names: Vec<_> = (0..20).map(|n| format!("each-{n}")).collect();
    for name in &names {
        let became = client.schedules().put(name, every(SECOND).overlap(gristmill::beat::Overlap::Allow)).await.unwrap();
        assert_eq!(became, Scheduled::Created);
    }
    let beats = [client.beat().await.unwrap(), client.beat().await.unwrap(), client.beat().await.unwrap()];
    until(async || (history(&client, "each-7").await.len() >= 4).then_some(())).await;
    for beat in beats {
        beat.stop().await;
    }
    let mut made: HashMap<(String, String), u32> = HashMap::new();
    for task in tasks(&client).await {
        let header = |name: &str| task.meta.headers[name].clone();
        *made.entry((header("schedule"), header(TICK_HEADER))).or_default() += 1;
    }
    for name in &names {
        let ticks = history(&client, name).await;
        for (one, next) in ticks.iter().zip(&ticks[1..]) {
            assert_eq!(next.at.since(one.at), SECOND, "{name}: none is left out");
        }
        for tick in &ticks {
            assert_eq!(made.remove(&(name.clone(), tick.at.to_string())), Some(1), "{name} at {}", tick.at);
        }
    }
    assert!(made.is_empty(), "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_beats_make_each_tick_one_task_in_memory() {
    each_tick_is_one_task(in_memory(app()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_beats_make_each_tick_one_task_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    each_tick_is_one_task(on_file(app(), &folder).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_read_is_set_aside_and_the_others_go_on() {
    let client = in_memory(app()).await;
    let body = serde_json::to_string(&every(SECOND)).unwrap();
    write_raw(&client, "bad-body", "{", "{}").await;
    write_raw(&client, "bad-rule", r#"{"rule":{"kind":"moon"},"task":"report"}"#, "{}").await;
    write_raw(&client, "bad-zone", r#"{"rule":{"kind":"cron","expr":"* * * * *"},"timezone":"Mars","task":"report"}"#, "{}")
        .await;
    write_raw(&client, "bad-memory", &body, r#"{"after":"yesterday"}"#).await;
    client.schedules().put("good", every(SECOND)).await.unwrap();
    let beat = client.beat().await.unwrap();
    until(async || history(&client, "good").await.pop()).await;
    for (name, says) in [("bad-body", "definition"), ("bad-rule", "moon"), ("bad-zone", "Mars"), ("bad-memory", "remembered")] {
        let record = client.schedules().get(name).await.unwrap().unwrap();
        assert_eq!((record.state, record.next), (ScheduleState::SetAside, None), "{name}");
        assert!(record.why.as_ref().is_some_and(|why| why.contains(says)), "{name}: {record:?}");
    }
    let refused = client.schedules().pause("bad-zone").await;
    assert!(matches!(refused, Err(ScheduleError::Unreadable { .. })), "{refused:?}");
    for name in ["bad-body", "bad-memory"] {
        assert_eq!(client.schedules().put(name, every(SECOND)).await.unwrap(), Scheduled::Changed);
        until(async || history(&client, name).await.pop()).await;
    }
    beat.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_version_can_read_goes_on_by_itself() {
    let client = in_memory(app()).await;
    write_raw(&client, "new", r#"{"rule":{"kind":"moon"},"task":"report"}"#, "{}").await;
    let beat = client.beat().await.unwrap();
    let aside = until(async || {
        let schedule = client.store().schedule("new").await.unwrap().unwrap();
        schedule.memory.contains("set aside").then_some(schedule)
    })
    .await;
    let now = client.store().due_schedules(1).await.unwrap().now;
    assert!(aside.due_at.is_some_and(|at| at > now), "it is looked at again, and not at once: {aside:?}");
    // As the version that knows the moon would find it a minute later.
    write_raw(&client, "new", &serde_json::to_string(&every(SECOND)).unwrap(), &aside.memory).await;
    until(async || history(&client, "new").await.pop()).await;
    assert_eq!(client.schedules().get("new").await.unwrap().unwrap().state, ScheduleState::Active);
    beat.stop().await;
}

struct Never;

impl Handler for Never {
    fn run<'a>(&'a self, _: &'a Context, _: &'a str) -> HandlerFuture<'a> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn arguments_of_a_newer_version_of_a_task_type_make_its_ticks_tasks() {
    let store: Arc<dyn Store> = MemoryStore::new(Env::system());
    let old = app().with_store(store.clone()).await.unwrap();
    let schema = json!({"type": "object", "properties": {"month": {"type": "string"}}, "required": ["month"]});
    let kind = KindSpec { name: "report".to_owned(), schema, fields: Vec::new(), policy: Policy::default() };
    let new = App::new(()).program("new").register_handler(kind, Never).with_store(store).await.unwrap();
    let mut definition = every(SECOND);
    definition.args = json!({"month": "May"}).as_object().unwrap().clone();
    new.schedules().put("s", definition).await.unwrap();
    let task = old.schedules().run_now("s").await.unwrap();
    assert_eq!(old.tasks().get(task).await.unwrap().unwrap().args, r#"{"month":"May"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_gives_its_place_to_another_at_once() {
    let client = in_memory(app()).await;
    client.schedules().put("tick", every(SECOND)).await.unwrap();
    let first = client.beat().await.unwrap();
    until(async || history(&client, "tick").await.pop()).await;
    let second = client.beat().await.unwrap();
    first.stop().await;
    let before = history(&client, "tick").await.len();
    let now = until(async || Some(history(&client, "tick").await).filter(|ticks| ticks.len() >= before + 2)).await;
    assert!(now.iter().all(|tick| tick.lateness() < Duration::from_secs(10)), "{now:?}");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_live_in_a_beat_that_sleeps() {
    let client = in_memory(app()).await;
    client.schedules().put("later", every(Duration::from_secs(86_400))).await.unwrap();
    let beat = client.beat().await.unwrap();
    let now = client.store().due_schedules(1).await.unwrap().now;
    client.schedules().put("now", Definition::on(now, Stamp { tick: "by hand".to_owned() })).await.unwrap();
    let tick = until(async || history(&client, "now").await.pop()).await;
    assert_eq!((tick.at, tick.outcome), (now, TickOutcome::Enqueued));
    let Rescheduled::Moved { to, .. } = client.schedules().reschedule("later", Timing::new(Rule::every(SECOND))).await.unwrap()
    else {
        panic!("it is to be moved")
    };
    assert_eq!(until(async || history(&client, "later").await.into_iter().next()).await.at, to);
    beat.stop().await;
}

#[tokio::test]
async fn a_definition_is_written_once_and_a_pause_outlives_it() {
    let (client, time) = standing(app()).await;
    let book = client.schedules();
    assert_eq!(client.schedules().put("s", every(SECOND)).await.unwrap(), Scheduled::Created);
    time.advance(SECOND / 2);
    assert_eq!(
        client.schedules().put("s", every(SECOND)).await.unwrap(),
        Scheduled::Unchanged,
        "wherever its interval counts from"
    );
    let paused = book.pause("s").await.unwrap();
    assert_eq!((paused.state, paused.next), (ScheduleState::Paused, None));
    assert_eq!(client.schedules().put("s", every(SECOND * 5)).await.unwrap(), Scheduled::Changed);
    assert_eq!(book.get("s").await.unwrap().unwrap().state, ScheduleState::Paused);
    let id = book.run_now("s").await.unwrap();
    let other = book.run_now("s").await.unwrap();
    assert_eq!(client.tasks().get(id).await.unwrap().unwrap().state, State::Ready);
    let ticks = history(&client, "s").await;
    assert_eq!(
        ticks.iter().map(|tick| (tick.task, tick.outcome)).collect::<Vec<_>>(),
        [(Some(id), TickOutcome::Manual), (Some(other), TickOutcome::Manual)]
    );
    time.advance(SECOND * 60);
    let resumed = book.resume("s").await.unwrap();
    assert_eq!(
        (resumed.state, resumed.next),
        (ScheduleState::Active, Some(at("2027-01-01T00:01:05.500Z"))),
        "no tick is made up for"
    );
    assert!(matches!(book.create("s", every(SECOND)).await, Err(ScheduleError::Exists { .. })));
    assert!(matches!(book.pause("t").await, Err(ScheduleError::NotFound { .. })));
    assert_eq!(book.next("s", 2).await.unwrap()[1].utc, at("2027-01-01T00:01:10.500Z"));
    let removed = book.delete("s").await.unwrap();
    assert_eq!(removed, Deleted::Deleted { next: Some(at("2027-01-01T00:01:05.500Z")), last_task: None });
    assert_eq!(book.delete("s").await.unwrap(), Deleted::NotFound);
    assert_eq!(book.list(None, None, 10).await.unwrap().len(), 0);
}

#[tokio::test]
async fn bad_definitions_are_refused_with_what_is_wrong() {
    let (client, _) = standing(app()).await;
    let with = |change: fn(&mut Definition)| {
        let mut definition = every(SECOND);
        change(&mut definition);
        client.schedules().put("s", definition)
    };
    let says = |refused: std::result::Result<Scheduled, ScheduleError>| refused.unwrap_err().to_string();
    assert!(says(client.schedules().put("", every(SECOND)).await).contains("name"));
    assert!(says(with(|d| d.task = "reprot".to_owned()).await).contains("did you mean report?"));
    assert!(says(with(|d| d.args = json!({"year": "MMXXVII"}).as_object().unwrap().clone()).await).contains("args/year"));
    assert!(says(with(|d| d.args.clear()).await).contains("args/year: is missing"));
    assert!(says(with(|d| d.timing.rule = Rule::cron("61 * * * *")).await).contains("minute"));
    assert!(says(with(|d| d.timing.rule = Rule::every(Duration::ZERO)).await).contains("interval"));
    assert!(says(with(|d| d.timing.timezone = "Europe/Rom".to_owned()).await).contains("Europe/Rome"));
    assert!(says(with(|d| d.timing.end = Some(at("2026-01-01T00:00:00Z"))).await).contains("never ticks"));
    assert!(says(with(|d| d.options.priority = Some(10)).await).contains("priority"));
    assert!(says(with(|d| d.max_runs = Some(0)).await).contains("max_runs"));
    assert!(client.schedules().list(None, None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_schedule_of_another_program_is_checked_against_what_it_declared() {
    let env = Env::system();
    let store: Arc<dyn Store> = MemoryStore::new(env.clone());
    app().env(env.clone()).with_store(store.clone()).await.unwrap();
    let client = App::new(()).env(env).with_store(store).await.unwrap();
    client.schedules().put("s", every(SECOND)).await.unwrap();
    let mut bad = every(SECOND);
    bad.args.clear();
    assert!(matches!(client.schedules().put("t", bad).await, Err(ScheduleError::Invalid { .. })));
    assert!(client.schedules().run_now("s").await.is_ok());
}

#[tokio::test]
async fn a_one_off_is_moved_and_called_off_and_told_when_it_is_too_late() {
    let client = in_memory(app()).await;
    let book = client.schedules();
    let now = client.store().due_schedules(1).await.unwrap().now;
    let (soon, later) = (now.saturating_add(SECOND * 3_600), now.saturating_add(SECOND * 7_200));
    client.schedules().put("close", Definition::on(soon, Report { year: 7 })).await.unwrap();
    assert_eq!(book.reschedule("close", later).await.unwrap(), Rescheduled::Moved { from: Some(soon), to: later });
    assert_eq!(book.reschedule("close", later).await.unwrap(), Rescheduled::Unchanged);
    assert_eq!(book.reschedule("open", later).await.unwrap(), Rescheduled::NotFound);
    assert_eq!(book.reschedule("close", now).await.unwrap(), Rescheduled::Moved { from: Some(later), to: now });
    let beat = client.beat().await.unwrap();
    let tick = until(async || history(&client, "close").await.pop()).await;
    beat.stop().await;
    assert_eq!((tick.at, tick.outcome), (now, TickOutcome::Enqueued));
    let over = Rescheduled::Over { tick: Some(now), task: tick.task };
    assert_eq!(book.reschedule("close", later).await.unwrap(), over);
    assert_eq!(book.reschedule("close", now).await.unwrap(), over);
    assert_eq!(book.get("close").await.unwrap().unwrap().state, ScheduleState::Ended);
    assert_eq!(book.delete("close").await.unwrap(), Deleted::Deleted { next: None, last_task: tick.task });
}

#[tokio::test]
async fn an_instant_in_the_past_is_refused_for_what_has_a_bound() {
    let (client, _) = standing(app()).await;
    let past = Timing::new(Rule::every(SECOND)).end(at("2020-01-01T00:00:00Z"));
    let refused = client.schedules().put("s", Definition::of(past, Report { year: 1 })).await;
    assert!(matches!(refused, Err(ScheduleError::Rule { error: RuleError::NeverTicks { .. }, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_program_defines_its_schedules_at_each_start_and_operators_keep_theirs() {
    let env = Env::system();
    let store: Arc<dyn Store> = MemoryStore::new(env.clone());
    let start = async |app: App<()>| {
        let client = app.env(env.clone()).with_store(store.clone()).await.unwrap();
        client.beat().await.map(|beat| (client, beat.stopper().cancel())).map(|(client, ())| client)
    };
    let hourly = || every(SECOND * 3_600);
    let client = start(app().schedule("a", hourly()).schedule("b", hourly()).schedule("c", hourly())).await.unwrap();
    let book = client.schedules();
    let a = book.get("a").await.unwrap().unwrap();
    assert_eq!((a.owner.as_deref(), a.definition.unwrap().origin), (Some("test"), Origin::Code));
    book.pause("a").await.unwrap();
    client.schedules().put("b", hourly().max_runs(3)).await.unwrap();
    client.schedules().put("mine", hourly()).await.unwrap();
    let revision = book.get("a").await.unwrap().unwrap().revision;

    // The next version has no c, another b, and what an operator has.
    start(app().schedule("a", hourly()).schedule("b", hourly().max_runs(9)).schedule("mine", hourly().penalty(1))).await.unwrap();
    let get = async |name: &str| client.schedules().get(name).await.unwrap().unwrap();
    assert_eq!((get("a").await.state, get("a").await.revision), (ScheduleState::Paused, revision), "nothing was written");
    assert_eq!(get("b").await.definition.unwrap().max_runs, Some(3), "the operator's edit stays");
    assert_eq!((get("c").await.state, get("c").await.next), (ScheduleState::Withdrawn, None));
    assert_eq!((get("mine").await.owner, get("mine").await.definition.unwrap().penalty), (None, 0));

    // And the one after it has it again.
    start(app().schedule("c", hourly())).await.unwrap();
    assert_eq!(get("c").await.state, ScheduleState::Active);
    assert_eq!(get("b").await.state, ScheduleState::Withdrawn);

    let other = start(app().program("other").schedule("c", hourly())).await;
    assert!(matches!(&other, Err(ScheduleError::Owned { owner, .. }) if owner == "test"), "{other:?}");
    let taken = start(app().program("other").schedule("a", hourly())).await;
    assert!(taken.is_ok(), "nobody defines it any more: {taken:?}");
    let twice = app().schedule("c", hourly()).schedule("c", hourly()).env(env.clone()).with_store(store.clone()).await;
    assert!(matches!(twice, Err(ConnectError::Schedule(ScheduleError::Invalid { .. }))), "{twice:?}");
    let bad = app().schedule("c", Definition::named(Rule::cron("* * *"), "report", json!({})));
    let refused = bad.env(env.clone()).with_store(store.clone()).await;
    assert!(matches!(refused, Err(ConnectError::Schedule(ScheduleError::Rule { .. }))), "{refused:?}");
    assert_eq!(get("c").await.state, ScheduleState::Active);
}

#[tokio::test]
async fn a_thousand_and_more_definitions_are_written_once() {
    let (client, _) = standing(app()).await;
    let all: Vec<_> = (0..1_201).map(|n| (format!("s{n:04}"), every(SECOND * 60))).collect();
    let first = client.schedules().sync("file", Origin::Config, all.clone()).await.unwrap();
    assert_eq!((first.created.len(), first.unchanged.len()), (1_201, 0));
    let second = client.schedules().sync("file", Origin::Config, all[..1].to_vec()).await.unwrap();
    assert_eq!((second.created.len(), second.unchanged.len(), second.withdrawn.len()), (0, 1, 1_200));
    let mut stranger = every(SECOND);
    stranger.task = "elsewhere".to_owned();
    let third = client.schedules().sync("file", Origin::Config, vec![("s".to_owned(), stranger)]).await.unwrap();
    assert_eq!(third.unknown_tasks, ["s"], "a worker that has it may start later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_the_schedules_of_its_program() {
    let once = Definition::named(Rule::every(SECOND).at_once(), "stamp", json!({})).tick_arg("tick");
    let client = in_memory(app().schedule("s", once)).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let tick = until(async || history(&client, "s").await.into_iter().next()).await;
    let handle = client.handle_of::<Stamp>(tick.task.unwrap());
    assert_eq!(within(handle.result()).await.unwrap(), tick.at.to_string());
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_drains_runs_no_beat() {
    let once = Definition::named(Rule::every(SECOND).at_once(), "stamp", json!({})).tick_arg("tick");
    let client = in_memory(app().schedule("s", once)).await;
    let worker = client.worker().queue("default", 1).drain(true).start().await.unwrap();
    within(worker.ended()).await;
    assert!(client.schedules().list(None, None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn changes_join_a_transaction_of_the_caller_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let client = on_file(app(), &folder).await;
    let mut db = gristmill::sqlite::rusqlite::Connection::open(folder.path().join("test.db")).unwrap();
    let (one, two) = (at("2127-01-01T00:00:00Z"), at("2127-01-02T00:00:00Z"));
    for commits in [false, true] {
        let tx = db.transaction().unwrap();
        let made = client.schedules().put("close", Definition::on(one, Report { year: 7 })).within(&tx).run().unwrap();
        assert_eq!(made, Scheduled::Created);
        let moved = client.schedules().reschedule("close", two).within(&tx).run().unwrap();
        assert_eq!(moved, Rescheduled::Moved { from: Some(one), to: two });
        let unknown = client.schedules().put("u", Definition::named(one, "elsewhere", json!({}))).within(&tx).run();
        assert!(matches!(unknown, Err(ScheduleError::UnknownTask { .. })), "{unknown:?}");
        let refused = client.schedules().create("close", every(SECOND)).within(&tx).await;
        assert!(matches!(refused, Err(ScheduleError::Exists { .. })), "{refused:?}");
        if commits {
            tx.commit().unwrap()
        } else {
            tx.rollback().unwrap()
        }
        let next = client.schedules().get("close").await.unwrap().and_then(|record| record.next);
        assert_eq!(next, commits.then_some(two));
    }
    let tx = db.transaction().unwrap();
    let removed = client.schedules().delete("close").within(&tx).run().unwrap();
    assert_eq!(removed, Deleted::Deleted { next: Some(two), last_task: None });
    tx.commit().unwrap();
    assert!(client.schedules().get("close").await.unwrap().is_none());
}
