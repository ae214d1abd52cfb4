//! A worker that gives up on a claim and makes it again, while the first is still under way on the server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{Claim, Ending, Env, Overrides, Settled, Settlement, State, Store, TaskId, Wanted, WorkerSpec};
use gristmill_postgres::PostgresStore;

use crate::common::{Schema, client, task};

const ROUNDS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_repeated_at_any_moment_knows_all_that_was_taken() {
    let (schema, env) = (Schema::new(), Env::system());
    let store: Arc<dyn Store> = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let eye = client().await;
    let worker = env.worker_id();
    let queues = ["a", "b"];
    let spec = WorkerSpec {
        id: worker,
        name: "w".to_owned(),
        lease: Duration::from_secs(600),
        kinds: vec!["work".into()],
        queues: queues.map(|queue| (queue.to_owned(), 1)).into(),
        version: String::new(),
    };
    store.enter(&spec).await.unwrap();
    let mut undone: BTreeSet<TaskId> = BTreeSet::new();
    for round in 0..ROUNDS {
        let tasks = queues.map(|queue| task(&env, "work", Overrides { queue: Some(queue.to_owned()), ..Overrides::default() }));
        undone.extend(tasks.iter().map(|task| task.id));
        store.enqueue(tasks.to_vec()).await.unwrap();
        let wanted = queues.map(|queue| Wanted::new(queue, 5)).to_vec();
        let claim = Claim { worker, fence: env.fence(), wanted, again: false };
        let first = tokio::spawn({
            let (store, claim) = (store.clone(), claim.clone());
            async move { store.claim(&claim).await.map(drop) }
        });
        // At another moment each time, before it was sent or after it was answered too.
        tokio::time::sleep(Duration::from_millis(4).mul_f64(env.random())).await;
        first.abort();
        let _ = first.await;
        let given = store.claim(&Claim { again: true, ..claim }).await.unwrap();
        let held = format!("SELECT count(*) FROM {}.lease", schema.0);
        let held: i64 = eye.query_one(&held, &[]).await.unwrap().get(0);
        assert_eq!(held, i64::try_from(given.len()).unwrap(), "round {round}: a lease that its worker does not know of");
        let batch = given.iter().map(|claimed| Settlement::new(claimed.lease, Ending::Succeeded)).collect();
        assert!(store.settle(batch).await.unwrap().iter().all(|settled| *settled == Settled::Done(State::Succeeded)));
        for claimed in given {
            assert!(undone.remove(&claimed.lease.id), "round {round}: a task was claimed twice");
        }
    }
    // What the last repetitions did not give, as the first had taken only a part.
    let wanted = queues.map(|queue| Wanted::new(queue, ROUNDS)).to_vec();
    for claimed in store.claim(&Claim { worker, fence: env.fence(), wanted, again: false }).await.unwrap() {
        assert!(undone.remove(&claimed.lease.id));
    }
    assert!(undone.is_empty(), "{undone:?} are lost");
}
