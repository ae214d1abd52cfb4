//! Tests on a SQLite file of their own: the application's transactions of sqlx, and what they enqueue.

use gristmill::testing::{Harness, SqliteSandbox, assert_enqueued};
use gristmill::{App, Client, Context, Result, task};
use sqlx::SqlitePool;

#[task(name = "mail.welcome")]
async fn welcome(cx: &Context<SqlitePool>, to: String) -> Result<()> {
    sqlx::query("UPDATE customer SET welcomed = 1 WHERE name = ?").bind(to).execute(&cx.state).await?;
    Ok(())
}

/// What is tested: the customer and the task are there together, or neither is.
async fn sign_up(client: &Client, pool: &SqlitePool, name: &str) -> Result<()> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    client.enqueue(Welcome { to: name.into() }).within(&mut tx).await?;
    sqlx::query("INSERT INTO customer (name) VALUES (?)").bind(name).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

// In a project: `#[tokio::test] async fn who_signs_up_is_welcomed() -> Result<()> {`
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // Goes away at the end, with all that is in it.
    let sandbox = SqliteSandbox::new()?;
    let pool = SqlitePool::connect(sandbox.database_url()).await?;
    sqlx::query("CREATE TABLE customer (name TEXT NOT NULL UNIQUE, welcomed INTEGER NOT NULL DEFAULT 0)").execute(&pool).await?;
    let test = Harness::connect(App::new(pool.clone()).register::<Welcome>(), sandbox.store_url()).await?;

    sign_up(test.client(), &pool, "ann").await?;
    assert_enqueued!(test, Welcome { to: "ann".into() });
    assert!(sign_up(test.client(), &pool, "ann").await.is_err(), "there is one of this name");
    assert_enqueued!(test, 1 of Welcome);

    assert_eq!(test.drain().await?, 1);
    let welcomed: i64 = sqlx::query_scalar("SELECT sum(welcomed) FROM customer").fetch_one(&pool).await?;
    assert_eq!(welcomed, 1);
    println!("all asserted");
    Ok(())
}
