//! Sleeps and events: an attempt that waits holds nothing, and goes on where it was.

use gristmill::core::{CancelOutcome, Env};
use gristmill::durable::Sent;
use gristmill::testing::{MemoryStore, START};

use super::*;

/// Several ways to wait.
#[task(name = "waits", backoff = fixed("0s"), max_attempts = 1)]
pub(super) async fn waits(cx: &Context<Probe>, how: String) -> Result<String> {
    let probe = &cx.state;
    probe.saw("begins");
    Ok(match how.as_str() {
        "sleep" => {
            cx.sleep(HOUR).await?;
            cx.sleep(Duration::ZERO).await?;
            "slept".to_owned()
        }
        "until" => {
            cx.sleep_until(START.saturating_add(HOUR)).await?;
            "slept".to_owned()
        }
        "event" => cx.event::<String>("go", None).await?.unwrap_or_default(),
        "timeout" => cx.event::<String>("go", HOUR).await?.unwrap_or_else(|| "too late".to_owned()),
        "both" => {
            let step = cx.step("beside", async || {
                probe.saw("runs");
                tokio::task::yield_now().await;
                Ok(1)
            });
            let (event, step, slept) = tokio::join!(cx.event::<u32>("go", None), step, cx.sleep(HOUR));
            slept?;
            format!("{:?} {}", event?, step?)
        }
        "either" => tokio::select! {
            event = cx.event::<u32>("go", None) => format!("{:?}", event?),
            slept = cx.sleep(HOUR) => slept.map(|()| "slept".to_owned())?,
        },
        "swallow" => {
            // Whatever it makes of errors, it does not come here before it has slept.
            let _ = cx.sleep(HOUR).await;
            probe.saw("after");
            "slept".to_owned()
        }
        "log" => {
            cx.log("before");
            cx.sleep(HOUR).await?;
            cx.log("after");
            "slept".to_owned()
        }
        how => return Err(Error::fail(format!("no {how}"))),
    })
}

async fn begun(how: &str) -> (World, Harness, gristmill::Handle<String>) {
    let world = World::default();
    let test = Harness::new(world.app().register::<Waits>()).await.unwrap();
    let handle = test.client().enqueue(Waits { how: how.into() }).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 1);
    (world, test, handle)
}

async fn state(handle: &gristmill::Handle<String>) -> State {
    handle.status().await.unwrap().unwrap().state
}

#[tokio::test]
async fn a_sleep_costs_no_attempt_and_no_history_and_ends_in_time() {
    for how in ["sleep", "until", "swallow"] {
        let (world, test, handle) = begun(how).await;
        let record = handle.status().await.unwrap().unwrap();
        assert_eq!((record.state, record.attempts.len()), (State::Scheduled, 0), "{how}");
        assert_eq!(record.run_at, START.saturating_add(HOUR));
        test.advance(HOUR - Duration::from_millis(1)).await.unwrap();
        assert_eq!(test.drain().await.unwrap(), 0, "{how}");
        test.advance(Duration::from_millis(1)).await.unwrap();
        assert_eq!(test.drain().await.unwrap(), 1, "{how}");
        assert_eq!(handle.result().await.unwrap(), "slept");
        let record = handle.status().await.unwrap().unwrap();
        assert_eq!((record.attempt, record.attempts.len()), (1, 1), "{how}");
        let seen = world.probe.seen();
        assert_eq!(seen.iter().filter(|entry| *entry == "begins").count(), 2, "{how}");
        assert_eq!(seen.iter().filter(|entry| *entry == "after").count(), usize::from(how == "swallow"), "{how}");
    }
}

#[tokio::test]
async fn what_was_logged_before_a_wait_is_kept() {
    let (_, test, handle) = begun("log").await;
    test.advance(HOUR).await.unwrap();
    test.drain().await.unwrap();
    let record = handle.status().await.unwrap().unwrap();
    let logs: Vec<_> = record.attempts.iter().map(|attempt| attempt.logs.clone().unwrap_or_default()).collect();
    assert_eq!(logs, ["before\n", "before\nafter\n"]);
}

#[tokio::test]
async fn an_event_lets_who_awaits_it_go_on_whether_it_comes_before_or_after() {
    let (_, test, handle) = begun("event").await;
    let events = test.client().events();
    let waiters = events.waiters(None, 10).await.unwrap();
    assert_eq!(waiters.iter().map(|waiter| (waiter.event.as_str(), waiter.task)).collect::<Vec<_>>(), [("go", handle.id())]);
    assert_eq!(events.send("go", "first").await.unwrap(), Sent::Stored);
    assert_eq!(events.send("go", "second").await.unwrap(), Sent::Exists);
    test.drain().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), "first");
    let late = test.client().enqueue(Waits { how: "event".into() }).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(late.result().await.unwrap(), "first", "it is kept");
    assert_eq!(events.list(None, None, 10).await.unwrap().items.len(), 1);
    test.advance(gristmill::durable::EVENT_KEPT).await.unwrap();
    assert_eq!(events.send("go", "third").kept_for(HOUR).await.unwrap(), Sent::Stored, "the first is gone");
}

#[tokio::test]
async fn who_waited_long_enough_goes_on_without_the_event() {
    let (_, test, handle) = begun("timeout").await;
    test.advance(HOUR).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), "too late");
    assert_eq!(kept(test.client(), handle.id()).await, [(0, "go".to_owned(), Kept::TimedOut)]);
}

#[tokio::test]
async fn things_that_are_asked_for_at_once_are_all_waited_for() {
    let (world, test, handle) = begun("both").await;
    assert_eq!(world.probe.seen(), ["begins", "runs"], "the step is not cut off by what waits beside it");
    test.client().events().send("go", &7).await.unwrap();
    // The event has come, and the time has not.
    assert_eq!(test.drain().await.unwrap(), 1);
    assert_eq!(state(&handle).await, State::Scheduled);
    test.advance(HOUR).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), "Some(7) 1");
    assert_eq!(world.probe.seen(), ["begins", "runs", "begins", "begins"]);
}

#[tokio::test]
async fn of_two_waits_the_first_that_is_over_counts() {
    let (_, test, handle) = begun("either").await;
    test.advance(HOUR).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), "slept");
    let (_, test, handle) = begun("either").await;
    test.client().events().send("go", &7).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), "Some(7)");
}

#[tokio::test]
async fn an_event_of_a_wrong_shape_fails_the_task_and_is_not_shown() {
    let (_, test, handle) = begun("event").await;
    test.client().events().send("go", &json!({ "secret": 1 })).await.unwrap();
    test.drain().await.unwrap();
    let error = handle.result().await.unwrap_err().to_string();
    assert!(error.contains("what step 1, `go`, gave can't be read as `alloc::string::String`"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn an_event_that_can_not_be_is_refused() {
    let test = Harness::new(App::new(())).await.unwrap();
    let events = test.client().events();
    assert_eq!(events.send("", &1).await.unwrap_err().to_string(), "event: is empty; give it a name");
    let large = events.send("a", &"x".repeat(RESULTS_BYTES_MAX)).await.unwrap_err().to_string();
    assert!(large.starts_with("payload: has 1048578 bytes of JSON"), "{large}");
    let no_json = std::collections::HashMap::from([((1, 2), 3)]);
    let error = events.send("a", &no_json).await.unwrap_err().to_string();
    assert!(error.starts_with("payload: can't be written as JSON"), "{error}");
}

#[tokio::test]
async fn who_waits_can_be_cancelled() {
    let (_, test, handle) = begun("event").await;
    assert_eq!(handle.cancel().await.unwrap(), CancelOutcome::Cancelled);
    assert_eq!(state(&handle).await, State::Cancelled);
    assert_eq!(test.client().events().send("go", "1").await.unwrap(), Sent::Stored);
    assert_eq!(test.drain().await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_can_be_awaited_in_a_call_but_time() {
    let world = World::default();
    let test = Harness::new(world.app().register::<Waits>()).await.unwrap();
    assert_eq!(test.client().call(Waits { how: "sleep".into() }).await.unwrap(), "slept");
    let error = test.client().call(Waits { how: "event".into() }).await.unwrap_err().to_string();
    assert_eq!(error, "event: `go` can't be awaited in a task that is called; enqueue it");
}

/// A worker of one slot, in which a task that waits leaves room.
#[tokio::test]
async fn a_worker_has_its_slot_back_while_a_task_waits() {
    let (env, _time) = (Env::system(), ());
    let store: Arc<dyn Store> = MemoryStore::new(env);
    let world = World::default();
    let client = world.app().register::<Waits>().with_store(store).await.unwrap();
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let waits = client.enqueue(Waits { how: "event".into() }).await.unwrap();
    within(async {
        while client.events().waiters(Some("go"), 1).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let leaf = client.enqueue(Leaf { n: 3 }).await.unwrap();
    assert_eq!(within(leaf.result()).await.unwrap(), 3);
    client.events().send("go", "went").await.unwrap();
    assert_eq!(within(waits.result()).await.unwrap(), "went");
    let thread = client.enqueue(Thread {}).await.unwrap();
    within(async {
        while thread.status().await.unwrap().unwrap().state != State::Scheduled {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let leaf = client.enqueue(Leaf { n: 4 }).await.unwrap();
    assert_eq!(within(leaf.result()).await.unwrap(), 4, "a thread has ended, too");
    worker.stop().await;
}

#[tokio::test]
async fn who_waits_says_for_what() {
    let (_, test, handle) = begun("timeout").await;
    let why = test.client().tasks().why(handle.id()).await.unwrap().unwrap();
    let json = serde_json::to_value(&why).unwrap();
    assert_eq!(json["reasons"][0]["code"], "awaits_event");
    assert_eq!(json["reasons"][0]["event"], "go");
    let recorded = test.client().tasks().export(handle.id()).await.unwrap().unwrap();
    let replayed = test.replay(&recorded).await.unwrap();
    assert!(matches!(&replayed, Replayed::Waits(names) if names == &["go"]), "{replayed:?}");
}

/// Somebody cancels it while a step of it runs, and then it would wait for days.
#[tokio::test]
async fn who_is_to_end_does_not_wait_first() {
    let world = World::default();
    let client = in_memory(world.app().register::<Stubborn>()).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    world.probe.close();
    let handle = client.enqueue(Stubborn {}).await.unwrap();
    world.probe.until_seen("runs").await;
    assert_eq!(handle.cancel().await.unwrap(), CancelOutcome::CancelRequested);
    world.probe.until_seen("heard").await;
    world.probe.open();
    let error = within(handle.result()).await.unwrap_err().to_string();
    assert!(error.contains("cancelled"), "{error}");
    assert!(!world.probe.seen().contains(&"slept".to_owned()));
    worker.stop().await;
}

#[task(name = "stubborn")]
async fn stubborn(cx: &Context<Probe>) -> Result<()> {
    cx.step("work", async || {
        cx.state.saw("runs");
        cx.cancellation().cancelled().await;
        cx.state.saw("heard");
        cx.state.pass().await;
        Ok(())
    })
    .await?;
    cx.sleep(HOUR).await?;
    cx.state.saw("slept");
    Ok(())
}

/// The same on a thread, which nobody can drop.
#[task(name = "stubborn.thread", max_attempts = 1)]
fn stubborn_thread(cx: &Context<Probe>) -> Result<()> {
    cx.state.saw("runs");
    cx.block_on(cx.cancellation().cancelled());
    let slept = cx.block_on(cx.sleep(HOUR));
    cx.state.saw(if slept.is_ok() { "slept" } else { "ended" });
    slept
}

/// Ends, and leaves a thread behind that comes to wait after it.
#[task(name = "leaves", max_attempts = 1)]
async fn leaves(cx: &Context<Probe>) -> Result<()> {
    let waits = cx.blocking_with(|cx| {
        cx.state.saw("thread");
        cx.block_on(cx.state.pass());
        let slept = cx.block_on(cx.sleep(HOUR));
        cx.state.saw("left");
        slept
    });
    tokio::select! {
        slept = waits => slept,
        () = cx.state.until_seen("thread") => Ok(()),
    }
}

#[tokio::test]
async fn a_thread_that_is_to_end_does_not_wait_and_gives_its_slot_back() {
    let world = World::default();
    let client = in_memory(world.app().register::<StubbornThread>().register::<Leaves>()).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let cancelled = client.enqueue(StubbornThread {}).await.unwrap();
    world.probe.until_seen("runs").await;
    assert_eq!(cancelled.cancel().await.unwrap(), CancelOutcome::CancelRequested);
    within(cancelled.result()).await.unwrap_err();
    let record = cancelled.status().await.unwrap().unwrap();
    let error = record.error.map(|failure| failure.message);
    assert_eq!((record.state, error.as_deref()), (State::Cancelled, Some("cancelled on request")));
    let late = client.enqueue(StubbornThread {}).timeout(Duration::from_millis(20)).await.unwrap();
    let error = within(late.result()).await.unwrap_err().to_string();
    assert!(error.contains("longer than its timeout"), "{error}");
    world.probe.close();
    let leaves = client.enqueue(Leaves {}).await.unwrap();
    within(leaves.result()).await.unwrap();
    world.probe.open();
    world.probe.until_seen("left").await;
    let leaf = client.enqueue(Leaf { n: 3 }).await.unwrap();
    assert_eq!(within(leaf.result()).await.unwrap(), 3, "the slot is free");
    assert_eq!(world.probe.seen().iter().filter(|entry| *entry == "ended").count(), 2);
    worker.stop().await;
}

/// Waits beside a step that fails at its first attempts.
#[task(name = "beside", backoff = fixed("1h"))]
async fn beside(cx: &Context<Probe>, first: String) -> Result<String> {
    let waits = async || cx.event::<u32>("paid", 3 * HOUR).await;
    let sleeps = async || cx.sleep(4 * HOUR).await;
    let step = async |yields| {
        let fails = async || {
            if yields {
                tokio::task::yield_now().await;
            }
            if cx.attempt() < 3 { Err(Error::retry("not yet")) } else { Ok(()) }
        };
        cx.step("charge", fails).await
    };
    let paid = match first.as_str() {
        "wait" => tokio::try_join!(waits(), sleeps(), step(false))?.0,
        _ => tokio::try_join!(step(true), waits(), sleeps())?.1,
    };
    Ok(format!("{paid:?}"))
}

/// Else it would begin anew with each attempt that fails, and might never be over.
#[tokio::test]
async fn a_time_that_was_given_stays_when_a_step_beside_it_fails() {
    for first in ["wait", "step"] {
        let world = World::default();
        let test = Harness::new(world.app().register::<Beside>()).await.unwrap();
        let handle = test.client().enqueue(Beside { first: first.into() }).await.unwrap();
        for failed in 1..=3 {
            assert_eq!(test.drain().await.unwrap(), 1, "{first} {failed}");
            test.advance(HOUR).await.unwrap();
        }
        let waits: Vec<_> = kept(test.client(), handle.id()).await.into_iter().map(|(.., kept)| kept).collect();
        let until = START.saturating_add(3 * HOUR);
        assert!(waits.contains(&Kept::Event { name: "paid".to_owned(), until: Some(until) }), "{first}: {waits:?}");
        assert!(waits.contains(&Kept::Sleeps(START.saturating_add(4 * HOUR))), "{first}: {waits:?}");
        test.drain().await.unwrap();
        test.advance(HOUR).await.unwrap();
        test.drain().await.unwrap();
        assert_eq!(handle.result().await.unwrap(), "None", "{first}");
    }
}

/// As what they tell is kept by who sends them.
#[task(name = "listens", max_attempts = 1)]
async fn listens(cx: &Context<Probe>) -> Result<u32> {
    for n in 0..20 {
        cx.event::<String>(format!("part:{n}"), None).await?;
    }
    Ok(20)
}

#[tokio::test]
async fn what_events_tell_counts_for_what_a_task_remembers() {
    let test = Harness::new(App::new(World::default()).register::<Listens>()).await.unwrap();
    for n in 0..20 {
        test.client().events().send(format!("part:{n}"), &"x".repeat(RESULTS_BYTES_MAX - 2)).await.unwrap();
    }
    let handle = test.client().enqueue(Listens {}).await.unwrap();
    test.drain().await.unwrap();
    let error = handle.result().await.unwrap_err().to_string();
    assert!(
        error.contains("`part:17` can't be asked for: with its events the task remembers more than 16777216 bytes"),
        "{error}"
    );
}

/// A step fails at the first attempt beside what waits for ever, or its error is caught.
#[task(name = "broken", backoff = fixed("1m"), max_attempts = 3)]
async fn broken(cx: &Context<Probe>, how: String) -> Result<String> {
    let step = cx.step("charge", async || {
        cx.state.saw("charge");
        if how != "timed" {
            tokio::task::yield_now().await;
        }
        if cx.attempt() == 1 { Err(Error::retry("no net")) } else { Ok(7) }
    });
    if how == "joined" {
        let (charged, paid) = tokio::join!(step, cx.event::<u32>("paid", None));
        return Ok(format!("{} {:?}", charged?, paid?));
    }
    if how == "timed" {
        let (charged, slept) = tokio::join!(step, cx.sleep(HOUR));
        charged?;
        return slept.map(|()| "slept".to_owned());
    }
    let charged = step.await;
    if how == "repeated" {
        // It asks again until it has its way, which it has in no attempt that has failed already.
        while charged.is_err() && cx.step("charge", async || Ok(8)).await.is_err() {}
    } else if charged.is_err() {
        let instead = async || {
            cx.state.saw("otherwise");
            Ok(())
        };
        // It would stand in the way of what follows a success.
        let _ = cx.step("otherwise", instead).await;
    }
    cx.sleep(HOUR).await?;
    Ok("slept".to_owned())
}

/// The same on a thread, where the second try fails once the attempt is over.
#[task(name = "insists", backoff = fixed("1m"), max_attempts = 3)]
fn insists(cx: &Context<Probe>) -> Result<u32> {
    let attempt = cx.attempt();
    let charge = || cx.block_on(cx.step("charge", async || if attempt == 1 { Err(Error::retry("no net")) } else { Ok(7) }));
    charge().or_else(|_| charge())
}

#[tokio::test]
async fn nor_does_a_thread_go_on_behind_a_step_that_failed() {
    let test = Harness::new(App::new(Probe::default()).register::<Insists>()).await.unwrap();
    let handle = test.client().enqueue(Insists {}).await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 1);
    let task = test.client().tasks().get(handle.id()).await.unwrap().unwrap();
    assert_eq!((task.state, task.attempts.len()), (State::Scheduled, 1));
    assert_eq!(task.attempts[0].error.as_ref().map(|error| error.message.as_str()), Some("no net"));
    test.advance(Duration::from_secs(60)).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 7);
}

/// A call has no next attempt, and is told why.
#[tokio::test]
async fn a_call_ends_behind_a_step_that_failed() {
    let test = Harness::new(World::default().app().register::<Broken>()).await.unwrap();
    for how in ["caught", "repeated", "timed"] {
        let error = test.client().call(Broken { how: how.into() }).await.unwrap_err();
        assert_eq!(error.to_string(), "no net", "{how}");
    }
}

/// It is tried again after its backoff, and not when something comes that may never do so; whatever the handler makes of the error.
#[tokio::test]
async fn a_step_that_fails_ends_the_attempt_that_would_wait_beside_it() {
    for how in ["joined", "caught", "repeated", "timed"] {
        let world = World::default();
        let test = Harness::new(world.app().register::<Broken>()).await.unwrap();
        let handle = test.client().enqueue(Broken { how: how.into() }).await.unwrap();
        assert_eq!(test.drain().await.unwrap(), 1, "{how}");
        let task = test.client().tasks().get(handle.id()).await.unwrap().unwrap();
        assert_eq!((task.state, task.attempts.len(), task.attempt), (State::Scheduled, 1, 1), "{how}");
        assert_eq!(task.attempts[0].error.as_ref().map(|error| error.message.as_str()), Some("no net"), "{how}");
        test.advance(Duration::from_secs(60)).await.unwrap();
        test.drain().await.unwrap();
        assert_eq!(world.probe.seen(), ["charge", "charge"], "{how}");
        if how == "joined" {
            test.client().events().send("paid", &3).await.unwrap();
        } else {
            // A time that was given beside a step that failed does not begin anew.
            let left = if how == "timed" { HOUR - Duration::from_secs(60) } else { HOUR };
            test.advance(left).await.unwrap();
        }
        test.drain().await.unwrap();
        assert_eq!(handle.result().await.unwrap(), if how == "joined" { "7 Some(3)" } else { "slept" });
    }
}
