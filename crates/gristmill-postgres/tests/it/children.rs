//! What tasks have started and left behind, beside who begins them anew.

use gristmill_core::durable::Kept;
use gristmill_core::workflow::{WorkflowState, Workflows as _};
use gristmill_core::{CancelOutcome, RetryOutcome, Source as _, Store as _};

use crate::common::client;
use crate::workflows::{House, within};

/// Cancelled after it had been awaited again, it would fail the task that was just retried.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_by_hand_and_a_sweep_agree_about_a_child() {
    let house = House::new().await;
    let (id, of) = house.waits_for_workflow().await;
    assert_eq!(house.store.cancel(&[id]).await.unwrap(), [CancelOutcome::Cancelled]);
    let holder = client().await;
    let hold = format!("BEGIN; SELECT FROM {}.workflow WHERE id = '{}' FOR UPDATE", house.schema.0, of.as_uuid());
    holder.batch_execute(&hold).await.unwrap();
    let (sweeper, retrier) = (house.store.clone(), house.store.clone());
    let sweeping = tokio::spawn(async move { sweeper.sweep(1_000).await.map(drop) });
    within(async { while house.waiters().await == 0 {} }).await;
    let retrying = tokio::spawn(async move { retrier.retry(&[id]).await });
    within(async { while !retrying.is_finished() && house.waiters().await < 2 {} }).await;
    holder.batch_execute("COMMIT").await.unwrap();
    within(sweeping).await.unwrap().unwrap();
    assert_eq!(within(retrying).await.unwrap().unwrap(), [RetryOutcome::Ready]);
    let state = house.store.workflow(of).await.unwrap().unwrap().state;
    let expected = if state == WorkflowState::Running { vec![Kept::Workflow(of)] } else { Vec::new() };
    assert_eq!(house.kept(id).await, expected, "{state:?}");
}
