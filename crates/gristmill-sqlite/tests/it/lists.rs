use gristmill_core::{Filter, State, Store};

use crate::common::{Fixture, succeed};

#[tokio::test]
async fn few_in_a_rare_state_are_found_behind_a_long_history() {
    let fixture = Fixture::with("synchronous=normal");
    let worker = fixture.worker(&["mail"]).await;
    let first = fixture.task("mail");
    fixture.store.enqueue(vec![first.clone()]).await.unwrap();
    let running = fixture.claim(worker, 1).await;
    let doomed = fixture.task("mail");
    fixture.store.enqueue(vec![doomed.clone()]).await.unwrap();
    fixture.store.cancel(&[doomed.id]).await.unwrap();
    // More ended tasks than a page may read.
    for _ in 0..60 {
        fixture.store.enqueue((0..1_000).map(|_| fixture.task("mail")).collect()).await.unwrap();
        succeed(&fixture.store, &fixture.claim(worker, 1_000).await).await;
    }
    let ids = async |states: &[State]| {
        let filter = Filter { states: states.to_vec(), ..Filter::default() };
        let page = fixture.store.list(&filter, None, 10).await.unwrap();
        assert_eq!(page.next, None, "one page finds them");
        page.items.into_iter().map(|item| item.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&[State::Running]).await, [running[0].lease.id]);
    assert_eq!(ids(&[State::Cancelled]).await, [doomed.id]);
    assert_eq!(ids(&[State::Cancelled, State::Running, State::Scheduled, State::Failed]).await, [doomed.id, first.id]);

    // Where every task has to be looked at, a page ends before it has read them all.
    let filter = Filter { states: vec![State::Ready], ..Filter::default() };
    let page = fixture.store.list(&filter, None, 10).await.unwrap();
    assert!(page.items.is_empty());
    let page = fixture.store.list(&filter, page.next, 10).await.unwrap();
    assert_eq!(page.next, None);
}
