//! Tasks whose code has changed under what they remember: they stand still until a person says how they go on.

use gristmill_core::durable::{Due, Kept, MISMATCH_AT, Memory, Mismatch, Resume, Resumed};
use gristmill_core::workflow::WorkflowState;
use gristmill_core::{Ending, Settled, Severity, State};

use super::bench::{ALL, Bench, secs};
use super::durable::{remembered, value, waits_for_workflow};
use super::list;

list![
    a_mismatch_over_an_ended_child_stays_scheduled,
    only_who_stands_still_is_resumed,
    who_was_let_run_and_failed_stands_still_no_more,
    a_child_that_is_forgotten_is_cancelled,
    who_stands_still_goes_on_as_a_person_says,
];

fn mismatch(position: u32) -> Memory {
    let mismatch = Mismatch { position, expected: "b".to_owned(), found: Some("x".to_owned()), fails: false };
    remembered(MISMATCH_AT, "", Kept::Mismatch(mismatch))
}

/// Else it would run again and again, and stand still each time.
pub async fn a_mismatch_over_an_ended_child_stays_scheduled(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let (id, member, _) = waits_for_workflow(&bench, worker).await;
    assert_eq!(bench.settle(member.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.suspend(lease, mismatch(0), Due::Never).await, Settled::Done(State::Scheduled));
    bench.sweep().await;
    bench.none_is_ready(worker).await;
    assert_eq!(bench.store.resume_task(id, Resume::Again).await.expect("resume"), Resumed::Done);
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
}

/// Not one that runs, is put off, or has ended.
pub async fn only_who_stands_still_is_resumed(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let resume = async || bench.store.resume_task(id, Resume::Forget).await.expect("resume");
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.suspend(lease, mismatch(0), Due::Never).await, Settled::Done(State::Scheduled));
    bench.let_go(id).await;
    assert_eq!(resume().await, Resumed::NotPaused, "it is ready");
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(resume().await, Resumed::NotPaused, "it runs");
    assert_eq!(bench.settle(lease, Ending::Retry { delay: secs(60) }).await, Settled::Done(State::Scheduled));
    assert_eq!(resume().await, Resumed::NotPaused, "it is put off");
    bench.pass_with(worker, secs(60)).await;
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.settle(lease, Ending::Failed).await, Settled::Done(State::Failed));
    assert_eq!(resume().await, Resumed::NotPaused, "it has ended");
    assert_eq!(bench.memories(id).await, [mismatch(0)]);
}

/// Its code may be right by then: nobody is to look after it.
pub async fn who_was_let_run_and_failed_stands_still_no_more(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.suspend(lease, mismatch(0), Due::Never).await, Settled::Done(State::Scheduled));
    assert!(bench.stands_still().await.contains(&id.to_string()));
    bench.let_go(id).await;
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.settle(lease, Ending::Retry { delay: secs(60) }).await, Settled::Done(State::Scheduled));
    assert_eq!(bench.stands_still().await, "");
}

/// Nobody would ask for its result.
pub async fn a_child_that_is_forgotten_is_cancelled(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let (id, member, of) = waits_for_workflow(&bench, worker).await;
    bench.let_go(id).await;
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.suspend(lease, mismatch(0), Due::Never).await, Settled::Done(State::Scheduled));
    assert_eq!(bench.store.resume_task(id, Resume::Forget).await.expect("resume"), Resumed::Done);
    bench.sweep().await;
    assert_eq!((bench.memories(id).await, bench.of(of).await.state), (vec![], WorkflowState::Cancelling));
    assert_eq!(bench.settle(member.lease, Ending::Cancelled).await, Settled::Done(State::Cancelled));
    assert_eq!(bench.of(of).await.state, WorkflowState::Cancelled);
}

/// In each of the ways.
pub async fn who_stands_still_goes_on_as_a_person_says(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let mismatch = |fails| {
        let mismatch = Mismatch { position: 1, expected: "b".to_owned(), found: Some("x".to_owned()), fails };
        remembered(MISMATCH_AT, "", Kept::Mismatch(mismatch))
    };
    let (a, b) = (value(0, "a", "1"), value(1, "b", "2"));
    for (how, left) in [
        (Resume::Again, vec![a.clone(), b.clone()]),
        (Resume::Forget, vec![a.clone()]),
        (Resume::Fail, vec![a.clone(), b.clone(), mismatch(true)]),
    ] {
        let id = bench.add().await;
        let lease = bench.claim_one(worker).await.lease;
        bench.remember(lease, vec![a.clone(), b.clone()]).await;
        assert_eq!(bench.store.resume_task(id, how).await.expect("resume"), Resumed::NotPaused);
        assert_eq!(bench.suspend(lease, mismatch(false), Due::Never).await, Settled::Done(State::Scheduled));
        bench.none_is_ready(worker).await;
        assert!(bench.stands_still().await.contains(&id.to_string()));
        assert_eq!(bench.store.resume_task(id, how).await.expect("resume"), Resumed::Done);
        assert_eq!(bench.stands_still().await, "");
        assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
        assert_eq!(bench.memories(id).await, left);
    }
    let nobody = bench.env.task_id();
    assert_eq!(bench.store.resume_task(nobody, Resume::Again).await.expect("resume"), Resumed::NotFound);
    let plain = bench.add().await;
    assert_eq!(bench.store.resume_task(plain, Resume::Again).await.expect("resume"), Resumed::NotPaused);
}

impl Bench<'_> {
    /// What the store's check says of tasks that stand still; nothing if none does.
    async fn stands_still(&self) -> String {
        let findings = self.store.check().await.expect("check");
        let found = findings.into_iter().find(|finding| finding.code == "stands_still" && finding.severity == Severity::Error);
        found.map(|finding| finding.message).unwrap_or_default()
    }
}
