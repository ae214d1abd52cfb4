//! The test kit: on every store, and where it ends.

use std::time::Duration;

use gristmill::client::EnqueueError;
use gristmill::testing::{Harness, HarnessError, START, assert_enqueued, assert_scheduled};
use gristmill::{App, Context, Result, task};

const DAY: Duration = Duration::from_secs(86_400);

#[task(name = "again")]
async fn again(cx: &Context, n: u64) -> Result<()> {
    cx.enqueue(Again { n: n + 1 }).await?;
    Ok(())
}

#[task(name = "tick")]
async fn tick() -> Result<()> {
    Ok(())
}

#[tokio::test]
async fn what_never_ends_is_an_error_and_the_limit_is_the_tests() {
    let test = Harness::new(App::new(()).register::<Again>()).await.unwrap().steps_max(50);
    test.client().enqueue(Again { n: 0 }).await.unwrap();
    let error = test.drain().await.unwrap_err();
    assert!(matches!(error, HarnessError::Endless { steps: 50, now: START }), "{error}");
    assert!(error.to_string().contains("Harness::steps_max"), "{error}");

    let app = App::new(()).register::<Tick>().every(Duration::from_secs(1), Tick {});
    let test = Harness::new(app).await.unwrap().steps_max(100);
    let error = test.beat_until(START.saturating_add(365 * DAY)).await.unwrap_err();
    assert!(matches!(error, HarnessError::Endless { steps: 100, .. }), "{error}");
    assert!(test.now() > START && test.now() < START.saturating_add(DAY), "{}", test.now());
    let test = test.steps_max(10_000);
    assert_eq!(test.beat_until(test.now().saturating_add(Duration::from_secs(10))).await.unwrap(), 10);
}

#[tokio::test]
async fn an_inline_enqueue_tells_what_never_ends() {
    let test = Harness::new(App::new(()).register::<Again>()).await.unwrap().inline().steps_max(10);
    let error = test.client().enqueue(Again { n: 0 }).await.unwrap_err();
    assert!(matches!(&error, EnqueueError::Store { .. }) && error.to_string().contains("10 attempts"), "{error}");
}

#[tokio::test]
async fn schedules_are_there_before_anything_ticks() {
    let test = Harness::new(App::new(()).register::<Tick>().cron("0 3 * * *", Tick {})).await.unwrap();
    assert_scheduled!(test, "tick", at "2027-01-01T03:00:00Z");
}

#[cfg(feature = "sqlite")]
mod on_sqlite {
    use gristmill::sqlite::rusqlite::Connection;
    use gristmill::testing::SqliteSandbox;

    use super::*;

    #[task(name = "sqlite.credit")]
    async fn credit(cx: &Context, cents: i64) -> Result<i64> {
        cx.transaction(cx.sqlite()?, async |db| {
            db.execute("UPDATE account SET cents = cents + ?1", [cents])?;
            Ok(db.query_row("SELECT cents FROM account", [], |row| row.get(0))?)
        })
        .await
    }

    fn app() -> App<()> {
        App::new(()).register::<Credit>().register::<Tick>().cron("0 3 * * *", Tick {})
    }

    #[tokio::test]
    async fn tasks_of_the_callers_transaction_run_and_settle_in_their_own() {
        let sandbox = SqliteSandbox::new().unwrap();
        let mut db = Connection::open(sandbox.path()).unwrap();
        db.execute_batch("CREATE TABLE account (cents INTEGER); INSERT INTO account VALUES (0)").unwrap();
        let test = Harness::connect(app(), sandbox.store_url()).await.unwrap().twice();
        assert_eq!(test.now(), START);

        let tx = db.transaction().unwrap();
        test.client().enqueue(Credit { cents: 5 }).within(&tx).run().unwrap();
        drop(tx);
        assert_enqueued!(test, 0 of Credit);
        let tx = db.transaction().unwrap();
        let now = test.client().enqueue(Credit { cents: 7 }).within(&tx).run().unwrap();
        test.client().enqueue(Credit { cents: 1 }).delay(DAY).within(&tx).run().unwrap();
        tx.commit().unwrap();
        assert_enqueued!(test, Credit { cents: 7 });

        assert_eq!(test.drain().await.unwrap(), 1, "the other is not due");
        assert_eq!(now.result().await.unwrap(), 7, "once, as its effect commits with its end");
        test.advance(DAY).await.unwrap();
        assert_eq!(test.drain().await.unwrap(), 1);
        let cents: i64 = db.query_row("SELECT cents FROM account", [], |row| row.get(0)).unwrap();
        assert_eq!(cents, 8);
        assert_eq!(test.perform(Credit { cents: 2 }).await.result, Some(10.into()), "without a claim it commits alone");
    }

    #[tokio::test]
    async fn a_year_passes_and_another_test_finds_what_the_first_left() {
        let sandbox = SqliteSandbox::new().unwrap();
        let test = Harness::connect(app(), sandbox.store_url()).await.unwrap();
        assert_scheduled!(test, "tick", at "2027-01-01T03:00:00Z");
        assert_eq!(test.beat_until(START.saturating_add(30 * DAY)).await.unwrap(), 30);
        test.client().enqueue(Tick {}).await.unwrap();
        drop(test);

        let test = Harness::connect(app(), sandbox.store_url()).await.unwrap();
        test.client().enqueue(Tick {}).await.unwrap();
        assert_enqueued!(test, 2 of Tick);
        assert_eq!(test.drain().await.unwrap(), 2);
    }

    #[test]
    fn the_file_goes_away_with_the_test() {
        let sandbox = SqliteSandbox::new().unwrap();
        let path = sandbox.path().to_owned();
        assert!(path.exists() && sandbox.database_url().ends_with("/test.db"));
        drop(sandbox);
        assert!(!path.parent().unwrap().exists());
    }

    #[tokio::test]
    async fn a_store_in_memory_says_why_it_takes_no_transaction() {
        let test = Harness::new(app()).await.unwrap();
        let db = Connection::open_in_memory().unwrap();
        let error = test.client().enqueue(Credit { cents: 1 }).within(&db).run().unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }
}

#[cfg(all(unix, feature = "postgres", feature = "sqlx-0_8", feature = "tokio-postgres"))]
mod on_postgres {
    use gristmill::testing::PostgresSandbox;
    use sqlx::PgPool;

    use super::*;
    use crate::bank::database;

    #[task(name = "pg.credit")]
    async fn credit(cx: &Context<PgPool>, cents: i64) -> Result<i64> {
        let add = "UPDATE account SET cents = cents + $1 RETURNING cents";
        cx.transaction(&cx.state, async |db| {
            cx.enqueue(Tick {}).delay(DAY).await?;
            Ok(sqlx::query_scalar(add).bind(cents).fetch_one(db).await?)
        })
        .await
    }

    #[tokio::test]
    async fn tasks_of_the_callers_transaction_run_and_settle_in_their_own_by_the_tests_clock() {
        let sandbox = PostgresSandbox::new(&database()).await.unwrap();
        let pool = PgPool::connect(sandbox.database_url()).await.unwrap();
        sqlx::query("CREATE TABLE account AS SELECT 0::bigint AS cents").execute(&pool).await.unwrap();
        let app = App::new(pool.clone()).register::<Credit>().register::<Tick>().cron("0 3 * * *", Tick {});
        let test = Harness::connect(app, sandbox.store_url()).await.unwrap().twice();
        assert_eq!(test.now(), START);
        assert_scheduled!(test, "tick", at "2027-01-01T03:00:00Z");

        let mut tx = pool.begin().await.unwrap();
        test.client().enqueue(Credit { cents: 5 }).within(&mut tx).await.unwrap();
        tx.rollback().await.unwrap();
        assert_enqueued!(test, 0 of Credit);
        let mut tx = pool.begin().await.unwrap();
        let now = test.client().enqueue(Credit { cents: 7 }).within(&mut tx).await.unwrap();
        test.client().enqueue(Credit { cents: 1 }).delay(DAY).within(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert_enqueued!(test, Credit { cents: 7 });

        assert_eq!(test.drain().await.unwrap(), 1, "the other is not due");
        assert_eq!(now.result().await.unwrap(), 7, "once, as its effect commits with its end");
        assert_enqueued!(test, 1 of Tick);
        test.advance(DAY - Duration::from_millis(1)).await.unwrap();
        assert_eq!(test.drain().await.unwrap(), 0, "not due by a millisecond");
        test.advance(Duration::from_millis(1)).await.unwrap();
        assert_eq!(test.drain().await.unwrap(), 2, "the task that was enqueued for then, and the child");
        assert_eq!(sqlx::query_scalar::<_, i64>("SELECT cents FROM account").fetch_one(&pool).await.unwrap(), 8);

        let ticks = test.beat_until(test.now().saturating_add(DAY)).await.unwrap();
        assert_eq!(ticks, 3, "the tick that was passed over, made up for; that of the day; and the second child");
        assert_eq!(test.perform(Credit { cents: 2 }).await.result, Some(10.into()), "without a claim it commits alone");
    }
}
