use std::future::poll_fn;
use std::time::Duration;

use gristmill_core::{Env, Overrides, Store};
use gristmill_postgres::PostgresStore;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::common::{Schema, database, task};

/// Longer than any notification takes: a test that waits for so long has failed.
const DEADLINE: Duration = Duration::from_secs(60);
const NUDGE: &str = "00000000rs";

/// A connection that has nothing of ours, and what it hears of its database.
async fn listener() -> (Client, mpsc::UnboundedReceiver<(String, String)>) {
    let (client, mut connection) = tokio_postgres::connect(&database(), NoTls).await.unwrap();
    let (sender, heard) = mpsc::unbounded_channel();
    tokio_util::task::TaskTracker::new().spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(note) = message {
                // Nobody listens any more when the test is over.
                let _ = sender.send((note.channel().to_owned(), note.payload().to_owned()));
            }
        }
    });
    (client, heard)
}

/// Listens for what is told about a schema.
async fn listen(client: &Client, schema: &Schema) -> String {
    let channel = schema.channel(client).await;
    client.batch_execute(&format!("LISTEN {channel}")).await.unwrap();
    channel
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nudge_is_heard_when_its_transaction_is_committed_and_only_then() {
    let schema = Schema::new();
    let _store = PostgresStore::connect(&schema.url(""), Env::system()).await.unwrap();
    let (client, mut heard) = listener().await;
    let channel = listen(&client, &schema).await;
    client.batch_execute("LISTEN over").await.unwrap();
    let nudge = format!("SELECT {}.nudge()", schema.0);
    client.batch_execute(&format!("BEGIN; {nudge}; ROLLBACK")).await.unwrap();
    client.batch_execute(&format!("BEGIN; {nudge}; {nudge}; COMMIT; NOTIFY over, '{channel}'")).await.unwrap();
    let mut next = async || tokio::time::timeout(DEADLINE, heard.recv()).await.unwrap().unwrap();
    assert_eq!(next().await, (channel.clone(), NUDGE.to_owned()));
    loop {
        match next().await {
            // Other tests of this database are over as well.
            (end, of) if end == "over" && of == channel => break,
            (end, _) => assert_eq!(end, "over", "several in one transaction are one, and what is rolled back is none"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_notify_inside_the_statement_itself_tells() {
    let (schema, env) = (Schema::new(), Env::system());
    let quiet = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let telling = PostgresStore::connect(&schema.url("&notify=inside"), env.clone()).await.unwrap();
    let (client, mut heard) = listener().await;
    listen(&client, &schema).await;
    for (store, by_itself) in [(quiet, false), (telling, true)] {
        store.enqueue((0..3).map(|_| task(&env, "mail", Overrides::default())).collect()).await.unwrap();
        let (_, first) = tokio::time::timeout(DEADLINE, heard.recv()).await.unwrap().unwrap();
        assert_eq!(first == NUDGE, by_itself, "{first}");
    }
}
