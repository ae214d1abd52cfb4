//! A task that lives and dies with the application's own tokio-postgres transaction.

use gristmill::{App, Client, Handle, Result, task};
use tokio_postgres::NoTls;

#[task(name = "mail.welcome")]
async fn welcome(to: String) -> Result<String> {
    Ok(format!("welcomed {to}"))
}

/// The customer and the task are there together, or neither is. Of a pool's transaction pass `&*tx`.
async fn sign_up(client: &Client, db: &mut tokio_postgres::Client, name: &str, commit: bool) -> Result<Handle<String>> {
    let tx = db.transaction().await?;
    tx.execute("INSERT INTO example_tokio.customer (name) VALUES ($1)", &[&name]).await?;
    let handle = client.enqueue(Welcome { to: name.into() }).within(&tx).await?;
    if commit {
        tx.commit().await?
    } else {
        tx.rollback().await?
    }
    Ok(handle)
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("DATABASE_URL")?;
    let (mut db, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    db.batch_execute("CREATE SCHEMA example_tokio; CREATE TABLE example_tokio.customer (name text NOT NULL)").await?;
    // By default the tables of gristmill are in the schema `gristmill`.
    let client = App::new(()).register::<Welcome>().connect(&format!("{url}?schema=example_tokio_tasks")).await?;
    let worker = client.worker().queue("default", 2).start().await?;

    // In a task of the runtime, as the handler of a web framework is.
    let web = client.clone();
    let (kept, mut db) = tokio::spawn(async move { (sign_up(&web, &mut db, "ann", true).await, db) }).await?;
    let dropped = sign_up(&client, &mut db, "bob", false).await?;

    println!("{}", kept?.result().await?);
    assert!(dropped.status().await?.is_none(), "a rolled back transaction leaves no task");
    worker.stop().await;
    db.batch_execute("DROP SCHEMA example_tokio, example_tokio_tasks CASCADE").await?;
    Ok(())
}
