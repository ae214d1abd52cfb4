//! A worker on a source of tasks that is no store: the broker in memory, which keeps nothing and lists nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gristmill::core::{Env, NewTask, Overrides, ServedKind};
use gristmill::error::FailureReason;
use gristmill::options::Limits;
use gristmill::record::State;
use gristmill::testing::MemoryBroker;
use gristmill::{App, Context, Error, Result, Task, Timestamp, task};

use crate::faulty::Faulty;
use crate::support::{Probe, within};

#[task(name = "say")]
async fn say(cx: &Context<Probe>, what: String, #[task(default)] loud: bool) -> Result<()> {
    let what = if loud { what.to_uppercase() } else { what };
    cx.state.saw(format!("{what} {}", cx.attempt()));
    cx.state.pass().await;
    Ok(())
}

#[task(name = "twice", backoff = fixed("1ms"))]
async fn twice(cx: &Context<Probe>) -> Result<()> {
    cx.state.saw(format!("attempt {}", cx.attempt()));
    if cx.attempt() == 1 { Err(Error::retry("not yet")) } else { Ok(()) }
}

#[task(name = "follow")]
async fn follow(cx: &Context<Probe>) -> Result<()> {
    let child = cx.enqueue(Say { what: "child".into(), loud: false }).await?;
    cx.state.saw(format!("enqueued {}", child.id()));
    Ok(())
}

#[task(name = "linger")]
async fn linger(cx: &Context<Probe>) -> Result<()> {
    cx.state.saw("started");
    cx.cancellation().cancelled().await;
    let ours = if cx.confirm().await.is_ok() { "ours" } else { "lost" };
    cx.state.saw(ours);
    Ok(())
}

#[task(name = "settle")]
async fn settle(cx: &Context<Probe>) -> Result<()> {
    cx.transaction(cx.sqlite()?, async |_| Ok(())).await
}

#[task(name = "lock_it")]
async fn lock_it(cx: &Context<Probe>) -> Result<()> {
    cx.state.saw(cx.lock("a").await.unwrap_err().to_string());
    Ok(())
}

fn app(probe: &Probe) -> App<Probe> {
    let app = App::new(probe.clone()).register::<Say>().register::<Twice>().register::<Follow>();
    app.register::<Linger>().register::<Settle>().register::<LockIt>()
}

fn publish<T: Task>(broker: &MemoryBroker, env: &Env, task: &T) {
    let args = serde_json::to_string(task).unwrap();
    broker.publish(NewTask::of(&T::kind(), args, Overrides::default(), env.task_id(), &Limits::default()).unwrap());
}

fn saying(what: &str) -> Say {
    Say { what: what.into(), loud: false }
}

#[tokio::test]
async fn it_runs_tasks_and_stops_gracefully() {
    let (probe, env) = (Probe::default(), Env::system());
    let broker = MemoryBroker::new(env.clone());
    let worker = app(&probe).worker_on(broker.clone()).unwrap().queue("default", 2).prefetch(0).start().await.unwrap();
    probe.close();
    for what in ["a", "b", "c"] {
        publish(&broker, &env, &saying(what));
    }
    probe.until(|seen| seen.len() == 2).await;
    let (report, ()) = within(async { tokio::join!(worker.stop(), async { probe.open() }) }).await;
    assert_eq!((report.claimed, report.succeeded, report.released), (2, 2, 0));
    assert_eq!(probe.seen(), ["a 1", "b 1"]);
    assert_eq!(broker.len(), 1, "what was not started is left to others");
    assert_eq!(report.panicked, [""; 0]);
}

#[tokio::test]
async fn it_gives_back_what_does_not_end_in_time() {
    let (probe, env) = (Probe::default(), Env::system());
    let broker = MemoryBroker::new(env.clone());
    let worker = app(&probe).worker_on(broker.clone()).unwrap().queue("default", 1).start().await.unwrap();
    probe.close();
    publish(&broker, &env, &saying("a"));
    probe.until_seen("a 1").await;
    worker.stopper().now();
    assert_eq!(within(worker.ended()).await.released, 1);
    probe.open();
    let worker = app(&probe).worker_on(broker.clone()).unwrap().drain(true).start().await.unwrap();
    assert_eq!(within(worker.ended()).await.succeeded, 1);
    assert_eq!(probe.seen(), ["a 1", "a 1"], "it cost no attempt");
    assert!(broker.is_empty());
}

#[tokio::test]
async fn it_keeps_no_locks() {
    let (probe, env) = (Probe::default(), Env::system());
    let broker = MemoryBroker::new(env.clone());
    let worker = app(&probe).worker_on(broker.clone()).unwrap().start().await.unwrap();
    publish(&broker, &env, &LockIt {});
    probe.until(|seen| seen.iter().any(|said| said.contains("keeps no locks"))).await;
    within(worker.stop()).await;
}

#[tokio::test]
async fn retries_and_children_go_through_the_source() {
    let (probe, env) = (Probe::default(), Env::system());
    let broker = MemoryBroker::new(env.clone());
    let worker = app(&probe).worker_on(broker.clone()).unwrap().start().await.unwrap();
    publish(&broker, &env, &Twice {});
    probe.until_seen("attempt 2").await;
    publish(&broker, &env, &Follow {});
    probe.until_seen("child 1").await;
    let report = within(worker.stop()).await;
    assert_eq!((report.rescheduled, report.succeeded), (1, 3));
    assert!(broker.is_empty());
}

#[tokio::test]
async fn a_drain_does_what_its_own_tasks_leave_though_the_source_counts_nothing() {
    let (probe, env) = (Probe::default(), Env::system());
    let broker = MemoryBroker::new(env.clone());
    publish(&broker, &env, &Follow {});
    let worker = app(&probe).worker_on(broker.clone()).unwrap().drain(true).start().await.unwrap();
    assert_eq!(within(worker.ended()).await.succeeded, 2);
    assert!(broker.is_empty());
}

#[tokio::test]
async fn a_lost_lease_is_noticed_and_work_goes_on() {
    let probe = Probe::default();
    let (env, time) = Env::virtual_time(Timestamp::from_millis(1_800_000_000_000), 1);
    let broker = MemoryBroker::new(env.clone());
    let lease = Duration::from_secs(1);
    let builder = app(&probe).env(env.clone()).worker_on(broker.clone()).unwrap();
    let worker = builder.queue("default", 1).lease(lease).start().await.unwrap();
    publish(&broker, &env, &Linger {});
    probe.until_seen("started").await;
    // The broker's time only: for the worker none has passed, and it learns it from the next heartbeat.
    time.advance(lease);
    probe.until(|seen| seen == ["started", "lost", "started"]).await;
    worker.stopper().now();
    let report = within(worker.ended()).await;
    assert_eq!((report.leases_lost, report.claimed), (1, 2));
    assert_eq!(probe.seen(), ["started", "lost", "started", "ours"]);
}

#[tokio::test]
async fn what_a_killed_worker_held_is_delivered_again() {
    let probe = Probe::default();
    let (env, time) = Env::virtual_time(Timestamp::from_millis(1_800_000_000_000), 1);
    let broker = MemoryBroker::new(env.clone());
    probe.close();
    publish(&broker, &env, &saying("a"));
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let builder = app(&probe).env(env.clone()).worker_on(broker.clone()).unwrap();
    doomed.spawn(async move { builder.lease(Duration::from_secs(30)).start().await.unwrap().ended().await });
    probe.until_seen("a 1").await;
    doomed.shutdown_background();
    let builder = app(&probe).env(env.clone()).worker_on(broker.clone()).unwrap();
    time.advance(Duration::from_secs(30));
    let worker = builder.start().await.unwrap();
    probe.until_seen("a 2").await;
    // Only now: its tasks end in the background, and one that could go on might end the task.
    probe.open();
    assert_eq!(within(worker.stop()).await.succeeded, 1);
    assert!(broker.is_empty());
}

#[tokio::test]
async fn a_transaction_says_that_there_is_no_store_to_settle_in() {
    let (probe, env) = (Probe::default(), Env::system());
    let broker = MemoryBroker::new(env.clone());
    publish(&broker, &env, &Settle {});
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let app = app(&probe).on_ended(move |event| heard.lock().unwrap().push((event.state, event.failure.clone().unwrap())));
    let worker = app.worker_on(broker.clone()).unwrap().drain(true).start().await.unwrap();
    assert_eq!(within(worker.ended()).await.failed, 1);
    let told = told.lock().unwrap();
    let [(State::Failed, failure)] = told.as_slice() else { panic!("the hook was told {told:?}") };
    assert_eq!(failure.reason, FailureReason::Error);
    assert!(failure.message.contains("in no store"), "{}", failure.message);
}

#[tokio::test]
async fn a_source_learns_the_order_of_arguments() {
    let probe = Probe::default();
    let source = Faulty::new(MemoryBroker::new(Env::system()), &probe, "");
    let worker = app(&probe).worker_on(source.clone()).unwrap().start().await.unwrap();
    within(worker.stop()).await;
    let spec = source.entered().unwrap();
    let say = ServedKind { name: "say".into(), fields: vec!["what".into(), "loud".into()] };
    assert!(spec.kinds.contains(&say), "{:?}", spec.kinds);
    assert_eq!(spec.kind_names().collect::<Vec<_>>(), ["follow", "linger", "lock_it", "say", "settle", "twice"]);
}
