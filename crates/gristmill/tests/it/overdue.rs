//! Attempts that outlive their timeout.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gristmill::core::AttemptState;
use gristmill::error::FailureReason;
use gristmill::record::State;
use gristmill::{App, Context, Error, Result, TaskId, task};

use crate::support::{in_memory, within};

#[task(name = "refuse", timeout = "5ms", kill_after = "1h", max_attempts = 3)]
async fn refuse(cx: &Context, how: String) -> Result<()> {
    cx.cancellation().cancelled().await;
    match how.as_str() {
        "fail" => Err(Error::fail("the far side says no")),
        "cancel" => Err(Error::cancel("nobody wants it any more")),
        _ => Err(Error::retry("interrupted")),
    }
}

#[tokio::test]
async fn a_handler_that_knows_better_than_its_timeout_is_believed() {
    let client = in_memory(App::new(()).register::<Refuse>()).await;
    let worker = client.worker().queue("default", 3).start().await.unwrap();
    for (how, state, reason, message) in [
        ("fail", State::Failed, FailureReason::Error, "the far side says no"),
        ("cancel", State::Cancelled, FailureReason::Cancelled, "nobody wants it any more"),
    ] {
        let task = within(client.enqueue(Refuse { how: how.into() }).await.unwrap().ended()).await.unwrap();
        let error = task.error.unwrap();
        assert_eq!((task.state, task.attempt, error.reason, error.message.as_str()), (state, 1, reason, message));
    }
    let other = client.enqueue(Refuse { how: String::new() }).max_attempts(1).await.unwrap();
    let task = within(other.ended()).await.unwrap();
    assert_eq!((task.attempts[0].state, task.error.unwrap().reason), (AttemptState::Failed, FailureReason::Timeout));
    worker.stop().await;
}

/// Which attempts have ended, and how many threads work at one moment.
#[derive(Clone, Default)]
struct Threads {
    ended: Arc<Mutex<HashSet<TaskId>>>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

/// Works on until a while after its attempt has ended.
#[task(name = "stubborn", timeout = "5ms", kill_after = "1ms", max_attempts = 1)]
fn stubborn(cx: &Context<Threads>) -> Result<()> {
    let threads = &cx.state;
    threads.most.fetch_max(threads.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    let since = Instant::now();
    while !threads.ended.lock().unwrap().contains(&cx.id()) && since.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(20));
    threads.now.fetch_sub(1, Ordering::SeqCst);
    Ok(())
}

#[tokio::test]
async fn a_thread_that_outlives_its_attempt_keeps_its_slot() {
    let threads = Threads::default();
    let ended = threads.ended.clone();
    let app = App::new(threads.clone()).register::<Stubborn>().on_ended(move |event| {
        ended.lock().unwrap().insert(event.id);
    });
    let client = in_memory(app).await;
    let worker = client.worker().queue("default", 2).start().await.unwrap();
    let mut handles = Vec::new();
    for _ in 0..8 {
        handles.push(client.enqueue(Stubborn {}).await.unwrap());
    }
    for handle in handles {
        let error = within(handle.ended()).await.unwrap().error.unwrap();
        assert_eq!(error.reason, FailureReason::Timeout);
    }
    within(worker.stop()).await;
    assert!(threads.most.load(Ordering::SeqCst) <= 2);
}
