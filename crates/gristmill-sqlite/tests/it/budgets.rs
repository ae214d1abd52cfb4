//! What one transaction does is bounded, whatever lies in its way.

use std::time::Duration;

use gristmill_core::{Claim, Ending, Filter, Limits, NewTask, Overrides, Policy, Settlement, Source, State, Store, Wake, Wanted};

use crate::common::{Fixture, enter, success, task};

const PATIENCE: Duration = Duration::from_secs(60);

/// Fifty thousand tasks that are too late lie before one that is not: claims get there in steps, and others write in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_works_through_a_backlog_of_expired_tasks_in_steps() {
    const LATE: usize = 50_000;
    let fixture = Fixture::new();
    let over = || Overrides { expires: Some(Duration::from_secs(1)), ..Overrides::default() };
    for _ in 0..LATE / 1_000 {
        let late: Vec<NewTask> = (0..1_000).map(|_| task(&fixture.env, "mail", over())).collect();
        fixture.store.enqueue(late).await.unwrap();
    }
    fixture.clock.advance(Duration::from_secs(2));
    let (other, raw) = (fixture.again(""), fixture.raw());
    let good = fixture.task("mail");
    fixture.store.enqueue(vec![good.clone()]).await.unwrap();
    let worker = fixture.worker(&["mail"]).await;
    let ended = || -> i64 { raw.query_row("SELECT count(*) FROM gristmill_outcome", [], |row| row.get(0)).unwrap() };
    let (mut before, mut claims) = (ended(), 0);
    loop {
        let claimed = fixture.claim(worker, 10).await;
        let now = ended();
        assert!(now - before <= 1_000, "one claim ended {} tasks", now - before);
        claims += 1;
        // Another process writes whenever it wants to.
        other.enqueue(vec![task(&fixture.env, "other", Overrides::default())]).await.unwrap();
        if !claimed.is_empty() {
            assert_eq!(claimed[0].lease.id, good.id);
            break;
        }
        assert!(now > before, "each claim gets further");
        // And whoever asks is to ask again at once.
        let wait = fixture.store.wait(Wake::Ready, PATIENCE * 10);
        tokio::time::timeout(PATIENCE, wait).await.expect("there is more behind");
        before = now;
    }
    assert!(claims >= LATE / 1_000, "{claims}");
    let told = fixture.store.sweep(1_000).await.unwrap();
    assert!(!told.ended.is_empty());
}

/// What is in the way of one queue is not in the way of another.
#[tokio::test]
async fn a_backlog_of_expired_tasks_holds_up_no_other_queue() {
    let fixture = Fixture::new();
    for _ in 0..3 {
        let over = || Overrides { queue: Some("late".to_owned()), expires: Some(Duration::from_secs(1)), ..Overrides::default() };
        fixture.store.enqueue((0..1_000).map(|_| task(&fixture.env, "mail", over())).collect()).await.unwrap();
    }
    fixture.clock.advance(Duration::from_secs(2));
    let good = fixture.task("mail");
    fixture.store.enqueue(vec![good.clone()]).await.unwrap();
    let worker = fixture.worker(&["mail"]).await;
    let wanted = ["late", "default"].map(|queue| Wanted::new(queue, 10));
    let claim = Claim { worker, fence: fixture.env.fence(), wanted: wanted.to_vec(), again: false };
    let claimed = fixture.store.claim(&claim).await.unwrap();
    assert_eq!(claimed.iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>(), [good.id]);
}

/// A sweep that could not do all of anything is to be repeated at once, whatever it was.
#[tokio::test]
async fn a_sweep_that_has_reached_a_limit_is_due_again_at_once() {
    let fixture = Fixture::new();
    let expiring = || Overrides { expires: Some(Duration::from_secs(1)), ..Overrides::default() };
    fixture.store.enqueue((0..3).map(|_| task(&fixture.env, "mail", expiring())).collect()).await.unwrap();
    fixture.clock.advance(Duration::from_secs(2));
    let due = async || fixture.store.sweep(2).await.map(|swept| (swept.expired, swept.next_due)).unwrap();
    assert_eq!(due().await, (2, Some(Duration::ZERO)));
    assert_eq!(due().await, (1, None));

    let worker = enter(&fixture.store, &fixture.env, &["mail"]).await;
    fixture.store.enqueue((0..3).map(|_| fixture.task("mail")).collect()).await.unwrap();
    assert_eq!(fixture.claim(worker, 3).await.len(), 3);
    fixture.store.sweep(10).await.unwrap();
    fixture.clock.advance(Duration::from_secs(31));
    let due = async || fixture.store.sweep(2).await.map(|swept| (swept.rescued, swept.next_due)).unwrap();
    assert_eq!(due().await, (2, Some(Duration::ZERO)));
    assert_eq!(due().await, (1, None));
}

/// Sweeps and beats are woken by what is due sooner than all they know of, and by no other task that is put off.
#[tokio::test]
async fn what_is_due_later_than_the_next_task_wakes_nobody() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let fixture = Fixture::new();
    let later = |delay| task(&fixture.env, "mail", Overrides { delay: Some(delay), ..Overrides::default() });
    let enqueue = async |delay| fixture.store.enqueue(vec![later(delay)]).await.unwrap();
    // What ended its look before somebody waits ends the wait at once.
    let woken = async || tokio::time::timeout(Duration::ZERO, fixture.store.wait(Wake::Scheduled, HOUR)).await.is_ok();
    let next_due = async || fixture.store.sweep(10).await.unwrap().next_due;
    // The first look at the file for others' commits finds that it is new, be it before the wait has begun: the sweep was before both.
    next_due().await;
    fixture.store.wait(Wake::Scheduled, PATIENCE).await;
    assert_eq!((next_due().await, woken().await), (None, false));
    enqueue(HOUR * 2).await;
    assert!(woken().await, "nothing was due before");
    assert_eq!((next_due().await, woken().await), (Some(HOUR * 2), false));
    enqueue(HOUR * 3).await;
    assert!(!woken().await, "whoever sweeps looks again before");
    enqueue(HOUR).await;
    assert!(woken().await, "this one comes before");
    enqueue(HOUR * 2).await;
    assert_eq!((next_due().await, woken().await), (Some(HOUR), false));

    // A retry is a task that is put off like any.
    let worker = fixture.worker(&["mail"]).await;
    fixture.store.enqueue(vec![fixture.task("mail"), fixture.task("mail")]).await.unwrap();
    let claimed = fixture.claim(worker, 2).await;
    for (claimed, (delay, wakes)) in claimed.iter().zip([(HOUR * 2, false), (Duration::from_secs(1), true)]) {
        let retry = Settlement::new(claimed.lease, Ending::Retry { delay });
        fixture.store.settle(vec![retry]).await.unwrap();
        assert_eq!(woken().await, wakes, "{delay:?}");
    }
}

/// Large tasks are claimed some at a time, and whoever asks is to ask again at once.
#[tokio::test]
async fn a_claim_reads_a_bounded_number_of_bytes() {
    let fixture = Fixture::new();
    let args = format!("{{\"text\":\"{}\"}}", "x".repeat(250_000));
    let large = || {
        let (policy, over, id) = (Policy::default(), Overrides::default(), fixture.env.task_id());
        NewTask::resolve("mail", &policy, args.clone(), over, id, &Limits::default()).unwrap()
    };
    for _ in 0..2 {
        fixture.store.enqueue((0..50).map(|_| large()).collect()).await.unwrap();
    }
    let worker = fixture.worker(&["mail"]).await;
    let first = fixture.claim(worker, 100).await;
    assert_eq!(first.len(), (16 * 1024 * 1024usize).div_ceil(args.len()));
    let wait = fixture.store.wait(Wake::Ready, PATIENCE * 10);
    tokio::time::timeout(PATIENCE, wait).await.expect("there is more behind");
    assert_eq!(fixture.claim(worker, 100).await.len(), 100 - first.len());
}

const LABELS_MAX: i64 = 10_000;

/// With 64 tags of one word each, it has two labels of each.
fn labelled(fixture: &Fixture) -> NewTask {
    let tags = (0..64).map(|n| if n == 0 { "urgent".to_owned() } else { format!("tag{n}") }).collect();
    task(&fixture.env, "mail", Overrides { tags, ..Overrides::default() })
}

/// What is filed under more labels than one transaction should write is found all the same, and labelled by sweeps.
#[tokio::test]
async fn the_labels_of_many_tasks_are_written_in_steps() {
    const TASKS: usize = 400;
    let fixture = Fixture::new();
    let raw = fixture.raw();
    let labels = || -> i64 { raw.query_row("SELECT count(*) FROM gristmill_label", [], |row| row.get(0)).unwrap() };
    let urgent = Filter { tag: Some("urgent".to_owned()), ..Filter::default() };
    let found = async || fixture.store.list_ids(&urgent, None, 1_000).await.unwrap().items.len();
    fixture.store.enqueue((0..TASKS).map(|_| labelled(&fixture)).collect()).await.unwrap();
    let at_first = labels();
    assert!(at_first <= LABELS_MAX && at_first > LABELS_MAX / 2, "{at_first}");
    assert_eq!(found().await, TASKS);
    let all = 128 * TASKS as i64;
    let mut before = at_first;
    while before < all {
        fixture.store.sweep(1_000).await.unwrap();
        assert!(labels() > before, "each sweep gets further");
        before = labels();
    }
    assert_eq!((labels(), found().await), (all, TASKS));
    // And they go with their tasks.
    fixture.clock.advance(Duration::from_secs(1));
    let ids = fixture.store.list_ids(&urgent, None, 1_000).await.unwrap().items;
    fixture.store.cancel(&ids).await.unwrap();
    fixture.clock.advance(Duration::from_secs(90 * 86_400));
    while fixture.store.prune(1_000).await.unwrap() > 0 {}
    assert_eq!(labels(), 0);
}

/// All that an attempt enqueues comes with its success, in one transaction; its labels need not.
#[tokio::test]
async fn an_attempt_with_many_children_writes_a_bounded_number_of_labels() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let parent = fixture.task("mail");
    fixture.store.enqueue(vec![parent.clone()]).await.unwrap();
    let claimed = fixture.claim(worker, 1).await;
    let children: Vec<_> = (0..400).map(|_| labelled(&fixture)).collect();
    let settlement = Settlement { children: children.clone().into(), ..success(&claimed[0]) };
    fixture.store.settle(vec![settlement]).await.unwrap();
    let labels: i64 = fixture.raw().query_row("SELECT count(*) FROM gristmill_label", [], |row| row.get(0)).unwrap();
    assert!(labels <= LABELS_MAX, "{labels}");
    assert_eq!(fixture.state(&parent).await, Some(State::Succeeded));
    assert_eq!(fixture.claim(worker, 1_000).await.len(), children.len());
}

/// A worker that holds much leaves it in steps.
#[tokio::test]
async fn a_worker_that_leaves_gives_all_back() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    for _ in 0..3 {
        fixture.store.enqueue((0..1_000).map(|_| fixture.task("mail")).collect()).await.unwrap();
    }
    assert_eq!(fixture.claim(worker, 2_500).await.len(), 2_500);
    assert_eq!(fixture.store.leave(worker).await.unwrap(), 2_500);
    assert_eq!(fixture.store.queues().await.unwrap()[0].ready, 3_000);
    assert!(fixture.store.workers().await.unwrap().is_empty());
    assert_eq!(fixture.store.leave(worker).await.unwrap(), 0);
}
