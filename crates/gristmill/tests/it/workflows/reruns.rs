//! Workflows that are begun anew, and what is changed of them while they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gristmill::testing::Harness;
use gristmill::workflow::{Retried, Retry, StepWord, Tolerance, Tolerated, WorkflowState};
use gristmill::{App, Context, Error, Result, task};

type Healed = Arc<AtomicBool>;

/// Fails for good on 2, until that is mended.
#[task(name = "part", max_attempts = 1)]
async fn part(cx: &Context<Healed>, n: u32) -> Result<u32> {
    if n == 2 && !cx.state.load(Ordering::SeqCst) {
        return Err(Error::fail("broken"));
    }
    Ok(n)
}

#[task(name = "total")]
async fn total(parts: Vec<u32>) -> Result<u32> {
    Ok(parts.iter().sum())
}

async fn harness(healed: &Healed) -> Harness {
    Harness::new(App::new(healed.clone()).register::<Part>().register::<Total>()).await.unwrap()
}

#[tokio::test]
async fn what_failed_is_retried_and_the_result_is_that_of_all() {
    let healed = Healed::default();
    let test = harness(&healed).await;
    let mut w = test.client().workflow("sums").deadline(Duration::from_secs(3_600));
    let parts = w.each("parts", [1, 2, 3].map(|n| Part { n }));
    w.step("total", Total::with(parts.results()));
    let run = w.start().await.unwrap().typed::<u32>();
    assert_eq!(run.retry(Retry::All).await.unwrap(), Retried::NotEnded);
    assert_eq!(test.drain().await.unwrap(), 3);
    run.result().await.unwrap_err();
    healed.store(true, Ordering::SeqCst);
    assert_eq!(run.retry(Retry::Failed).await.unwrap(), Retried::Done(2));
    assert_eq!(test.drain().await.unwrap(), 2, "the one that failed, and what waited for it");
    assert_eq!(run.result().await.unwrap(), 6);
    let record = run.status().await.unwrap().unwrap();
    assert_eq!((record.attempt, record.deadline.is_some(), record.overdue), (2, true, false));
    assert_eq!(run.retry(Retry::Failed).await.unwrap(), Retried::Nothing);
    assert_eq!(test.client().workflows().retry(run.id(), Retry::All).await.unwrap(), Retried::Done(3));
    assert_eq!(test.drain().await.unwrap(), 4);
    assert_eq!(run.result().await.unwrap(), 6);
}

#[tokio::test]
async fn more_may_fail_than_was_said_at_first() {
    let test = harness(&Healed::default()).await;
    let mut w = test.client().workflow("sums");
    w.each("parts", [1, 2, 3].map(|n| Part { n }));
    let run = w.start().await.unwrap();
    assert_eq!(run.tolerate("parts", Tolerance::Percent(50)).await.unwrap(), Tolerated::Done(StepWord::Running));
    assert_eq!(run.tolerate("part", Tolerance::NONE).await.unwrap(), Tolerated::NoSuchStep);
    test.drain().await.unwrap();
    assert_eq!(run.ended().await.unwrap().state, WorkflowState::Succeeded);
    assert_eq!(run.tolerate("parts", Tolerance::NONE).await.unwrap(), Tolerated::AlreadyEnded);
}

#[tokio::test]
async fn what_is_late_is_cancelled() {
    let test = harness(&Healed::default()).await;
    let mut w = test.client().workflow("sums").deadline(Duration::from_secs(60));
    w.step("part", Part { n: 1 }).delay(Duration::from_secs(3_600));
    let run = w.start().await.unwrap();
    test.advance(Duration::from_secs(61)).await.unwrap();
    test.drain().await.unwrap();
    let record = run.ended().await.unwrap();
    assert_eq!((record.state, record.overdue), (WorkflowState::Cancelled, true));
    let none = test.client().workflow("sums").deadline(Duration::ZERO).start().await.unwrap_err();
    assert!(none.to_string().contains("deadline"), "{none}");
}
