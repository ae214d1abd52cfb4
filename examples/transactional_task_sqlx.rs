//! A handler whose writes to PostgreSQL, by sqlx, commit together with its settlement: the effect happens exactly once.

use gristmill::{App, Context, Error, Result, task};
use sqlx::{Acquire, PgConnection, PgPool};

#[task(name = "account.transfer", max_attempts = 1)]
async fn transfer(cx: &Context<PgPool>, from: String, to: String, cents: i64) -> Result<i64> {
    cx.transaction(&cx.state, async |db| {
        let left = add(db, &from, -cents).await?;
        if left < 0 {
            return Err(Error::fail("not enough money")); // what was written is rolled back; the task shows as failed
        }
        add(db, &to, cents).await?;
        note(db, &from).await?;
        Ok(left)
    })
    .await
}

/// The application's own services know nothing of tasks: they get the connection, and not the commit.
async fn add(db: &mut PgConnection, name: &str, cents: i64) -> sqlx::Result<i64> {
    let add = "UPDATE example_bank_sqlx.account SET cents = cents + $2 WHERE name = $1 RETURNING cents";
    sqlx::query_scalar(add).bind(name).bind(cents).fetch_one(db).await
}

/// Undoes only its own part if it fails, in a savepoint.
async fn note(db: &mut PgConnection, name: &str) -> sqlx::Result<()> {
    let mut savepoint = db.begin().await?;
    match sqlx::query("INSERT INTO example_bank_sqlx.noted VALUES ($1)").bind(name).execute(&mut *savepoint).await {
        Ok(_) => savepoint.commit().await,
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => savepoint.rollback().await,
        Err(error) => Err(error),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("DATABASE_URL")?;
    let pool = PgPool::connect(&url).await?;
    for statement in [
        "CREATE SCHEMA example_bank_sqlx",
        "CREATE TABLE example_bank_sqlx.account (name text PRIMARY KEY, cents bigint NOT NULL)",
        "CREATE TABLE example_bank_sqlx.noted (name text PRIMARY KEY)",
        "INSERT INTO example_bank_sqlx.account VALUES ('ann', 100), ('bob', 0)",
    ] {
        sqlx::query(statement).execute(&pool).await?;
    }
    let app = App::new(pool.clone()).register::<Transfer>();
    let client = app.connect(&format!("{url}?schema=example_bank_sqlx_tasks")).await?;
    let worker = client.worker().queue("default", 2).start().await?;

    for cents in [40, 30] {
        let transfer = client.enqueue(Transfer { from: "ann".into(), to: "bob".into(), cents }).await?;
        println!("ann has {} cents left", transfer.result().await?);
    }
    let third = client.enqueue(Transfer { from: "ann".into(), to: "bob".into(), cents: 70 }).await?;
    println!("{}", third.result().await.expect_err("ann has only 30 cents"));

    let bobs = "SELECT cents FROM example_bank_sqlx.account WHERE name = 'bob'";
    assert_eq!(sqlx::query_scalar::<_, i64>(bobs).fetch_one(&pool).await?, 70);
    worker.stop().await;
    sqlx::query("DROP SCHEMA example_bank_sqlx, example_bank_sqlx_tasks CASCADE").execute(&pool).await?;
    Ok(())
}
