//! A task that lives and dies with the application's own sqlx transaction.

use gristmill::{App, Result, task};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

#[task(name = "mail.welcome")]
async fn welcome(to: String) -> Result<String> {
    Ok(format!("welcomed {to}"))
}

#[tokio::main]
async fn main() -> Result<()> {
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename("shop.db").create_if_missing(true)).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS customer (name TEXT NOT NULL)").execute(&pool).await?;
    let client = App::new(()).register::<Welcome>().connect("sqlite:shop.db?adopt=true").await?;
    let worker = client.worker().queue("default", 2).start().await?;

    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("INSERT INTO customer (name) VALUES ('ann')").execute(&mut *tx).await?;
    let kept = client.enqueue(Welcome { to: "ann".into() }).within(&mut tx).await?;
    tx.commit().await?;

    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("INSERT INTO customer (name) VALUES ('bob')").execute(&mut *tx).await?;
    let dropped = client.enqueue(Welcome { to: "bob".into() }).within(&mut tx).await?;
    tx.rollback().await?;

    println!("{}", kept.result().await?);
    assert!(dropped.status().await?.is_none(), "a rolled back transaction leaves no task");
    worker.stop().await;
    Ok(())
}
