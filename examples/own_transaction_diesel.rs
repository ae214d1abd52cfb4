//! A task that lives and dies with the application's own diesel-async transaction. No libpq is needed.

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use gristmill::{App, Client, Error, Handle, Result, task};

diesel::table! {
    example_diesel.customer (name) {
        name -> Text,
    }
}

#[task(name = "mail.welcome")]
async fn welcome(to: String) -> Result<String> {
    Ok(format!("welcomed {to}"))
}

/// The customer and the task are there together, or neither is: an error rolls both back.
async fn sign_up(client: &Client, db: &mut AsyncPgConnection, name: &str) -> Result<Handle<String>> {
    db.transaction(async |db| {
        diesel::insert_into(customer::table).values(customer::name.eq(name)).execute(&mut *db).await?;
        let handle = client.enqueue(Welcome { to: name.into() }).within(&mut *db).await?;
        if name == "bob" {
            return Err(Error::fail(format!("{name} is not wanted, and {} is gone with him", handle.id())));
        }
        Ok(handle)
    })
    .await
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("DATABASE_URL")?;
    let mut db = AsyncPgConnection::establish(&url).await?;
    db.batch_execute("CREATE SCHEMA example_diesel; CREATE TABLE example_diesel.customer (name text PRIMARY KEY)").await?;
    // By default the tables of gristmill are in the schema `gristmill`.
    let client = App::new(()).register::<Welcome>().connect(&format!("{url}?schema=example_diesel_tasks")).await?;
    let worker = client.worker().queue("default", 2).start().await?;

    // In a task of the runtime, as the handler of a web framework is.
    let web = client.clone();
    let (kept, mut db) = tokio::spawn(async move { (sign_up(&web, &mut db, "ann").await, db) }).await?;
    let dropped = sign_up(&client, &mut db, "bob").await;

    println!("{}", kept?.result().await?);
    println!("{}", dropped.expect_err("a rolled back transaction"));
    let tasks = client.tasks().list(&Default::default(), None, 10).await?.items;
    assert_eq!(tasks.len(), 1, "it leaves no task");
    worker.stop().await;
    db.batch_execute("DROP SCHEMA example_diesel, example_diesel_tasks CASCADE").await?;
    Ok(())
}
