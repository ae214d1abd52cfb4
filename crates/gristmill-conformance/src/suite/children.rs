//! What a handler enqueues through its context: there if it succeeded, and only once.

use gristmill_core::{CancelOutcome, Ending, Filter, LeaseRef, NewTask, Retention, Settled, Settlement, State, TaskMeta};

use super::bench::{ALL, Bench, secs};
use super::list;

list![
    children_are_kept_with_a_success_in_their_order,
    children_of_any_other_ending_are_dropped,
    children_of_a_lost_lease_are_dropped,
    a_child_that_is_there_already_is_no_harm,
    a_child_whose_id_is_anothers_fails_the_attempt,
    a_refused_child_hinders_no_other_settlement,
    children_outlive_a_parent_of_which_nothing_is_kept,
];

/// They are tasks like any others, enqueued at the moment of the settlement.
pub async fn children_are_kept_with_a_success_in_their_order(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let parent = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    bench.pass(secs(7));
    let meta = Some(Box::new(TaskMeta { parent: Some(parent), ..TaskMeta::default() }));
    let later = NewTask { delay: secs(5), meta, ..bench.task() };
    let children = vec![bench.task(), later.clone(), bench.task()];
    let ids: Vec<_> = children.iter().map(|child| child.id).collect();
    assert_eq!(succeed(&bench, lease, children).await, Settled::Done(State::Succeeded));
    let delayed = bench.get(later.id).await;
    assert_eq!((delayed.state, delayed.meta.parent), (State::Scheduled, Some(parent)));
    assert_eq!((delayed.created_at, delayed.run_at), (bench.env.now(), bench.env.now().saturating_add(secs(5))));
    assert_eq!(bench.claim_ids(worker, ALL).await, [ids[0], ids[2]]);
    assert_eq!(bench.list(&Filter::default()).await, [ids[2], ids[1], ids[0], parent]);
}

/// A handler that is run again enqueues its children again; those of the attempt before must not be there.
pub async fn children_of_any_other_ending_are_dropped(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let delay = secs(3600);
    for ending in
        [Ending::Failed, Ending::Retry { delay }, Ending::Snooze { delay }, Ending::Cancelled, Ending::Retry { delay: secs(0) }]
    {
        bench.add().await;
        let lease = bench.claim_one(worker).await.lease;
        let child = bench.task();
        let id = child.id;
        bench.settle_with(Settlement { children: [child].into(), ..Settlement::new(lease, ending) }).await;
        assert_eq!(bench.find(id).await, None, "{ending:?}");
    }
    // Asked to stop, and stopped.
    let parent = bench.claim_one(worker).await.lease;
    assert_eq!(bench.store.cancel(&[parent.id]).await.expect("the store answers"), [CancelOutcome::CancelRequested]);
    let child = bench.task();
    let id = child.id;
    bench.settle_with(Settlement { children: [child].into(), ..Settlement::new(parent, Ending::Failed) }).await;
    assert_eq!(bench.find(id).await, None);
}

/// A stale worker enqueues nothing.
pub async fn children_of_a_lost_lease_are_dropped(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    bench.die().await;
    let child = bench.task();
    let id = child.id;
    assert_eq!(succeed(&bench, lease, vec![child]).await, Settled::LeaseLost);
    assert_eq!(bench.find(id).await, None);
}

/// A child that is there already, with the same type and arguments, is that one.
pub async fn a_child_that_is_there_already_is_no_harm(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    let taken = bench.task();
    bench.enqueue(taken.clone()).await;
    let fresh = bench.task();
    let children = vec![taken.clone(), fresh.clone(), fresh.clone()];
    assert_eq!(succeed(&bench, lease, children).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.get(taken.id).await.args, taken.args);
    assert_eq!(bench.claim_ids(worker, ALL).await, [taken.id, fresh.id]);
}

/// A success that lost a child in silence would be none: the attempt has failed, for good, and says why.
pub async fn a_child_whose_id_is_anothers_fails_the_attempt(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let taken = bench.task();
    let other = |task: &NewTask| NewTask { args: "{\"n\":2}".to_owned(), ..task.clone() };
    let sibling = bench.task();
    let mut parents = Vec::new();
    for refused in [vec![other(&taken)], vec![sibling.clone(), other(&sibling)]] {
        let parent = bench.add().await;
        let lease = bench.claim_one(worker).await.lease;
        parents.push((parent, refused[0].id));
        if parents.len() == 1 {
            bench.enqueue(NewTask { delay: secs(600), ..taken.clone() }).await;
        }
        let fresh = bench.task();
        let children = std::iter::once(fresh.clone()).chain(refused).collect();
        let settlement = Settlement { result: Some("1".to_owned()), children, ..Settlement::new(lease, Ending::Succeeded) };
        assert_eq!(bench.settle_with(settlement).await, Settled::Done(State::Failed));
        assert_eq!(bench.find(fresh.id).await, None, "none of its children is kept");
    }
    for (parent, refused) in parents {
        let parent = bench.get(parent).await;
        assert_eq!((parent.state, &parent.result), (State::Failed, &None));
        let error = parent.error.expect("it says why");
        assert!(error.message.contains(&refused.to_string()), "{}", error.message);
    }
    assert_eq!(bench.get(taken.id).await.args, taken.args);
    assert_eq!(bench.find(sibling.id).await, None);
}

/// And hinders no other settlement of the same batch.
pub async fn a_refused_child_hinders_no_other_settlement(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let taken = bench.enqueue(NewTask { delay: secs(600), ..bench.task() }).await;
    let conflict = NewTask { id: taken, args: "{\"n\":2}".to_owned(), ..bench.task() };
    let mut settlements = Vec::new();
    let mut children = Vec::new();
    for n in 0..3 {
        bench.add().await;
        let lease = bench.claim_one(worker).await.lease;
        let child = bench.task();
        children.push(child.id);
        let own = if n == 1 { vec![child, conflict.clone()] } else { vec![child] };
        settlements.push(Settlement { children: own.into(), ..Settlement::new(lease, Ending::Succeeded) });
    }
    let settled = bench.store.settle(settlements).await.expect("settle");
    let done = Settled::Done;
    assert_eq!(settled, [done(State::Succeeded), done(State::Failed), done(State::Succeeded)]);
    assert_eq!(bench.claim_ids(worker, ALL).await, [children[0], children[2]]);
}

/// The parent disappears with its success, the children do not.
pub async fn children_outlive_a_parent_of_which_nothing_is_kept(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let parent = bench.enqueue(NewTask { retention: Retention::None, ..bench.task() }).await;
    let lease = bench.claim_one(worker).await.lease;
    let child = bench.task();
    let id = child.id;
    assert_eq!(succeed(&bench, lease, vec![child]).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.find(parent).await, None);
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
}

async fn succeed(bench: &Bench<'_>, lease: LeaseRef, children: Vec<NewTask>) -> Settled {
    bench.settle_with(Settlement { children: children.into(), ..Settlement::new(lease, Ending::Succeeded) }).await
}
