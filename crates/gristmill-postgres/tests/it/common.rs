use gristmill_core::workflow::{Draft, DraftError, Needs, NewWorkflow, StepDraft};
use gristmill_core::{Env, Limits, NewTask, Overrides, Policy, Retention};
use tokio_postgres::{Client, NoTls};

/// The database that tests make their schemas in.
pub(crate) fn database() -> String {
    std::env::var("GRISTMILL_TEST_POSTGRES")
        .unwrap_or_else(|_| panic!("GRISTMILL_TEST_POSTGRES names no database; run cargo xtask test, which starts one"))
}

/// A schema of its own, which goes away with the test.
pub(crate) struct Schema(pub(crate) String);

impl Schema {
    pub(crate) fn new() -> Self {
        Self(format!("test_{}", Env::system().fence().as_uuid().simple()))
    }

    /// The store's URL, with more options after an `&`.
    pub(crate) fn url(&self, options: &str) -> String {
        self.url_at(&database(), options)
    }

    /// The same by way of the pooler, with `pgbouncer=true` or whatever else the options say.
    pub(crate) fn pooled_url(&self, options: &str) -> String {
        let database = std::env::var("GRISTMILL_TEST_PGBOUNCER")
            .unwrap_or_else(|_| panic!("GRISTMILL_TEST_PGBOUNCER names no database; run cargo xtask test, which starts one"));
        self.url_at(&database, options)
    }

    fn url_at(&self, database: &str, options: &str) -> String {
        let mark = if database.contains('?') { '&' } else { '?' };
        let schema: String = self.0.bytes().map(encoded).collect();
        format!("{database}{mark}schema={schema}{options}")
    }

    /// Where is told what happens in it, as `nudge()` has it.
    pub(crate) async fn channel(&self, client: &Client) -> String {
        let sql = "SELECT substring(prosrc FROM 'gristmill_[0-9a-f]{16}') FROM pg_proc \
                   WHERE proname = 'nudge' AND pronamespace = $1::text::regnamespace";
        client.query_one(sql, &[&self.0]).await.unwrap().get(0)
    }
}

/// As in a URL.
fn encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || byte == b'_' { char::from(byte).to_string() } else { format!("%{byte:02x}") }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let drop = format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.0.replace('"', "\"\""));
        // On a thread with a runtime of its own, as this may be dropped within one.
        let done = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (client, connection) = tokio_postgres::connect(&database(), NoTls).await.unwrap();
                tokio::select! {
                    _ = connection => {}
                    done = client.batch_execute(&drop) => done.unwrap(),
                }
            });
        });
        if done.join().is_err() && !std::thread::panicking() {
            panic!("the schema {} could not be dropped", self.0);
        }
    }
}

/// A plain connection to the database, until it is dropped.
pub(crate) async fn client() -> Client {
    let (client, connection) = tokio_postgres::connect(&database(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) fn task(env: &Env, kind: &str, over: Overrides) -> NewTask {
    NewTask::resolve(kind, &Policy::default(), r#"{"n":1}"#.to_owned(), over, env.task_id(), &Limits::default()).unwrap()
}

/// A step that needs the success of others.
pub(crate) fn step(name: &str, members: usize, after: &[&str]) -> StepDraft<()> {
    let after = after.iter().map(|name| ((*name).to_owned(), Needs::Success)).collect();
    StepDraft { after, ..StepDraft::group(name, "mail", vec![(); members]) }
}

/// A workflow of these steps, whose members are tasks of the type `mail`.
pub(crate) fn workflow(env: &Env, key: Option<&str>, steps: Vec<StepDraft<()>>) -> NewWorkflow {
    let draft = Draft {
        name: "w".to_owned(),
        key: key.map(str::to_owned),
        tags: Vec::new(),
        retention: Retention::default(),
        deadline: None,
        steps,
    };
    let member = |_: &StepDraft<()>, _, (): &()| Ok::<_, DraftError>(task(env, "mail", Overrides::default()));
    draft.resolve(env.workflow_id(), "{}".to_owned(), member).unwrap()
}

/// One task, and one after it.
pub(crate) fn chain(env: &Env, key: Option<&str>) -> NewWorkflow {
    workflow(env, key, vec![step("a", 1, &[]), step("b", 1, &["a"])])
}
