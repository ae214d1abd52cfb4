//! A handler whose writes commit together with its settlement: the effect happens exactly once, whatever crashes.

use gristmill::sqlite::rusqlite::Connection;
use gristmill::{App, Context, Error, Result, task};

#[task(name = "account.transfer", max_attempts = 1)]
async fn transfer(cx: &Context, from: String, to: String, cents: i64) -> Result<i64> {
    cx.transaction(cx.sqlite()?, async |db| {
        db.execute("UPDATE account SET cents = cents - ?2 WHERE name = ?1", (&from, cents))?;
        db.execute("UPDATE account SET cents = cents + ?2 WHERE name = ?1", (&to, cents))?;
        let left: i64 = db.query_row("SELECT cents FROM account WHERE name = ?1", [&from], |row| row.get(0))?;
        if left < 0 {
            return Err(Error::fail("not enough money")); // both updates are rolled back; the task shows as failed
        }
        Ok(left)
    })
    .await
}

#[tokio::main]
async fn main() -> Result<()> {
    let db = Connection::open("bank.db")?;
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, cents INTEGER NOT NULL);
         INSERT OR REPLACE INTO account VALUES ('ann', 100), ('bob', 0);",
    )?;
    let client = App::new(()).register::<Transfer>().connect("sqlite:bank.db?adopt=true").await?;
    let worker = client.worker().queue("default", 1).start().await?;

    let first = client.enqueue(Transfer { from: "ann".into(), to: "bob".into(), cents: 70 }).await?;
    println!("ann has {} cents left", first.result().await?);
    let second = client.enqueue(Transfer { from: "ann".into(), to: "bob".into(), cents: 70 }).await?;
    println!("{}", second.result().await.expect_err("ann has only 30 cents"));

    let cents: i64 = db.query_row("SELECT cents FROM account WHERE name = 'bob'", [], |row| row.get(0))?;
    assert_eq!(cents, 70);
    worker.stop().await;
    Ok(())
}
