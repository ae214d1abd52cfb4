//! Of `docs/tasks.md`.

use gristmill::{Result, task};

#[task(name = "greet")]
async fn greet(name: String) -> Result<String> {
    Ok(name)
}

#[task(name = "email.send")]
async fn send_email(to: String, subject: String, #[task(default)] locale: Option<String>) -> Result<()> {
    Ok(())
}

#[derive(Clone)]
struct Mailer;

impl Mailer {
    async fn send(&self, to: &str, subject: &str) -> std::io::Result<u64> {
        Ok(7)
    }
}

mod quickstart {
    use gristmill::{App, Result, task};

    #[task(name = "greet", max_attempts = 3)]
    async fn greet(name: String) -> Result<String> {
        Ok(format!("hello {name}"))
    }

    #[tokio::main]
    async fn main() -> Result<()> {
        let client = App::new(()).register::<Greet>().connect("sqlite:app.db").await?;
        let worker = client.worker().queue("default", 4).start().await?;
        let greeting = client.enqueue(Greet { name: "world".into() }).await?;
        println!("{}", greeting.result().await?);
        worker.stop().await;
        Ok(())
    }
}

mod function {
    use super::Mailer;

    use gristmill::{Context, Error, Result, task};

    /// Sends one email and returns its number.
    #[task(name = "email.send", queue = "mail", max_attempts = 5, backoff = exponential("2s", max = "1h"), timeout = "30s")]
    async fn send_email(
        cx: &Context<Mailer>,
        to: String,
        subject: String,
        #[task(default)] locale: Option<String>,
    ) -> Result<u64> {
        if to.is_empty() {
            return Err(Error::cancel("there is nobody to send it to"));
        }
        Ok(cx.state.send(&to, &subject).await?) // `?` on any error: try again
    }
}

mod argument {
    #[derive(Clone, Debug, serde::Serialize, serde::Deserialize, gristmill::schemars::JsonSchema)]
    #[schemars(crate = "gristmill::schemars")]
    struct Address {
        street: String,
    }
}

mod derive {
    struct Images;

    use gristmill::{Context, Result, Task};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, JsonSchema, Task)]
    #[task(name = "image.resize", queue = "images", state = Images, output = u64, timeout = "2m")]
    struct Resize {
        image: String,
        #[serde(default)]
        width: Option<u32>,
    }

    impl Resize {
        async fn handle(self, cx: &Context<Images>) -> Result<u64> {
            cx.log(format!("resizing {}", self.image));
            Ok(self.width.unwrap_or(640).into())
        }
    }
}

mod elsewhere {
    use gristmill::{App, Result, Task};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    /// Built by another program, maybe in another language.
    #[derive(Serialize, Deserialize, JsonSchema, Task)]
    #[task(name = "report.build", queue = "reports", output = u64, elsewhere)]
    struct BuildReport {
        year: u32,
    }

    async fn order_report() -> Result<u64> {
        let client = App::new(()).declare::<BuildReport>().connect("sqlite:tasks.db").await?;
        Ok(client.enqueue(BuildReport { year: 2027 }).await?.result().await?)
    }
}

mod state {
    use super::Mailer;

    use gristmill::FromRef;

    struct Shop {
        mailer: Mailer,
    }

    impl FromRef<Shop> for Mailer {
        fn from_ref(shop: &Shop) -> Self {
            shop.mailer.clone()
        }
    }
}

mod ending {
    use gristmill::{Context, Error, Result, task};

    async fn download(url: &str) -> std::io::Result<String> {
        Ok(url.to_owned())
    }

    #[task(name = "fetch")]
    async fn fetch(cx: &Context, url: String) -> Result<String> {
        match cx.cancellation().run_until_cancelled(download(&url)).await {
            Some(page) => Ok(page?),
            None => Err(Error::retry("asked to end")), // what must not be cut off is not within `run_until_cancelled`
        }
    }
}

mod blocking {
    use gristmill::{Result, task};

    #[task(name = "report.rebuild", timeout = "90s")]
    fn rebuild_report(customer: u64) -> Result<u64> {
        Ok(customer)
    }
}

mod enqueueing {
    use std::time::Duration;

    use gristmill::{Client, Result};

    use super::{Greet, SendEmail};

    async fn one(client: &Client, to: String, subject: String) -> Result<()> {
        let handle = client.enqueue(SendEmail { to, subject, locale: None }).delay(Duration::from_secs(5)).priority(2).await?;
        Ok(())
    }

    async fn many(client: &Client, names: &[String], greet: Greet, send_email: SendEmail) {
        client.enqueue_many(names.iter().map(|name| Greet { name: name.clone() })).await;
        client.enqueue_many(names.iter().map(|name| client.enqueue(Greet { name: name.clone() }).priority(9))).await;
        client.enqueue_many([client.enqueue(greet).untyped(), client.enqueue(send_email).untyped()]).await; // of several types
    }

    async fn call(client: &Client) -> Result<()> {
        let greeting: String = client.call(Greet { name: "world".into() }).timeout(Duration::from_secs(2)).await?;
        Ok(())
    }
}

mod transactions {
    use gristmill::{App, Context, Result, task};
    use sqlx::{PgConnection, PgPool, SqlitePool};

    #[task(name = "mail.welcome")]
    async fn welcome(to: String) -> Result<()> {
        Ok(())
    }

    async fn on_postgres(pool: &PgPool) -> Result<()> {
        let client = App::new(()).register::<Welcome>().connect("postgres://app@db.internal/shop").await?;

        let mut tx = pool.begin().await?;
        sqlx::query("INSERT INTO customer (name) VALUES ('ann')").execute(&mut *tx).await?;
        let handle = client.enqueue(Welcome { to: "ann".into() }).within(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn on_sqlite() -> Result<()> {
        use gristmill::sqlite::rusqlite::{Connection, TransactionBehavior};

        let mut db = Connection::open("shop.db")?;
        let client = App::new(()).register::<Welcome>().connect("sqlite:shop.db?adopt=true").await?;

        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute("INSERT INTO customer (name) VALUES ('ann')", [])?;
        let handle = client.enqueue(Welcome { to: "ann".into() }).within(&tx).run()?;
        tx.commit()?;
        Ok(())
    }

    async fn on_sqlite_with_sqlx(pool: &SqlitePool) -> Result<()> {
        let client = App::new(()).register::<Welcome>().connect("sqlite:shop.db?adopt=true").await?;

        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("INSERT INTO customer (name) VALUES ('ann')").execute(&mut *tx).await?;
        let handle = client.enqueue(Welcome { to: "ann".into() }).within(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    #[task(name = "account.credit")]
    async fn credit(cx: &Context<PgPool>, account: i64, cents: i64) -> Result<i64> {
        cx.transaction(&cx.state, async |db| Ok(add(db, account, cents).await?)).await
    }

    async fn add(db: &mut PgConnection, account: i64, cents: i64) -> sqlx::Result<i64> {
        let add = sqlx::query_scalar("UPDATE account SET cents = cents + $2 WHERE id = $1 RETURNING cents");
        add.bind(account).bind(cents).fetch_one(db).await
    }
}

mod workers {
    use std::sync::Arc;
    use std::time::Duration;

    use gristmill::{App, Client, Result};

    use super::Greet;

    async fn run(client: &Client) -> Result<()> {
        let report = client.worker().queue("default", 8).queue("heavy", 2).grace(Duration::from_secs(60)).run().await?;
        Ok(())
    }

    async fn start(client: &Client) -> Result<()> {
        let worker = client.worker().queue("default", 8).start().await?;
        let report = worker.stop().await;
        Ok(())
    }

    async fn serve(client: Client, stop: Arc<tokio::sync::Notify>) {
        stop.notified().await;
    }

    async fn beside_a_web_service(client: &Client) -> Result<()> {
        use gristmill::worker::StopSignals;
        use tokio::sync::Notify;

        let signals = StopSignals::listen()?;
        let stop = Arc::new(Notify::new());
        let worker = client.worker().start().await?;
        // axum::serve(listener, app).with_graceful_shutdown(async move { stop.notified().await })
        let web = tokio::spawn(serve(client.clone(), stop.clone()));
        let report = worker.until_asked(signals, |_| stop.notify_one()).await; // running tasks get the grace period
        web.await?;
        Ok(())
    }

    async fn change(worker: gristmill::worker::Running) -> Result<()> {
        let queues = worker.queues(); // a handle, cheap to clone
        queues.serve("default", 2).await?; // fewer at once from now on; what runs goes on
        queues.serve("import", 6).await?; // one more queue
        queues.withdraw("import").await?; // no more of it; returns when its last task here has ended
        Ok(())
    }

    fn main() -> std::process::ExitCode {
        gristmill_cli::run(App::new(()).register::<Greet>())
    }
}

mod hooks {
    use std::time::Duration;

    use gristmill::error::{Failure, FailureReason};
    use gristmill::record::State;
    use gristmill::{App, TaskId};

    use super::Greet;

    fn note_duration(kind: &str, ran_for: Duration) {}

    fn count_failure(kind: &str, reason: FailureReason) {}

    fn page_somebody(id: TaskId, state: State, failure: Option<&Failure>) {}

    fn hooks() {
        let app = App::new(())
            .register::<Greet>()
            .on_succeeded(|event| note_duration(&event.kind, event.ran_for))
            .on_failed_attempt(|event| count_failure(&event.kind, event.failure.reason))
            .on_ended(|event| page_somebody(event.id, event.state, event.failure.as_ref()));
    }
}

mod tests {
    use std::time::Duration;

    use gristmill::error::FailureReason;
    use gristmill::{App, Context, Result, task};

    #[task(name = "user.remind")]
    async fn remind(user: u32) -> Result<()> {
        Ok(())
    }

    #[task(name = "user.register")]
    async fn register(cx: &Context, name: String) -> Result<u32> {
        Ok(7)
    }

    async fn a_test() -> Result<()> {
        use gristmill::testing::{Harness, assert_enqueued};

        let test = Harness::new(App::new(()).register::<Register>().register::<Remind>()).await?;

        // One attempt, by itself.
        let failed = test.perform(Register { name: String::new() }).attempt(2).await;
        assert_eq!(failed.failure.expect("it fails").reason, FailureReason::Error);
        assert!(failed.children.is_empty());

        // Through the queue.
        let handle = test.client().enqueue(Register { name: "ann".into() }).await?;
        test.drain().await?;
        assert_eq!(handle.result().await?, 7);
        assert_enqueued!(test, Remind { user: 7 });

        // Later.
        test.advance(Duration::from_secs(86_400)).await?;
        assert_eq!(test.drain().await?, 1);
        assert_enqueued!(test, 0 of Remind);
        Ok(())
    }
}
