//! Handlers that compute on a thread of the runtime.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill::core::{Env, NewTask, Overrides};
use gristmill::options::Limits;
use gristmill::testing::MemoryBroker;
use gristmill::{App, Context, Result, Task, task};

use crate::recorded::Recorded;
use crate::support::within;

/// Computes for longer than the lease of its worker, as far as that is kept.
#[task(name = "compute")]
async fn compute(cx: &Context<Arc<Recorded>>) -> Result<u32> {
    let since = Instant::now();
    while cx.state.beats_apart() < 3 && since.elapsed() < Duration::from_secs(30) {
        std::thread::yield_now();
    }
    Ok(cx.attempt())
}

#[tokio::test]
async fn a_handler_that_computes_does_not_cost_the_lease() {
    let env = Env::system();
    let broker = MemoryBroker::new(env.clone());
    let source = Recorded::new(broker.clone());
    let app = App::new(source.clone()).register::<Compute>();
    let kind = Compute::kind();
    broker.publish(NewTask::of(&kind, "{}".into(), Overrides::default(), env.task_id(), &Limits::default()).unwrap());
    // Each beat comes half a lease after the one before.
    let worker = app.worker_on(source.clone()).unwrap().lease(Duration::from_secs(2)).drain(true).start().await.unwrap();
    let report = within(worker.ended()).await;
    assert!(source.beats_apart() >= 3);
    assert_eq!((report.claimed, report.succeeded, report.leases_lost), (1, 1, 0));
}

/// Its answer to an operator does not wait until the runtime is free again, when it might claim once more.
#[tokio::test]
async fn a_worker_that_computes_hears_that_it_is_to_end() {
    let env = Env::system();
    let broker = MemoryBroker::new(env.clone());
    let source = Recorded::new(broker.clone());
    source.drain_apart();
    let app = App::new(source.clone()).register::<Compute>();
    let kind = Compute::kind();
    for _ in 0..2 {
        broker.publish(NewTask::of(&kind, "{}".into(), Overrides::default(), env.task_id(), &Limits::default()).unwrap());
    }
    let builder = app.worker_on(source.clone()).unwrap().queue("default", 1).prefetch(0);
    let report = within(builder.lease(Duration::from_secs(2)).start().await.unwrap().ended()).await;
    assert_eq!((report.claimed, report.succeeded, report.leases_lost), (1, 1, 0));
}
