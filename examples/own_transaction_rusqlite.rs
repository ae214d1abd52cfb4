//! A task that lives and dies with the application's own rusqlite transaction.

use gristmill::sqlite::rusqlite::{Connection, TransactionBehavior};
use gristmill::{App, Result, task};

#[task(name = "mail.welcome")]
async fn welcome(to: String) -> Result<String> {
    Ok(format!("welcomed {to}"))
}

#[tokio::main]
async fn main() -> Result<()> {
    // The application's file holds its own tables and gristmill's.
    let mut db = Connection::open("shop.db")?;
    db.execute_batch("CREATE TABLE IF NOT EXISTS customer (name TEXT NOT NULL)")?;
    let client = App::new(()).register::<Welcome>().connect("sqlite:shop.db?adopt=true").await?;
    let worker = client.worker().queue("default", 2).start().await?;

    // `Immediate` takes the write lock first; a deferred transaction that reads and then writes can fail at once.
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute("INSERT INTO customer (name) VALUES ('ann')", [])?;
    let kept = client.enqueue(Welcome { to: "ann".into() }).within(&tx).run()?;
    tx.commit()?;

    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute("INSERT INTO customer (name) VALUES ('bob')", [])?;
    let dropped = client.enqueue(Welcome { to: "bob".into() }).within(&tx).run()?;
    tx.rollback()?;

    println!("{}", kept.result().await?);
    assert!(dropped.status().await?.is_none(), "a rolled back transaction leaves no task");
    worker.stop().await;
    Ok(())
}
