//! A task that lives and dies with the application's own sqlx transaction on PostgreSQL.

use gristmill::{App, Client, Handle, Result, task};
use sqlx::PgPool;

#[task(name = "mail.welcome")]
async fn welcome(to: String) -> Result<String> {
    Ok(format!("welcomed {to}"))
}

/// The customer and the task are there together, or neither is.
async fn sign_up(client: &Client, pool: &PgPool, name: &str, commit: bool) -> Result<Handle<String>> {
    let mut tx = pool.begin().await?;
    sqlx::query("INSERT INTO example_sqlx.customer (name) VALUES ($1)").bind(name).execute(&mut *tx).await?;
    let handle = client.enqueue(Welcome { to: name.into() }).within(&mut tx).await?;
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
    let pool = PgPool::connect(&url).await?;
    sqlx::query("CREATE SCHEMA example_sqlx").execute(&pool).await?;
    sqlx::query("CREATE TABLE example_sqlx.customer (name text NOT NULL)").execute(&pool).await?;
    // By default the tables of gristmill are in the schema `gristmill`.
    let client = App::new(()).register::<Welcome>().connect(&format!("{url}?schema=example_sqlx_tasks")).await?;
    let worker = client.worker().queue("default", 2).start().await?;

    // In a task of the runtime, as the handler of a web framework is.
    let (web, db) = (client.clone(), pool.clone());
    let kept = tokio::spawn(async move { sign_up(&web, &db, "ann", true).await }).await??;
    let dropped = sign_up(&client, &pool, "bob", false).await?;

    println!("{}", kept.result().await?);
    assert!(dropped.status().await?.is_none(), "a rolled back transaction leaves no task");
    worker.stop().await;
    sqlx::query("DROP SCHEMA example_sqlx, example_sqlx_tasks CASCADE").execute(&pool).await?;
    Ok(())
}
