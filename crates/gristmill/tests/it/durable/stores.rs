//! The same on the stores of production, through the test kit: what is remembered, waits and grows there.

use gristmill::durable::Sent;

use super::grown::{Double, Grows, Runs, Sum, Tree};
use super::waits::Waits;
use super::*;

async fn goes_through(url: &str) -> Harness {
    let world = World::default();
    let app = world.app().register::<Double>().register::<Sum>().register::<Runs>().register::<Tree>().register::<Grows>();
    let test = Harness::connect(app.register::<Waits>(), url).await.unwrap();
    let client = test.client();
    let steps = client.enqueue(Steps { n: 10 }).await.unwrap();
    let runs = client.enqueue(Runs { n: 1 }).await.unwrap();
    let tree = client.enqueue(Tree { depth: 2 }).await.unwrap();
    let grows = client.enqueue(Grows { n: 13 }).await.unwrap();
    let sleeps = client.enqueue(Waits { how: "sleep".into() }).await.unwrap();
    let waits = client.enqueue(Waits { how: "event".into() }).await.unwrap();
    let late = client.enqueue(Waits { how: "timeout".into() }).await.unwrap();
    let thread = client.enqueue(Thread {}).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(steps.result().await.unwrap(), 21);
    assert_eq!(runs.result().await.unwrap(), "3: 12");
    assert_eq!(tree.result().await.unwrap(), 4);
    assert!(grows.result().await.unwrap_err().to_string().ends_with("unlucky"));
    let why = client.tasks().why(waits.id()).await.unwrap().unwrap();
    assert!(matches!(&why.reasons[..], [gristmill::record::Reason::AwaitsEvent { .. }, ..]), "{why:?}");
    let why = client.tasks().why(sleeps.id()).await.unwrap().unwrap();
    assert!(matches!(&why.reasons[..], [gristmill::record::Reason::Sleeps { .. }, ..]), "{why:?}");
    test.advance(HOUR).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!((sleeps.result().await.unwrap(), late.result().await.unwrap()), ("slept".to_owned(), "too late".to_owned()));
    let history = sleeps.status().await.unwrap().unwrap().attempts;
    assert_eq!(history.len(), 1, "{history:?}");
    assert_eq!(client.events().send("m", &3).await.unwrap(), Sent::Stored);
    test.drain().await.unwrap();
    assert_eq!(thread.result().await.unwrap(), 11);

    let changing = client.enqueue(Changing { how: "other".into() }).await.unwrap();
    test.drain().await.unwrap();
    world.change();
    test.advance(HOUR).await.unwrap();
    test.drain().await.unwrap();
    let why = client.tasks().why(changing.id()).await.unwrap().unwrap();
    assert!(matches!(&why.reasons[..], [gristmill::record::Reason::StandsStill { .. }, ..]), "{why:?}");
    assert_eq!(client.tasks().resume(changing.id(), Resume::Forget).await.unwrap(), Resumed::Done);
    test.drain().await.unwrap();
    assert_eq!(changing.result().await.unwrap(), "done");
    test
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn durable_steps_run_on_sqlite_and_an_event_is_sent_with_a_commit() {
    let sandbox = gristmill::testing::SqliteSandbox::new().unwrap();
    let test = goes_through(sandbox.store_url()).await;
    let waits = test.client().enqueue(Waits { how: "event".into() }).await.unwrap();
    test.drain().await.unwrap();
    let mut db = gristmill::sqlite::rusqlite::Connection::open(sandbox.path()).unwrap();
    let events = test.client().events();
    let tx = db.transaction().unwrap();
    assert_eq!(events.send("go", "rolled back").within(&tx).run().unwrap(), Sent::Stored);
    tx.rollback().unwrap();
    test.drain().await.unwrap();
    assert_eq!(waits.status().await.unwrap().unwrap().state, State::Scheduled);
    let tx = db.transaction().unwrap();
    assert_eq!(events.send("go", "committed").kept_for(HOUR).within(&tx).run().unwrap(), Sent::Stored);
    let refused = events.send("", "committed").within(&tx).run().unwrap_err();
    assert_eq!(refused.to_string(), "event: is empty; give it a name");
    tx.commit().unwrap();
    test.drain().await.unwrap();
    assert_eq!(waits.result().await.unwrap(), "committed");
}

#[cfg(all(unix, feature = "postgres", feature = "sqlx-0_8", feature = "tokio-postgres"))]
#[tokio::test]
async fn durable_steps_run_on_postgres() {
    let sandbox = gristmill::testing::PostgresSandbox::new(&crate::bank::database()).await.unwrap();
    goes_through(sandbox.store_url()).await;
}
