//! Tests in PostgreSQL, each in schemas of its own: the application's transactions of sqlx, and a task that commits with its effect.

use std::time::Duration;

use gristmill::testing::{Harness, PostgresSandbox, assert_enqueued};
use gristmill::{App, Client, Context, Result, task};
use sqlx::PgPool;

#[task(name = "account.credit")]
async fn credit(cx: &Context<PgPool>, name: String, cents: i64) -> Result<i64> {
    let add = "UPDATE account SET cents = cents + $2 WHERE name = $1 RETURNING cents";
    cx.transaction(&cx.state, async |db| Ok(sqlx::query_scalar(add).bind(name).bind(cents).fetch_one(db).await?)).await
}

/// What is tested: a new account gets its bonus a day later.
async fn open_account(client: &Client, pool: &PgPool, name: &str) -> Result<()> {
    let mut tx = pool.begin().await?;
    sqlx::query("INSERT INTO account (name) VALUES ($1)").bind(name).execute(&mut *tx).await?;
    let bonus = Credit { name: name.into(), cents: 500 };
    client.enqueue(bonus).delay(Duration::from_secs(86_400)).within(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

async fn cents(pool: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT cents FROM account").fetch_one(pool).await?)
}

// In a project: `#[tokio::test] async fn a_new_account_gets_its_bonus() -> Result<()> {`
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // Goes away at the end. Any number of tests may have theirs in one database at once.
    let sandbox = PostgresSandbox::new(&std::env::var("DATABASE_URL")?).await?;
    let pool = PgPool::connect(sandbox.database_url()).await?;
    // Or `sqlx::migrate!().run(&pool)`: names without a schema are in the sandbox.
    sqlx::query("CREATE TABLE account (name text PRIMARY KEY, cents bigint NOT NULL DEFAULT 0)").execute(&pool).await?;
    // Each success is run twice, but for those that commit with their effect.
    let test = Harness::connect(App::new(pool.clone()).register::<Credit>(), sandbox.store_url()).await?.twice();

    open_account(test.client(), &pool, "ann").await?;
    assert_enqueued!(test, Credit { name: "ann".into(), cents: 500 });
    assert_eq!(test.drain().await?, 0, "not due yet");
    assert_eq!(cents(&pool).await?, 0);

    test.advance(Duration::from_secs(86_400)).await?;
    assert_eq!(test.drain().await?, 1);
    assert_eq!(cents(&pool).await?, 500);
    println!("all asserted");
    Ok(())
}
