use std::time::Duration;

use gristmill_core::{Ending, Overrides, Settlement, Source, State, Store, Wake};

use crate::common::{Fixture, succeed, task};

/// Far beyond what any wake-up takes.
const PATIENCE: Duration = Duration::from_secs(60);

const READY: &str = "SELECT count(*) FROM gristmill_ready";

fn number(fixture: &Fixture, sql: &str) -> i64 {
    fixture.raw().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn what_nobody_serves_is_out_of_the_way_and_never_lost() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let strange: Vec<_> = (0..50).map(|_| fixture.task("strange")).collect();
    fixture.store.enqueue(strange.clone()).await.unwrap();
    let mail = fixture.task("mail");
    fixture.store.enqueue(vec![mail.clone()]).await.unwrap();
    let claimed = fixture.claim(worker, 1).await;
    assert_eq!(claimed[0].lease.id, mail.id);
    assert_eq!(number(&fixture, READY), 0, "they are moved aside");
    for task in &strange {
        assert_eq!(fixture.state(task).await, Some(State::Ready), "for every observer they wait");
    }
    let queue = fixture.store.queues().await.unwrap().remove(0);
    assert_eq!((queue.ready, queue.unserved, queue.running), (50, 50, 1));
    assert!(!fixture.store.pending(&["default".to_owned()], Duration::ZERO).await.unwrap().ready);

    fixture.store.cancel(&[strange[49].id]).await.unwrap();
    assert_eq!(fixture.state(&strange[49]).await, Some(State::Cancelled));

    // One that serves them comes: they are back in their old order.
    let late = fixture.worker(&["strange"]).await;
    assert!(fixture.store.pending(&["default".to_owned()], Duration::ZERO).await.unwrap().ready);
    let claimed = fixture.claim(late, 100).await;
    assert!(claimed.iter().map(|claimed| claimed.lease.id).eq(strange[..49].iter().map(|task| task.id)));
    assert!(claimed.iter().all(|claimed| claimed.attempt == 1 && claimed.claim_no == 1), "none was burnt");
    succeed(&fixture.store, &claimed).await;
}

#[tokio::test]
async fn what_another_worker_serves_is_passed_over_and_stays() {
    let fixture = Fixture::new();
    let (ann, bob) = (fixture.worker(&["a"]).await, fixture.worker(&["b"]).await);
    fixture.store.enqueue((0..300).map(|_| fixture.task("b")).collect()).await.unwrap();
    let last = fixture.task("a");
    fixture.store.enqueue(vec![last.clone()]).await.unwrap();
    // Twice: the second time starts above those that it passed over.
    let claimed = fixture.claim(ann, 5).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>(), [last.id]);
    assert!(fixture.claim(ann, 5).await.is_empty());
    // Put back below what is passed over now, it is found all the same.
    fixture.store.enqueue((0..300).map(|_| fixture.task("b")).collect()).await.unwrap();
    assert!(fixture.claim(ann, 5).await.is_empty());
    fixture.store.settle(vec![Settlement::new(claimed[0].lease, Ending::Released)]).await.unwrap();
    assert_eq!(fixture.claim(ann, 5).await.len(), 1);
    assert_eq!(fixture.claim(bob, 1_000).await.len(), 600);
}

/// Two services share a queue. However much one of them has to do, the other's task is found in steps, and what was once in its way
/// is not in that of the next.
#[tokio::test(flavor = "multi_thread")]
async fn the_backlog_of_another_service_starves_nobody() {
    /// More than one look goes past.
    const OTHERS: usize = 12_000;
    let fixture = Fixture::new();
    let (ann, bob) = (fixture.worker(&["a"]).await, fixture.worker(&["b"]).await);
    let others: Vec<_> = (0..OTHERS).map(|_| fixture.task("b")).collect();
    for some in others.chunks(1_000) {
        fixture.store.enqueue(some.to_vec()).await.unwrap();
    }
    let mine = fixture.task("a");
    fixture.store.enqueue(vec![mine.clone()]).await.unwrap();
    loop {
        let before = number(&fixture, READY);
        let claimed = fixture.claim(ann, 10).await;
        if !claimed.is_empty() {
            assert_eq!(claimed[0].lease.id, mine.id);
            break;
        }
        assert!(number(&fixture, READY) < before, "each look gets further");
        // And whoever looked is to look again at once.
        let wait = fixture.store.wait(Wake::Ready, PATIENCE * 10);
        tokio::time::timeout(PATIENCE, wait).await.expect("there is more behind");
        // What comes back to the head of the queue meanwhile does not make it begin anew.
        let held = fixture.claim(bob, 1).await;
        fixture.store.settle(vec![Settlement::new(held[0].lease, Ending::Released)]).await.unwrap();
    }
    // The rest is moved by the next looks, and those that come then read few of others' tasks.
    let mut left = number(&fixture, READY);
    while left >= 256 {
        assert!(fixture.claim(ann, 10).await.is_empty());
        let before = std::mem::replace(&mut left, number(&fixture, READY));
        assert!(left < before, "{left} of {before}");
    }
    // Nothing is lost by that, and nothing out of order.
    let mut claimed = Vec::new();
    while claimed.len() < OTHERS {
        let some = fixture.claim(bob, 1_000).await;
        assert!(!some.is_empty(), "{} of {OTHERS}", claimed.len());
        claimed.extend(some.iter().map(|claimed| claimed.lease.id));
    }
    assert!(claimed.iter().eq(others.iter().map(|task| &task.id)));
}

/// What was moved out of another's way and what was not are claimed as if they stood in one line: by priority, then by arrival, whatever
/// their type.
#[tokio::test]
async fn what_was_moved_out_of_the_way_keeps_its_turn() {
    let fixture = Fixture::new();
    let (ann, bob) = (fixture.worker(&["a"]).await, fixture.worker(&["b", "c", "d"]).await);
    let other = |n: usize| {
        let over = Overrides { priority: Some([5, 2, 7][n % 3]), ..Overrides::default() };
        task(&fixture.env, ["b", "c"][n % 2], over)
    };
    let mut tasks = Vec::new();
    for round in 0..2 {
        let some: Vec<_> = (0..400).map(other).collect();
        fixture.store.enqueue(some.clone()).await.unwrap();
        tasks.extend(some);
        if round == 0 {
            assert!(fixture.claim(ann, 5).await.is_empty());
            assert_eq!(number(&fixture, READY), 0, "all is moved");
        }
    }
    tasks.sort_by_key(|task| task.priority);
    let (mut claimed, mut step) = (Vec::new(), 1);
    loop {
        let some = fixture.claim(bob, step).await;
        if some.is_empty() {
            break;
        }
        step += 7;
        claimed.extend(some.iter().map(|claimed| claimed.lease.id));
    }
    assert!(claimed.iter().eq(tasks.iter().map(|task| &task.id)));
    assert_eq!(number(&fixture, "SELECT (SELECT count(*) FROM gristmill_parked) + (SELECT count(*) FROM gristmill_ready)"), 0);
}

/// An older program's sweeps bring back whatever is served, for whomever: to move it again would go on for ever.
#[tokio::test]
async fn beside_a_worker_of_an_older_version_nothing_is_moved_that_is_served() {
    let fixture = Fixture::new();
    let (ann, _bob) = (fixture.worker(&["a"]).await, fixture.worker(&["b"]).await);
    fixture
        .raw()
        .execute_batch("UPDATE gristmill_worker SET serves = json_remove(serves, '$.by_kind') WHERE name LIKE '%b'")
        .unwrap();
    fixture.store.enqueue((0..300).map(|_| fixture.task("b")).collect()).await.unwrap();
    let mine = [fixture.task("a"), fixture.task("a")];
    fixture.store.enqueue(mine.to_vec()).await.unwrap();
    assert_eq!(fixture.claim(ann, 1).await[0].lease.id, mine[0].id);
    assert_eq!(number(&fixture, READY), 301);
    fixture.raw().execute_batch("UPDATE gristmill_worker SET serves = json_set(serves, '$.by_kind', json('true'))").unwrap();
    assert_eq!(fixture.claim(ann, 1).await[0].lease.id, mine[1].id);
    assert_eq!(number(&fixture, READY), 0, "it has gone");
}
