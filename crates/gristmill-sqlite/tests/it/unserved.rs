use std::time::Duration;

use gristmill_core::{Source, State, Store};

use crate::common::{Fixture, succeed};

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
    let ready = || -> i64 { fixture.raw().query_row("SELECT count(*) FROM gristmill_ready", [], |row| row.get(0)).unwrap() };
    assert_eq!(ready(), 0, "they are moved aside");
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
    let ending = gristmill_core::Ending::Released;
    fixture.store.settle(vec![gristmill_core::Settlement::new(claimed[0].lease, ending)]).await.unwrap();
    assert_eq!(fixture.claim(ann, 5).await.len(), 1);
    assert_eq!(fixture.claim(bob, 1_000).await.len(), 600);
}
