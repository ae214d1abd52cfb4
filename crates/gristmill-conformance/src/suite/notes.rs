//! Logs and progress of running attempts.

use gristmill_core::{Ending, LeaseRef, Note, Progress, Settlement};

use super::bench::{ALL, Bench, secs};
use super::list;

list![
    a_note_is_seen_while_the_attempt_runs,
    a_note_replaces_only_what_it_gives,
    the_last_note_stays_with_the_attempt,
    a_settlement_has_the_last_word,
    notes_of_a_crashed_attempt_survive_it,
    one_answer_a_note_in_order,
];

/// Whoever looks at a running task sees what it said last.
pub async fn a_note_is_seen_while_the_attempt_runs(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    note(&bench, lease, Some("one"), Some(1)).await;
    note(&bench, lease, Some("one\ntwo"), Some(2)).await;
    let row = &bench.get(id).await.attempts[0];
    assert_eq!((row.logs.as_deref(), row.progress.as_ref()), (Some("one\ntwo"), Some(&progress(2))));
}

/// Progress without logs leaves the logs, and the other way round.
pub async fn a_note_replaces_only_what_it_gives(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    note(&bench, lease, Some("one"), Some(1)).await;
    note(&bench, lease, None, Some(2)).await;
    note(&bench, lease, Some("two"), None).await;
    note(&bench, lease, None, None).await;
    let row = &bench.get(id).await.attempts[0];
    assert_eq!((row.logs.as_deref(), row.progress.as_ref()), (Some("two"), Some(&progress(2))));
}

/// An attempt that ends without saying more keeps what it said, and the next attempt begins anew.
pub async fn the_last_note_stays_with_the_attempt(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    note(&bench, lease, Some("one"), Some(1)).await;
    bench.settle(lease, Ending::Retry { delay: secs(0) }).await;
    bench.claim_one(worker).await;
    let rows = bench.get(id).await.attempts;
    assert_eq!((rows[0].logs.as_deref(), rows[0].progress.as_ref()), (Some("one"), Some(&progress(1))));
    assert_eq!((rows[1].logs.as_deref(), rows[1].progress.as_ref()), (None, None));
}

/// What comes with the settlement replaces the notes, each part for itself.
pub async fn a_settlement_has_the_last_word(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    note(&bench, lease, Some("one"), Some(1)).await;
    bench.settle_with(Settlement { logs: Some("all".to_owned()), ..Settlement::new(lease, Ending::Succeeded) }).await;
    let row = &bench.get(id).await.attempts[0];
    assert_eq!((row.logs.as_deref(), row.progress.as_ref()), (Some("all"), Some(&progress(1))));
}

/// The last words of a worker that died are there for whoever wants to know why.
pub async fn notes_of_a_crashed_attempt_survive_it(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    note(&bench, lease, Some("allocating"), Some(1)).await;
    bench.die().await;
    let row = &bench.get(id).await.attempts[0];
    assert_eq!((row.logs.as_deref(), row.progress.as_ref()), (Some("allocating"), Some(&progress(1))));
}

/// Each note of a batch has its own answer, and a lost one hinders no other.
pub async fn one_answer_a_note_in_order(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let ids = [bench.add().await, bench.add().await, bench.add().await];
    let leases: Vec<_> = bench.claim(worker, ALL).await.iter().map(|claimed| claimed.lease).collect();
    bench.settle(leases[1], Ending::Succeeded).await;
    let notes = leases.iter().map(|lease| Note { lease: *lease, logs: Some("said".to_owned()), progress: None }).collect();
    assert_eq!(bench.store.note(notes).await.expect("the store answers"), [true, false, true]);
    let mut logs = Vec::new();
    for id in ids {
        logs.push(bench.get(id).await.attempts[0].logs.clone());
    }
    assert_eq!(logs, [Some("said".to_owned()), None, Some("said".to_owned())]);
}

async fn note(bench: &Bench<'_>, lease: LeaseRef, logs: Option<&str>, done: Option<u64>) {
    let note = Note { lease, logs: logs.map(str::to_owned), progress: done.map(progress) };
    assert_eq!(bench.store.note(vec![note]).await.expect("the store answers"), [true]);
}

fn progress(done: u64) -> Progress {
    Progress { done, total: Some(10), message: "at it".to_owned(), data: None }
}
