//! A handler whose writes to PostgreSQL, by tokio-postgres, commit together with its settlement: the effect happens exactly once.

use gristmill::{App, Context, Error, Result, task};
use tokio_postgres::{GenericClient, NoTls};

/// On one of the store's own connections. An application with a pool passes `&mut **object` instead of `cx.postgres()?`.
#[task(name = "account.transfer", max_attempts = 1)]
async fn transfer(cx: &Context, from: String, to: String, cents: i64) -> Result<i64> {
    cx.transaction(cx.postgres()?, async |tx| {
        let left = add(tx, &from, -cents).await?;
        if left < 0 {
            return Err(Error::fail("not enough money")); // what was written is rolled back; the task shows as failed
        }
        add(tx, &to, cents).await?;
        Ok(left)
    })
    .await
}

/// What an audit has written by the time at which it fails is to stay.
#[task(name = "account.audit", max_attempts = 1, on_error = commit)]
async fn audit(cx: &Context) -> Result<()> {
    cx.transaction(cx.postgres()?, async |tx| {
        tx.execute("INSERT INTO example_bank_tokio.finding VALUES ('bob has more than ann')", &[]).await?;
        Err(Error::fail("there are findings"))
    })
    .await
}

/// The application's own services know nothing of tasks: they get the connection, and not the commit.
async fn add(db: &impl GenericClient, name: &str, cents: i64) -> Result<i64, tokio_postgres::Error> {
    let add = "UPDATE example_bank_tokio.account SET cents = cents + $2 WHERE name = $1 RETURNING cents";
    db.query_one(add, &[&name, &cents]).await?.try_get(0)
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("DATABASE_URL")?;
    let (db, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    db.batch_execute(
        "CREATE SCHEMA example_bank_tokio;
         CREATE TABLE example_bank_tokio.account (name text PRIMARY KEY, cents bigint NOT NULL);
         CREATE TABLE example_bank_tokio.finding (text text NOT NULL);
         INSERT INTO example_bank_tokio.account VALUES ('ann', 100), ('bob', 0)",
    )
    .await?;
    let app = App::new(()).register::<Transfer>().register::<Audit>();
    let client = app.connect(&format!("{url}?schema=example_bank_tokio_tasks")).await?;
    let worker = client.worker().queue("default", 2).start().await?;

    let first = client.enqueue(Transfer { from: "ann".into(), to: "bob".into(), cents: 70 }).await?;
    println!("ann has {} cents left", first.result().await?);
    let second = client.enqueue(Transfer { from: "ann".into(), to: "bob".into(), cents: 70 }).await?;
    println!("{}", second.result().await.expect_err("ann has only 30 cents"));
    let audit = client.enqueue(Audit {}).await?;
    println!("{}", audit.result().await.expect_err("it fails when it finds something"));

    let row = db
        .query_one(
            "SELECT cents, (SELECT count(*) FROM example_bank_tokio.finding) FROM example_bank_tokio.account WHERE name = 'bob'",
            &[],
        )
        .await?;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (70, 1));
    worker.stop().await;
    db.batch_execute("DROP SCHEMA example_bank_tokio, example_bank_tokio_tasks CASCADE").await?;
    Ok(())
}
