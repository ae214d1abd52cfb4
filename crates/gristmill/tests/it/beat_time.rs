//! Beats and time: years off, clocks that are set, long runs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use gristmill::beat::{CatchUp, Definition, Origin, Overlap};
use gristmill::core::{Env, Filter, Store, TickOutcome, TickRecord, VirtualTime};
use gristmill::schedule::{Rule, Timing};
use gristmill::testing::{Harness, MemoryStore, assert_scheduled};
use gristmill::{App, Client, Error, Result, Timestamp, task};

use crate::support::within;

const HOUR: Duration = Duration::from_secs(3_600);
const MONTH: Duration = Duration::from_secs(30 * 86_400);
const TEN_YEARS: Duration = Duration::from_secs(3_652 * 86_400);

#[task(name = "work", max_attempts = 1)]
async fn work(fails: bool) -> Result<()> {
    if fails { Err(Error::fail("as it was told")) } else { Ok(()) }
}

fn app() -> App<()> {
    App::new(()).program("test").register::<Work>()
}

fn with(timing: Timing) -> Definition {
    Definition::of(timing, Work { fails: false }).overlap(Overlap::Allow)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

async fn ticks(client: &Client, name: &str) -> Vec<TickRecord> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = client.schedules().history(name, after, 1_000).await.unwrap();
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            found.reverse();
            return found;
        }
    }
}

fn count(ticks: &[TickRecord], outcome: TickOutcome) -> usize {
    ticks.iter().filter(|tick| tick.outcome == outcome).count()
}

#[tokio::test]
async fn a_year_of_several_schedules_passes_in_seconds_and_leaves_nothing_out() {
    let rome = |rule| with(Timing::new(rule).tz("Europe/Rome"));
    let app = app()
        .schedule("often", rome(Rule::every(HOUR * 4)))
        .schedule("nightly", rome(Rule::cron("30 2 * * *")))
        .schedule("weekly", rome(Rule::cron("0 9 * * MON")))
        .schedule("once", with(at("2027-06-01T12:00:00Z").into()));
    let test = Harness::new(app).await.unwrap();
    let attempts = test.beat_until(at("2027-12-31T22:59:59Z")).await.unwrap();
    let ran = async |name: &str| count(&ticks(test.client(), name).await, TickOutcome::Enqueued);
    assert_eq!((ran("nightly").await, ran("weekly").await, ran("once").await), (365, 52, 1));
    assert_eq!(attempts, ran("often").await + 365 + 52 + 1);
    let often = ticks(test.client(), "often").await;
    assert_eq!(often.len(), 365 * 6 - 1);
    assert!(often.iter().zip(&often[1..]).all(|(one, next)| next.at.since(one.at) == HOUR * 4));
    let late: Vec<_> = often.iter().filter(|tick| !tick.lateness().is_zero()).collect();
    assert!(late.is_empty(), "{late:?}");
    assert_scheduled!(test, "nightly", at "2028-01-01T02:30:00+01:00");
}

#[tokio::test]
async fn what_fell_due_while_no_beat_ran_is_made_up_for_as_each_policy_says() {
    let bounded = CatchUp::All { max: 5, window: Duration::from_secs(3 * 3_600) };
    for (off, ticks_off) in [(HOUR, 6), (MONTH, 4_320), (TEN_YEARS, 525_888)] {
        for (name, catch_up, made_up) in [("none", CatchUp::None, 0), ("latest", CatchUp::Latest, 1), ("all", bounded, 5)] {
            let every = with(Timing::new(Rule::every(Duration::from_secs(600)))).catch_up(catch_up);
            let test = Harness::new(app().schedule(name, every)).await.unwrap();
            // Before: one tick, ten minutes after the start.
            test.beat_until(test.now().saturating_add(Duration::from_secs(900))).await.unwrap();
            test.advance(off).await.unwrap();
            let back = test.now();
            let runs = test.beat_until(back).await.unwrap();
            let all = ticks(test.client(), name).await;
            let case = format!("{name} after {off:?}");
            assert_eq!(runs, made_up, "{case}");
            assert_eq!(count(&all, TickOutcome::Enqueued), 1 + made_up, "{case}");
            let missed: Vec<_> = all.iter().filter(|tick| tick.outcome == TickOutcome::Missed).collect();
            let expected = ticks_off - made_up;
            assert_eq!(missed.len(), expected.min(100), "{case}");
            assert!(missed.iter().all(|tick| tick.reason.is_some()), "{case}");
            if expected > 100 {
                let said = missed.last().unwrap().reason.clone().unwrap();
                assert!(said.contains("so were all ticks after it up to"), "{case}: {said}");
            }
            for tick in all.iter().filter(|tick| tick.outcome == TickOutcome::Enqueued && tick.written_at == back) {
                assert!(tick.reason.as_ref().is_some_and(|why| why.ends_with("late")), "{case}: {tick:?}");
            }
            // And then as ever.
            assert_eq!(test.beat_until(test.now().saturating_add(HOUR)).await.unwrap(), 6, "{case}");
        }
    }
}

#[tokio::test]
async fn after_failures_ticks_are_left_out_and_said_so() {
    let failing = Definition::every(HOUR, Work { fails: true }).penalty(2);
    let test = Harness::new(app().schedule("s", failing)).await.unwrap();
    test.beat_until(test.now().saturating_add(HOUR * 10)).await.unwrap();
    let outcomes: Vec<_> = ticks(test.client(), "s").await.iter().map(|tick| tick.outcome).collect();
    use TickOutcome::{Enqueued as Run, Suppressed as Not};
    assert_eq!(outcomes, [Run, Not, Run, Not, Not, Run, Not, Not, Run, Not]);
}

/// On a clock that is set by hand, with a beat that looks at it all the time.
async fn running(name: &str, definition: Definition) -> (Client, VirtualTime, gristmill::beat::RunningBeat) {
    let (env, time) = Env::virtual_time(at("2027-01-01T00:00:00Z"), 1);
    let store: Arc<dyn Store> = MemoryStore::new(env.clone());
    let client = app().env(env).with_store(store).await.unwrap();
    client.schedules().put(name, definition).await.unwrap();
    let beat = client.beat().await.unwrap();
    (client, time, beat)
}

/// Moves the clock by seconds, each as soon as the beat has dealt with the one before.
async fn pass(client: &Client, time: &VirtualTime, seconds: u32) {
    for _ in 0..seconds {
        time.advance(Duration::from_secs(1));
        all_dealt_with(client).await;
    }
}

async fn all_dealt_with(client: &Client) {
    client.nudge();
    within(async {
        while !client.store().due_schedules(1).await.unwrap().schedules.is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_doubles_nothing_and_one_that_is_set_forward_makes_no_storm() {
    let every = with(Timing::new(Rule::every(Duration::from_secs(1))));
    let (client, time, beat) = running("s", every).await;
    pass(&client, &time, 2).await;
    let start = at("2027-01-01T00:00:00Z");

    // Back by an hour: nothing is due until the clock is where it was.
    let before = ticks(&client, "s").await;
    time.set(start.saturating_sub(HOUR));
    pass(&client, &time, 2).await;
    assert_eq!(ticks(&client, "s").await, before);
    time.set(start.saturating_add(Duration::from_secs(2)));
    pass(&client, &time, 2).await;
    let all = ticks(&client, "s").await;
    assert_eq!((all.len(), count(&all, TickOutcome::Enqueued)), (4, 4));

    // Forward by a day: what is on time runs, the rest is recorded.
    time.advance(Duration::from_secs(86_400));
    all_dealt_with(&client).await;
    let all = ticks(&client, "s").await;
    assert!(count(&all, TickOutcome::Enqueued) <= 4 + 11, "{}", count(&all, TickOutcome::Enqueued));
    assert_eq!(count(&all, TickOutcome::Missed), 100);

    // And back again, which was the mistake.
    time.set(start.saturating_add(Duration::from_secs(4)));
    pass(&client, &time, 2).await;
    let instants: HashSet<_> = ticks(&client, "s").await.iter().map(|tick| tick.at).collect();
    assert_eq!(instants.len(), all.len());
    let tasks = client.tasks().list(&Filter::default(), None, 1_000).await.unwrap().items.len();
    assert_eq!(tasks, count(&all, TickOutcome::Enqueued));
    beat.stop().await;
}

/// A clock that is set years ahead and right again: the schedules go on by themselves, without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn schedules_go_on_after_the_clock_was_years_ahead() {
    let every = with(Timing::new(Rule::every(Duration::from_secs(1))));
    let (client, time, beat) = running("s", every).await;
    client.schedules().put("nightly", with(Timing::new(Rule::cron("30 2 * * *")))).await.unwrap();
    let until = Timing::new(Rule::cron("0 * * * *")).end(at("2028-01-01T00:00:00Z"));
    client.schedules().put("ending", with(until)).await.unwrap();
    pass(&client, &time, 2).await;
    let start = at("2027-01-01T00:00:02Z");
    time.set(start.saturating_add(TEN_YEARS));
    all_dealt_with(&client).await;
    client.schedules().put("made then", with(Timing::new(Rule::every(HOUR)))).await.unwrap();
    let next = async |name: &str| client.schedules().get(name).await.unwrap().unwrap().next.unwrap();
    assert!(next("nightly").await > start.saturating_add(TEN_YEARS));

    time.set(start);
    client.nudge();
    within(async {
        while next("nightly").await != at("2027-01-01T02:30:00Z") || next("s").await > start.saturating_add(HOUR) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // One that had ended by then, and an interval that counts from then.
        for name in ["ending", "made then"] {
            while client.schedules().get(name).await.unwrap().unwrap().next.is_none_or(|next| next > start.saturating_add(HOUR)) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    })
    .await;
    let before = count(&ticks(&client, "s").await, TickOutcome::Enqueued);
    pass(&client, &time, 3).await;
    assert_eq!(count(&ticks(&client, "s").await, TickOutcome::Enqueued), before + 3);
    beat.stop().await;
}

/// A beat that starts after the clock was set right knows nothing of what it was, and finds out.
#[tokio::test(flavor = "multi_thread")]
async fn a_beat_that_starts_finds_what_the_clock_has_frozen() {
    let (env, time) = Env::virtual_time(at("2037-01-01T00:00:00Z"), 1);
    let store: Arc<dyn Store> = MemoryStore::new(env.clone());
    let client = app().env(env).with_store(store).await.unwrap();
    client.schedules().put("hourly", with(Timing::new(Rule::cron("0 * * * *")))).await.unwrap();
    client.schedules().put("one-off", with(at("2040-01-01T00:00:00Z").into())).await.unwrap();
    time.set(at("2027-01-01T00:00:00Z"));
    let beat = client.beat().await.unwrap();
    let next = async |name: &str| client.schedules().get(name).await.unwrap().unwrap().next.unwrap();
    within(async {
        while next("hourly").await != at("2027-01-01T01:00:00Z") {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert_eq!(next("one-off").await, at("2040-01-01T00:00:00Z"), "that is its date");
    beat.stop().await;
}

/// Their definitions are as they were, which is not to be told as a change of them.
#[tokio::test]
async fn a_program_that_starts_mends_what_the_clock_has_frozen_and_changes_nothing() {
    let (env, time) = Env::virtual_time(at("2037-01-01T00:00:00Z"), 1);
    let store: Arc<dyn Store> = MemoryStore::new(env.clone());
    let client = app().env(env).with_store(store).await.unwrap();
    let all = [("interval", Rule::every(HOUR)), ("hourly", Rule::cron("0 * * * *"))];
    let all = all.map(|(name, rule)| (name.to_owned(), with(Timing::new(rule)))).to_vec();
    let sync = async || client.schedules().sync("file", Origin::Config, all.clone()).await.unwrap();
    assert_eq!(sync().await.created.len(), 2);
    time.set(at("2027-01-01T00:00:00Z"));
    let report = sync().await;
    assert_eq!((report.mended.len(), report.changed.len()), (2, 0), "{report:?}");
    let hourly = client.schedules().get("hourly").await.unwrap().unwrap();
    assert_eq!(hourly.next, Some(at("2027-01-01T01:00:00Z")));
    assert_eq!(sync().await.unchanged.len(), 2);
}

/// By hand, where no beat runs: an edit, a pause with a resume, a new start of the program, and a reset.
#[tokio::test]
async fn whatever_an_operator_does_to_a_frozen_schedule_mends_it() {
    let (env, time) = Env::virtual_time(at("2037-01-01T00:00:00Z"), 1);
    let store: Arc<dyn Store> = MemoryStore::new(env.clone());
    let client = app().env(env).with_store(store).await.unwrap();
    let hourly = || with(Timing::new(Rule::every(HOUR)));
    let schedules = client.schedules();
    let frozen = async |name: &str| {
        time.set(at("2037-01-01T00:00:00Z"));
        client.schedules().put(name, hourly()).await.unwrap();
        time.set(at("2027-01-01T00:00:00Z"));
        assert_eq!(schedules.get(name).await.unwrap().unwrap().next, Some(at("2037-01-01T01:00:00Z")));
    };
    frozen("edited").await;
    schedules.edit("edited", |_| {}).await.unwrap();
    frozen("resumed").await;
    schedules.pause("resumed").await.unwrap();
    schedules.resume("resumed").await.unwrap();
    frozen("defined").await;
    client.schedules().put("defined", hourly()).await.unwrap();
    frozen("reset").await;
    schedules.reset("reset").await.unwrap();
    for name in ["edited", "resumed", "defined", "reset"] {
        let record = schedules.get(name).await.unwrap().unwrap();
        assert_eq!(record.next, Some(at("2027-01-01T01:00:00Z")), "{name}");
        assert_eq!(record.edited_at, at("2027-01-01T00:00:00Z"), "{name}");
    }
    // A reset drops what is overdue, and leaves how often it ran.
    time.advance(HOUR * 3);
    let record = schedules.reset("reset").await.unwrap();
    assert_eq!((record.next, record.memory.runs), (Some(at("2027-01-01T04:00:00Z")), 0));
    assert!(schedules.reset("nothing").await.is_err());
}
