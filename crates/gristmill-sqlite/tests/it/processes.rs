use std::time::Duration;

use gristmill_core::{CancelOutcome, Settled, Source, State, Store, Wake};

use crate::common::{Fixture, claim, enter, succeed, success};

/// Far beyond what any wake-up takes: a wait that runs into it was not woken.
const DEADLINE: Duration = Duration::from_secs(60);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("not woken")
}

#[tokio::test(flavor = "multi_thread")]
async fn many_handles_on_one_file_lose_and_double_nothing() {
    let fixture = Fixture::with("synchronous=normal");
    let tasks: Vec<_> = (0..600).map(|_| fixture.task("mail")).collect();
    let mut callers = tokio::task::JoinSet::new();
    for part in tasks.chunks(200) {
        let (store, env, part) = (fixture.again("synchronous=normal"), fixture.env.clone(), part.to_vec());
        callers.spawn(async move {
            let worker = enter(&store, &env, &["mail"]).await;
            let mut done = 0;
            for task in part {
                store.enqueue(vec![task]).await.unwrap();
                let claimed = claim(&store, &env, worker, 2).await;
                done += claimed.len();
                succeed(&store, &claimed).await;
            }
            done
        });
    }
    let mut done: usize = callers.join_all().await.into_iter().sum();
    let worker = fixture.worker(&["mail"]).await;
    let rest = fixture.claim(worker, 1_000).await;
    done += rest.len();
    succeed(&fixture.store, &rest).await;
    assert_eq!(done, tasks.len(), "each was claimed once");
    for task in &tasks {
        assert_eq!(fixture.state(task).await, Some(State::Succeeded));
    }
}

#[tokio::test]
async fn a_wake_up_between_the_look_and_the_wait_is_not_lost() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let other = fixture.worker(&["mail"]).await;
    assert!(fixture.claim(worker, 1).await.is_empty());
    assert!(fixture.claim(other, 1).await.is_empty());
    fixture.store.enqueue(vec![fixture.task("mail")]).await.unwrap();
    // Both looked before; neither may sleep over it.
    in_time(fixture.store.wait(Wake::Ready, DEADLINE * 2)).await;
    in_time(fixture.store.wait(Wake::Ready, DEADLINE * 2)).await;

    fixture.store.sweep(10).await.unwrap();
    let mut later = fixture.task("mail");
    later.delay = Duration::from_secs(5);
    fixture.store.enqueue(vec![later]).await.unwrap();
    in_time(fixture.store.wait(Wake::Scheduled, DEADLINE * 2)).await;

    let claimed = fixture.claim(worker, 1).await;
    let id = claimed[0].lease.id;
    succeed(&fixture.store, &claimed).await;
    in_time(fixture.store.wait(Wake::Ended(id), DEADLINE * 2)).await;
    in_time(fixture.store.wait(Wake::Ended(fixture.env.task_id()), DEADLINE * 2)).await;
}

#[tokio::test]
async fn waits_end_with_commits_of_this_process_and_of_others() {
    let fixture = Fixture::new();
    let other = fixture.again("");
    let worker = fixture.worker(&["mail"]).await;
    for store in [&fixture.store, &other] {
        assert!(fixture.claim(worker, 1).await.is_empty());
        let task = fixture.task("mail");
        let enqueue = async { store.enqueue(vec![task.clone()]).await.unwrap() };
        // Joined, so that the wait has begun when the enqueue does.
        in_time(async { tokio::join!(fixture.store.wait(Wake::Ready, DEADLINE * 2), enqueue) }).await;
        let claimed = loop {
            let claimed = fixture.claim(worker, 1).await;
            if !claimed.is_empty() {
                break claimed;
            }
            in_time(fixture.store.wait(Wake::Ready, DEADLINE * 2)).await;
        };
        let settle = async { store.settle(vec![success(&claimed[0])]).await.unwrap() };
        let ended = async {
            while fixture.state(&task).await != Some(State::Succeeded) {
                fixture.store.wait(Wake::Ended(task.id), DEADLINE * 2).await;
            }
        };
        let ((), settled) = in_time(async { tokio::join!(ended, settle) }).await;
        assert_eq!(settled, [Settled::Done(State::Succeeded)]);
    }
}

#[tokio::test]
async fn a_wait_ends_with_its_timeout() {
    let fixture = Fixture::new();
    fixture.store.enqueue(vec![fixture.task("mail")]).await.unwrap();
    let page = fixture.store.list(&Default::default(), None, 1).await.unwrap();
    let wait = fixture.store.wait(Wake::Ended(page.items[0].id), Duration::from_millis(5));
    in_time(wait).await;
    assert_eq!(page.items[0].state, State::Ready);
}

#[tokio::test]
async fn a_cancellation_by_another_process_wakes_who_runs_the_task() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let another = fixture.again("");
    let task = fixture.task("mail");
    fixture.store.enqueue(vec![task.clone()]).await.unwrap();
    let claimed = fixture.claim(worker, 1).await;
    assert_eq!(fixture.store.cancelled(worker).await.unwrap(), []);
    let ids = [task.id];
    let cancelled = in_time(async {
        let (cancelled, found) = tokio::join!(another.cancel(&ids), async {
            loop {
                // Whatever the other process commits may be it.
                fixture.store.wait(Wake::Cancelled, DEADLINE * 2).await;
                let found = fixture.store.cancelled(worker).await.unwrap();
                if !found.is_empty() {
                    break found;
                }
            }
        });
        assert_eq!(cancelled.unwrap(), [CancelOutcome::CancelRequested]);
        found
    })
    .await;
    assert_eq!(cancelled, [claimed[0].lease]);
}
