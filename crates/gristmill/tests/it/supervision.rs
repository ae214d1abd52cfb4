//! What a panic does outside of a handler's own run: in a part of the worker it stops the worker, which says so; in what belongs
//! to a task it costs that task one attempt.

use std::fmt;
use std::time::Duration;

use gristmill::client::{AwaitError, CallError};
use gristmill::core::{Env, NewTask, Overrides};
use gristmill::error::FailureReason;
use gristmill::options::Limits;
use gristmill::testing::MemoryBroker;
use gristmill::{App, Client, Context, Error, Result, Task, task};

use crate::faulty::{Fault, Faulty};
use crate::support::{Heard, Probe, in_memory, within};

#[task(name = "work")]
async fn work(cx: &Context<Probe>) -> Result<()> {
    cx.log("a line for the notes");
    cx.state.saw("work");
    cx.state.pass().await;
    Ok(())
}

fn app(probe: &Probe) -> App<Probe> {
    App::new(probe.clone()).register::<Work>()
}

fn publish(broker: &MemoryBroker, env: &Env) {
    let task = NewTask::of(&Work::kind(), "{}".into(), Overrides::default(), env.task_id(), &Limits::default());
    broker.publish(task.unwrap());
}

#[tokio::test]
async fn the_end_of_any_part_by_a_panic_stops_the_worker_which_says_so() {
    for (operation, part) in [
        ("claim", "fetch"),
        ("heartbeat", "heartbeat"),
        ("note", "notes"),
        ("settle", "settle"),
        ("sweep", "sweep"),
        ("start", "slot"),
        ("record", "tell"),
    ] {
        let (heard, _listening) = Heard::listen();
        let (probe, env) = (Probe::default(), Env::system());
        let broker = MemoryBroker::new(env.clone());
        let source = Faulty::new(broker.clone(), &probe, operation);
        let builder = app(&probe).on_ended(|_| ()).worker_on(source).unwrap();
        // So that the notes have time to be written.
        if operation == "note" {
            probe.close();
        }
        let worker = builder.queue("default", 2).lease(Duration::from_millis(300)).start().await.unwrap();
        publish(&broker, &env);
        probe.until_seen(&format!("panic in {operation}")).await;
        probe.open();
        let report = within(worker.ended()).await;
        assert_eq!(report.panicked, [format!("{part} panicked: out of order")]);
        assert!(report.to_string().contains("stopped by a panic"), "{report}");
        let said = heard.lines(&["ERROR", "a part of the worker panicked", part, "faulty.rs"]);
        assert_eq!(said.len(), 1, "{operation}: the log names the part and the place");
    }
}

#[tokio::test]
async fn a_worker_without_one_of_its_parts_still_ends_what_it_runs() {
    for operation in ["heartbeat", "note"] {
        let (probe, env) = (Probe::default(), Env::system());
        let broker = MemoryBroker::new(env.clone());
        publish(&broker, &env);
        probe.close();
        let source = Faulty::new(broker.clone(), &probe, operation);
        let builder = app(&probe).worker_on(source).unwrap().queue("default", 1);
        let worker = builder.lease(Duration::from_millis(300)).start().await.unwrap();
        probe.until(|seen| seen.len() == 2).await;
        probe.open();
        let report = within(worker.ended()).await;
        assert_eq!((report.succeeded, report.panicked.len()), (1, 1), "{operation}: {report}");
        assert!(broker.is_empty());
    }
}

#[tokio::test]
async fn outcomes_that_a_panic_lost_are_counted_and_run_again() {
    let (probe, env) = (Probe::default(), Env::system());
    let broker = MemoryBroker::new(env.clone());
    publish(&broker, &env);
    let source = Faulty::new(broker.clone(), &probe, "settle");
    let worker = app(&probe).worker_on(source).unwrap().queue("default", 1).start().await.unwrap();
    let report = within(worker.ended()).await;
    assert_eq!((report.succeeded, report.unsettled), (0, 1));
    let worker = app(&probe).worker_on(broker.clone()).unwrap().drain(true).start().await.unwrap();
    assert_eq!(within(worker.ended()).await.succeeded, 1);
    assert_eq!(probe.seen(), ["work", "panic in settle", "work"]);
}

/// Panics when it is dropped, as a client of a blocking library does on the runtime.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("must not be dropped here");
    }
}

impl fmt::Display for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bomb")
    }
}

impl std::error::Error for Bomb {}

#[derive(Debug)]
struct Mute;

impl fmt::Display for Mute {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words");
    }
}

impl std::error::Error for Mute {}

#[task(name = "trap", max_attempts = 1, timeout = "10ms", kill_after = "1ms")]
async fn trap(how: String) -> Result<u32> {
    match how.as_str() {
        "drop" => {
            let _bomb = Bomb;
            std::future::pending().await
        }
        "mute" => Err(Error::fail(Mute)),
        "bomb" => Err(Error::retry(Bomb)),
        _ => Ok(7),
    }
}

/// The failure of a trap, after which the only slot still works.
async fn sprung(client: &Client, how: &str) -> (FailureReason, String) {
    let trapped = client.enqueue(Trap { how: how.into() }).await.unwrap();
    let AwaitError::Failed { failure, .. } = within(trapped.result()).await.unwrap_err() else { panic!("{how}: it fails") };
    let next = client.enqueue(Trap { how: String::new() }).await.unwrap();
    assert_eq!(within(next.result()).await.unwrap(), 7, "{how}: the slot is lost");
    (failure.reason, failure.message)
}

#[tokio::test]
async fn a_panic_outside_of_a_handlers_run_costs_one_attempt_and_no_slot() {
    let client = in_memory(App::new(()).register::<Trap>()).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let (reason, _) = sprung(&client, "drop").await;
    assert_eq!(reason, FailureReason::Timeout, "it had ended before its future was dropped");
    let (reason, message) = sprung(&client, "mute").await;
    assert_eq!(reason, FailureReason::Error);
    assert_eq!(message, "the error can't be shown, its text panicked: no words");
    let (reason, message) = sprung(&client, "bomb").await;
    assert_eq!((reason, message.as_str()), (FailureReason::Panic, "panicked: must not be dropped here"));
    let report = within(worker.stop()).await;
    assert_eq!((report.failed, report.succeeded), (3, 3));
    assert!(report.panicked.is_empty(), "the worker itself is well: {report}");
}

#[task(name = "adopt")]
async fn adopt(cx: &Context<Probe>, id: String) -> Result<String> {
    let child = cx.enqueue(Work {}).id(id.parse()?).tag("adopted").await?;
    Ok(child.id().to_string())
}

#[tokio::test]
async fn a_child_that_is_refused_fails_the_call_of_its_parent() {
    let client = in_memory(app(&Probe::default()).register::<Adopt>().register::<Trap>()).await;
    let free = Env::system().task_id();
    assert_eq!(client.call(Adopt { id: free.to_string() }).await.unwrap(), free.to_string());
    assert_eq!(client.tasks().get(free).await.unwrap().unwrap().kind, "work");
    let taken = client.enqueue(Trap { how: String::new() }).await.unwrap().id();
    match client.call(Adopt { id: taken.to_string() }).await {
        Err(CallError::Refused { id }) => assert_eq!(id, taken),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_answer_does_not_keep_a_worker_from_ending() {
    for operation in ["settle", "leave", "heartbeat", "sweep"] {
        let (probe, env) = (Probe::default(), Env::system());
        let broker = MemoryBroker::new(env.clone());
        publish(&broker, &env);
        let source = Faulty::with(broker, &probe, operation, Fault::Hangs);
        let worker = app(&probe).worker_on(source).unwrap().queue("default", 1).start().await.unwrap();
        probe.until_seen("work").await;
        if operation == "settle" {
            probe.until_seen("settle hangs").await;
        }
        let report = within(worker.stop()).await;
        let (succeeded, unsettled) = if operation == "settle" { (0, 1) } else { (1, 0) };
        assert_eq!((report.succeeded, report.unsettled), (succeeded, unsettled), "{operation}");
    }
}

#[tokio::test]
async fn a_start_whose_answer_got_lost_is_recorded_again_and_runs() {
    let (probe, env) = (Probe::default(), Env::system());
    let broker = MemoryBroker::new(env.clone());
    publish(&broker, &env);
    let source = Faulty::with(broker, &probe, "start", Fault::LosesItsReply);
    let worker = app(&probe).worker_on(source).unwrap().drain(true).start().await.unwrap();
    let report = within(worker.ended()).await;
    assert_eq!((report.claimed, report.succeeded, report.released), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn claims_that_are_refused_for_long_are_told_once() {
    let (heard, _listening) = Heard::listen();
    let probe = Probe::default();
    let source = Faulty::with(MemoryBroker::new(Env::system()), &probe, "claim", Fault::Refuses);
    let worker = app(&probe).worker_on(source).unwrap().lease(Duration::from_secs(1)).start().await.unwrap();
    let told = || heard.lines(&["WARN", "tasks can't be claimed", "out of order"]).len();
    within(async {
        while told() == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(told(), 1);
    within(worker.stop()).await;
}
