//! How a worker shares itself among its queues.

use std::time::Duration;

use gristmill::core::{Ack, Env, NewTask, Overrides};
use gristmill::options::Limits;
use gristmill::testing::MemoryBroker;
use gristmill::{App, Context, Result, Task, task};

use crate::recorded::Recorded;
use crate::support::{Probe, within};

#[task(name = "nap")]
async fn nap(cx: &Context<Probe>, ms: u64) -> Result<()> {
    if ms > 1_000 {
        cx.state.saw("lies down");
    }
    tokio::time::sleep(Duration::from_millis(ms)).await;
    cx.state.saw("napped");
    Ok(())
}

fn app(probe: &Probe) -> App<Probe> {
    App::new(probe.clone()).register::<Nap>()
}

fn publish<T: Task>(broker: &MemoryBroker, env: &Env, task: &T, over: Overrides) {
    let args = serde_json::to_string(task).unwrap();
    broker.publish(NewTask::of(&T::kind(), args, over, env.task_id(), &Limits::default()).unwrap());
}

fn count(seen: &[String], what: &str) -> usize {
    seen.iter().filter(|seen| *seen == what).count()
}

/// A worker that waits for news of one queue still hears that slots of another are free.
#[tokio::test(start_paused = true)]
async fn an_idle_queue_does_not_slow_a_busy_one() {
    for (prefetch, drain) in [(2_000, false), (0, false), (2_000, true), (0, true)] {
        let (probe, env) = (Probe::default(), Env::system());
        let broker = MemoryBroker::new(env.clone());
        let source = Recorded::new(broker.clone());
        let mut builder = app(&probe).worker_on(source.clone()).unwrap().queue("default", 2).prefetch(prefetch);
        for n in 0..8 {
            builder = builder.queue(format!("idle {n}"), 2);
        }
        for _ in 0..200 {
            publish(&broker, &env, &Nap { ms: 10 }, Overrides::default());
        }
        let began = tokio::time::Instant::now();
        // Nothing but a free slot makes the worker ask in time.
        let worker = builder.poll(Duration::from_secs(3600)).drain(drain).start().await.unwrap();
        within(probe.until(|seen| count(seen, "napped") == 200)).await;
        let took = began.elapsed();
        // On the clock of the test, on which claims take no time: 200 tasks of 10 ms in two slots.
        assert!(took < Duration::from_millis(1_050), "prefetch {prefetch}, drain {drain}: {took:?}");
        assert!(source.claims_of("default") > 2);
        if !drain {
            assert_eq!(source.claims_of("idle 0"), 1, "who has nothing is not asked each time: {:?}", source.claims());
        }
        let report = if drain { worker.ended().await } else { worker.stop().await };
        assert_eq!(report.succeeded, 200);
    }
}

/// Nor does a busy one keep an idle one from what comes there.
#[tokio::test(start_paused = true)]
async fn a_busy_queue_does_not_keep_an_idle_one_waiting() {
    for prefetch in [2_000, 0] {
        let (probe, env) = (Probe::default(), Env::system());
        let broker = MemoryBroker::new(env.clone());
        let source = Recorded::new(broker.clone());
        let builder = app(&probe).worker_on(source.clone()).unwrap().queue("default", 2).queue("idle", 2).prefetch(prefetch);
        for _ in 0..200 {
            publish(&broker, &env, &Nap { ms: 10 }, Overrides::default());
        }
        let worker = builder.poll(Duration::from_millis(50)).start().await.unwrap();
        within(probe.until(|seen| count(seen, "napped") >= 4)).await;
        publish(&broker, &env, &Nap { ms: 0 }, Overrides { queue: Some("idle".to_owned()), ..Overrides::default() });
        // Long before the busy queue is empty.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(source.claims_of("idle") > 1, "prefetch {prefetch}: {:?}", source.claims());
        assert!(count(&probe.seen(), "napped") < 150);
        within(probe.until(|seen| count(seen, "napped") == 201)).await;
        worker.stop().await;
    }
}

/// Slow tasks after a burst of fast ones are not kept in the buffer of the worker that was fast.
#[tokio::test(start_paused = true)]
async fn what_was_claimed_ahead_goes_to_who_has_slots_free() {
    let (probe, env) = (Probe::default(), Env::system());
    let broker = MemoryBroker::new(env.clone());
    for _ in 0..5_000 {
        publish(&broker, &env, &Nap { ms: 0 }, Overrides::default());
    }
    for _ in 0..20 {
        publish(&broker, &env, &Nap { ms: 3_600_000 }, Overrides::default());
    }
    let start = || app(&probe).worker_on(broker.clone()).unwrap().queue("default", 2).start();
    let fast = start().await.unwrap();
    within(probe.until(|seen| count(seen, "lies down") == 2)).await;
    let idle = start().await.unwrap();
    within(probe.until(|seen| count(seen, "lies down") == 4)).await;
    for worker in [fast, idle] {
        worker.stopper().now();
        within(worker.ended()).await;
    }
    assert_eq!(broker.len(), 20, "it cost nobody an attempt");
}

/// A task that became too late while it waited for a slot goes back to its source, which ends it.
#[tokio::test(start_paused = true)]
async fn what_has_become_too_late_is_given_back() {
    for ack in [Ack::Late, Ack::Early] {
        let (probe, env) = (Probe::default(), Env::system());
        let broker = MemoryBroker::new(env.clone());
        let source = Recorded::new(broker.clone());
        source.answer_late();
        publish(&broker, &env, &Nap { ms: 0 }, Overrides { ack: Some(ack), ..Overrides::default() });
        let worker = app(&probe).worker_on(source).unwrap().queue("default", 2).start().await.unwrap();
        within(probe.until(|seen| count(seen, "napped") == 1)).await;
        let report = within(worker.stop()).await;
        assert_eq!((report.claimed, report.released, report.succeeded), (2, 1, 1));
    }
}
