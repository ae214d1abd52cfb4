//! What each role may, asked by somebody who logs in with it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gristmill_conformance::Subject;
use gristmill_conformance::suite::checks;
use gristmill_core::durable::{Durable as _, NewEvent};
use gristmill_core::{Env, Filter, KindSpec, Overrides, Policy, Severity, Source, Store, StoreErrorKind, Timestamp, async_trait};
use gristmill_postgres::{PostgresStore, Roles, grant_roles, migrate, migration_sql, migration_status, roles_sql};
use tokio_postgres::{Client, NoTls};

use crate::common::{Schema, client, database, task};

/// A schema with its roles and somebody who logs in with each; all of it goes away with the test.
struct Granted {
    // Dropped before the roles, which it mentions.
    schema: Schema,
    logins: Logins,
}

struct Logins {
    roles: Roles,
    password: String,
}

impl Granted {
    async fn new(schema: Schema) -> Self {
        migrate(&url(&schema, "")).await.unwrap();
        let roles = grant_roles(&url(&schema, "")).await.unwrap();
        let logins = Logins { roles, password: Env::system().fence().as_uuid().simple().to_string() };
        let client = client().await;
        for role in logins.roles() {
            let sql = format!("CREATE ROLE \"{role}_login\" LOGIN PASSWORD '{}' IN ROLE \"{role}\"", logins.password);
            client.batch_execute(&sql).await.unwrap();
        }
        Self { schema, logins }
    }

    /// The store's URL for a login.
    fn url(&self, role: &str) -> String {
        url(&self.schema, "").replace(&account(), &format!("{}_login:{}", encoded(role), self.logins.password))
    }

    /// A plain connection of a login.
    async fn client(&self, role: &str) -> Client {
        let url = database().replace(&account(), &format!("{}_login:{}", encoded(role), self.logins.password));
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Logins {
    fn roles(&self) -> [&str; 3] {
        [&self.roles.enqueue, &self.roles.worker, &self.roles.reader]
    }
}

impl Drop for Logins {
    fn drop(&mut self) {
        let roles: Vec<String> = self.roles().iter().map(|role| format!("\"{role}_login\", \"{role}\"")).collect();
        let sql = format!("DROP ROLE IF EXISTS {}", roles.join(", "));
        let done = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { client().await.batch_execute(&sql).await.unwrap() });
        });
        if done.join().is_err() && !std::thread::panicking() {
            panic!("the roles {:?} could not be dropped", self.roles());
        }
    }
}

/// The account in the database's URL, with its password.
fn account() -> String {
    let database = database();
    let (_, rest) = database.split_once("://").unwrap();
    rest.split_once('@').unwrap().0.to_owned()
}

/// As [`Schema::url`], whatever the name is.
fn url(schema: &Schema, options: &str) -> String {
    schema.url(options).replace(&schema.0, &encoded(&schema.0))
}

fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn is_forbidden(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE)
}

/// Stores that were opened by somebody with the worker's role.
#[derive(Default)]
struct Workers(Mutex<Vec<(String, Granted)>>);

#[async_trait]
impl Subject for Workers {
    async fn fresh(&self, env: Env) -> Arc<dyn Store> {
        let granted = Granted::new(Schema::new()).await;
        let store = PostgresStore::connect(&granted.url(&granted.logins.roles.worker), env).await.unwrap();
        // The one before is done with.
        let before = std::mem::replace(&mut *self.0.lock().unwrap(), vec![(store.location(), granted)]);
        drop(before);
        store
    }

    async fn reopen(&self, store: Arc<dyn Store>, env: Env) -> Arc<dyn Store> {
        let url = {
            let all = self.0.lock().unwrap();
            let (_, granted) = all.iter().find(|(location, _)| *location == store.location()).unwrap();
            granted.url(&granted.logins.roles.worker)
        };
        drop(store);
        PostgresStore::connect(&url, env).await.unwrap()
    }
}

/// One check of each concept: it is about rights, and the store keeps its promises to whoever has them.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_all_that_a_store_does() {
    let (workers, mut concepts) = (Workers::default(), HashSet::new());
    for check in checks().filter(|check| concepts.insert(check.name.split("::").next())) {
        check.run(&workers).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_asks_for_no_more_rights_than_a_worker_is_given() {
    let granted = Granted::new(Schema::new()).await;
    let store = PostgresStore::connect(&granted.url(&granted.logins.roles.worker), Env::system()).await.unwrap();
    let rights = async || store.check().await.unwrap().into_iter().find(|finding| finding.code == "rights").unwrap();
    assert_eq!(rights().await.severity, Severity::Ok);
    // What is about to take a day's place nobody uses yet.
    let sql = format!(
        "CREATE TABLE {0}.task_20270115_thin(); REVOKE ALL ON {0}.task_20270115_thin FROM \"{1}\"",
        granted.schema.0, granted.logins.roles.worker
    );
    client().await.batch_execute(&sql).await.unwrap();
    assert_eq!(rights().await.severity, Severity::Ok);
    let sql = format!("REVOKE DELETE ON {}.lease FROM \"{}\"", granted.schema.0, granted.logins.roles.worker);
    client().await.batch_execute(&sql).await.unwrap();
    let found = rights().await;
    assert_eq!((found.severity, found.message.as_str()), (Severity::Warning, "this role lacks rights on lease"));
}

#[tokio::test]
async fn a_worker_makes_and_drops_days() {
    let granted = Granted::new(Schema::new()).await;
    // 2027-01-15, of which the owner has made no partition.
    let (env, time) = Env::virtual_time(Timestamp::from_millis(1_800_000_000_000), 7);
    let store = PostgresStore::connect(&granted.url(&granted.logins.roles.worker), env).await.unwrap();
    let client = client().await;
    let there = async || -> bool {
        let sql = format!("SELECT to_regclass('{}.task_20270115') IS NOT NULL", granted.schema.0);
        client.query_one(&sql, &[]).await.unwrap().get(0)
    };
    assert!(!there().await);
    store.sweep(10).await.unwrap();
    assert!(there().await);
    let worker = granted.client(&granted.logins.roles.worker).await;
    worker.batch_execute(&format!("SELECT {0}.thin_begin(0), {0}.thin_step(0)", granted.schema.0)).await.unwrap();
    time.advance(Duration::from_secs(40 * 86_400));
    // Whoever can't have the locks at once comes again later.
    for _ in 0..20 {
        store.prune(10).await.unwrap();
        time.advance(Duration::from_secs(3600));
    }
    assert!(!there().await);
}

#[tokio::test]
async fn a_worker_may_nothing_beyond() {
    let granted = Granted::new(Schema::new()).await;
    let s = &granted.schema.0;
    let worker = granted.client(&granted.logins.roles.worker).await;
    for sql in [
        format!("CREATE TABLE {s}.mine()"),
        format!("DROP TABLE {s}.task"),
        format!("TRUNCATE {s}.task"),
        format!("DELETE FROM {s}.migration"),
        format!("ALTER TABLE {s}.task ADD COLUMN mine text"),
        format!("DROP SCHEMA {s} CASCADE"),
    ] {
        let error = worker.batch_execute(&sql).await.unwrap_err();
        assert!(is_forbidden(&error), "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn a_reader_looks_and_changes_nothing() {
    let (granted, env) = (Granted::new(Schema::new()).await, Env::system());
    let owner = PostgresStore::connect(&url(&granted.schema, ""), env.clone()).await.unwrap();
    let kind = KindSpec { name: "mail".to_owned(), schema: true.into(), fields: Vec::new(), policy: Policy::default() };
    owner.declare(std::slice::from_ref(&kind)).await.unwrap();
    let new = task(&env, "mail", Overrides::default());
    owner.enqueue(vec![new.clone()]).await.unwrap();

    let reader = PostgresStore::connect(&granted.url(&granted.logins.roles.reader), env.clone()).await.unwrap();
    assert_eq!(reader.get(new.id).await.unwrap().unwrap().id, new.id);
    assert_eq!(reader.list(&Filter::default(), None, 10).await.unwrap().items.len(), 1);
    assert_eq!(reader.queues().await.unwrap()[0].name, "default");
    assert_eq!(reader.kinds().await.unwrap()[0].name, "mail");
    assert!(reader.workers().await.unwrap().is_empty());
    assert!(!reader.check().await.unwrap().is_empty());
    owner.send_event(NewEvent::new("paid", "7").unwrap()).await.unwrap();
    assert_eq!(reader.list_events(None, None, 10).await.unwrap().items[0].name, "paid");
    assert!(reader.list_waiters(None, 10).await.unwrap().is_empty());
    // Its own task types are no reason to turn it away.
    reader.declare(&[KindSpec { name: "other".to_owned(), ..kind }]).await.unwrap();
    assert_eq!(owner.kinds().await.unwrap().len(), 1);
    for error in [
        reader.enqueue(vec![task(&env, "mail", Overrides::default())]).await.unwrap_err(),
        reader.cancel(&[new.id]).await.unwrap_err(),
        reader.retry(&[new.id]).await.unwrap_err(),
        reader.pause("default", true).await.unwrap_err(),
        reader.send_event(NewEvent::new("other", "7").unwrap()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
        assert!(error.to_string().contains("the role lacks this right"), "{error}");
    }
    assert_eq!(owner.list(&Filter::default(), None, 10).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn an_enqueuer_calls_functions_and_sees_no_table() {
    let (granted, env) = (Granted::new(Schema::new()).await, Env::system());
    let s = &granted.schema.0;
    let client = granted.client(&granted.logins.roles.enqueue).await;
    let force = format!("SELECT {s}.enqueue('mail', '{{\"secret\": 1}}', '{{\"force\": true}}')");
    let id: uuid::Uuid = client.query_one(&force, &[]).await.unwrap().get(0);
    let many = format!("SELECT {s}.enqueue_many('[{{\"name\": \"mail\", \"options\": {{\"force\": true}}}}]')");
    client.query_one(&many, &[]).await.unwrap();
    client.batch_execute(&format!("SELECT {s}.nudge()")).await.unwrap();
    let answer: String = client.query_one(&format!("SELECT {s}.cancel($1)"), &[&id]).await.unwrap().get(0);
    assert_eq!(answer, "cancelled");
    let empty = format!(
        "SELECT {s}.start_workflow('{{\"id\": \"{id}\", \"name\": \"w\", \"retention\": 0, \"definition\": \"{{}}\", \"ended\": 1, \"steps\": [], \
         \"members\": []}}')"
    );
    assert_eq!(client.query_one(&empty, &[]).await.unwrap().get::<_, String>(0), "created");
    let sent: String = client.query_one(&format!("SELECT {s}.send_event('paid', '7')"), &[]).await.unwrap().get(0);
    assert_eq!(sent, "stored");
    for sql in [
        format!("SELECT {s}.keep_event('a', '1', 1, 1)"),
        format!("SELECT payload FROM {s}.event"),
        format!("DELETE FROM {s}.memory"),
        format!("SELECT {s}.add_tasks('[]', NULL, NULL)"),
        format!("SELECT name FROM {s}.workflow"),
        format!("SELECT args FROM {s}.task"),
        format!("SELECT args FROM {s}.task_rest"),
        format!("SELECT name FROM {s}.kind"),
        format!("DELETE FROM {s}.task"),
        format!("SELECT nextval('{s}.arrival')"),
        format!("SELECT {s}.settle_succeeded('{id}', '{id}', 0, NULL, NULL, NULL, '[]')"),
        format!("SELECT {s}.hold_lease('{id}', '{id}')"),
        format!("SELECT {s}.drop_day(0)"),
        format!("SELECT {s}.thin_begin(0)"),
        format!("SELECT {s}.thin_step(0)"),
        format!("SELECT {s}.thin_swap(0, 0)"),
        format!("SELECT {s}.thin_end(0, 0)"),
    ] {
        let error = client.batch_execute(&sql).await.unwrap_err();
        assert!(is_forbidden(&error), "{sql}: {error:?}");
    }
    // Names that the caller puts before the server's own are not what the functions call.
    client
        .batch_execute(&format!(
            "BEGIN; CREATE FUNCTION pg_temp.jsonb_typeof(jsonb) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'mine'; END $$;
             SET search_path = pg_temp, pg_catalog; {force}; ROLLBACK"
        ))
        .await
        .unwrap();
    let error = PostgresStore::connect(&granted.url(&granted.logins.roles.enqueue), env).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
    assert!(error.to_string().contains("the role lacks this right"), "{error}");
}

/// A task of numbers that no driver sends would stop whoever claims, sweeps or settles others' tasks with it.
#[tokio::test]
async fn what_an_enqueuer_gives_is_checked_in_full() {
    let (granted, env) = (Granted::new(Schema::new()).await, Env::system());
    let s = &granted.schema.0;
    let client = granted.client(&granted.logins.roles.enqueue).await;
    let insert = async |over: &str| {
        let task = "jsonb_build_object('id', gen_random_uuid(), 'queue', 'q', 'kind', 'k', 'priority', 5, 'max_attempts', 1,
                    'max_crashes', 1, 'ack', 0, 'retention', 0, 'args', '{}')";
        client.execute(&format!("SELECT {s}.insert_tasks(jsonb_build_array({task} || $1::text::jsonb))"), &[&over]).await
    };
    for (over, field) in [
        (r#"{"priority": 42}"#, "priority"),
        (r#"{"priority": -1}"#, "priority"),
        (r#"{"priority": null}"#, "priority"),
        (r#"{"max_attempts": 0}"#, "max_attempts"),
        (r#"{"max_crashes": -5}"#, "max_crashes"),
        (r#"{"ack": 7}"#, "ack"),
        (r#"{"retention": 9223372036854775807}"#, "retention"),
        (r#"{"retention": -99}"#, "retention"),
        (r#"{"deadline": 9223372036854775807}"#, "deadline"),
        (r#"{"at": -9000000000000000000}"#, "at"),
        (r#"{"at": 9000000000000000000, "deadline": 1}"#, "at"),
        (r#"{"delay": -1}"#, "delay"),
        (r#"{"expires": 9223372036854775807}"#, "expires"),
        (r#"{"meta": "[]"}"#, "meta"),
        (r#"{"args": null}"#, "args"),
        (r#"{"id": null}"#, "id"),
        (r#"{"queue": ""}"#, "queue"),
        (r#"{"kind": "a\nb"}"#, "kind"),
    ] {
        let error = insert(over).await.expect_err(over);
        let error = error.as_db_error().expect(over);
        assert_eq!(error.code().code(), "22023", "{over}: {error}");
        assert!(error.message().contains(field), "{over}: {error}");
    }
    for fine in
        ["{}", r#"{"retention": -2}"#, r#"{"retention": 2305843009213693952, "delay": 5}"#, r#"{"meta": "{\"title\": \"t\"}"}"#]
    {
        insert(fine).await.expect(fine);
    }
    // The rows of its labels would be deleted together with others' tasks.
    let words: String = (0..2_000).map(|n| format!("w{n} ")).collect();
    let over = serde_json::json!({"meta": serde_json::json!({"title": words}).to_string()}).to_string();
    let error = insert(&over).await.unwrap_err();
    assert!(error.as_db_error().unwrap().message().contains("meta: "), "{error}");
    let error = insert(r#"{"meta": "{"}"#).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "22P02", "{error}");
    // Nobody else is stopped by any of it.
    let owner = PostgresStore::connect(&url(&granted.schema, ""), env).await.unwrap();
    owner.sweep(100).await.unwrap();
    assert_eq!(owner.list(&Filter::default(), None, 10).await.unwrap().items.len(), 4);
}

#[tokio::test]
async fn the_clock_is_not_an_enqueuers() {
    let granted = Granted::new(Schema::new()).await;
    let s = &granted.schema.0;
    let client = granted.client(&granted.logins.roles.enqueue).await;
    for now in ["-9000000000000000000", "9000000000000000000"] {
        let force = format!("SELECT {s}.enqueue('mail', '{{}}', '{{\"force\": true}}')");
        let id: uuid::Uuid = client.query_one(&force, &[]).await.unwrap().get(0);
        client.execute(&format!("SELECT {s}.cancel_tasks(ARRAY[$1::uuid], {now})"), &[&id]).await.unwrap();
        let right = format!(
            "SELECT abs(finished_at - extract(epoch FROM now()) * 1000) < 3600000 AND keep_until > finished_at FROM {s}.outcome
             WHERE id = $1"
        );
        assert!(self::client().await.query_one(&right, &[&id]).await.unwrap().get::<_, bool>(0), "{now}");
    }
}

#[tokio::test]
async fn nobody_else_may_call_a_function() {
    let granted = Granted::new(Schema::new()).await;
    let sql = "SELECT p.oid::regprocedure::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
               WHERE p.pronamespace = $1::text::regnamespace AND a.grantee = 0 AND p.proname NOT IN ('lease_changed', 'report_late')";
    let open = client().await.query(sql, &[&granted.schema.0]).await.unwrap();
    assert!(open.is_empty(), "a migration forgot to revoke: {:?}", open.iter().map(|row| row.get(0)).collect::<Vec<String>>());
}

#[tokio::test]
async fn what_comes_later_is_covered_and_a_second_time_changes_nothing() {
    let granted = Granted::new(Schema::new()).await;
    let s = &granted.schema.0;
    let roles = &granted.logins.roles;
    client().await.batch_execute(&format!("CREATE TABLE {s}.later(id bigint GENERATED ALWAYS AS IDENTITY)")).await.unwrap();
    granted.client(&roles.worker).await.batch_execute(&format!("INSERT INTO {s}.later DEFAULT VALUES")).await.unwrap();
    granted.client(&roles.reader).await.batch_execute(&format!("SELECT * FROM {s}.later")).await.unwrap();
    let rights = "SELECT coalesce(string_agg(relname || relacl::text, ',' ORDER BY relname), '') FROM pg_class
                  WHERE relnamespace = $1::text::regnamespace";
    let before: String = client().await.query_one(rights, &[&s]).await.unwrap().get(0);
    let url = url(&granted.schema, "");
    let (one, two) = tokio::join!(grant_roles(&url), grant_roles(&url));
    assert_eq!((&one.unwrap(), &two.unwrap()), (roles, roles));
    client().await.batch_execute(&roles_sql(&url).unwrap()).await.unwrap();
    let after: String = client().await.query_one(rights, &[&s]).await.unwrap().get(0);
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_schema_of_any_name_has_its_functions_and_its_roles() {
    let odd = format!("it's 100% odd; -- {}", Env::system().fence().as_uuid().simple());
    let granted = Granted::new(Schema(odd)).await;
    let url = url(&granted.schema, "");
    assert!(migration_status(&url).await.unwrap().iter().all(|step| step.applied_at.is_some()));
    assert!(migration_sql(&url).unwrap().contains("it's 100% odd"));
    let client = granted.client(&granted.logins.roles.enqueue).await;
    let sql = format!("SELECT \"{}\".enqueue('mail', '{{}}', '{{\"force\": true}}')", granted.schema.0);
    let id: uuid::Uuid = client.query_one(&sql, &[]).await.unwrap().get(0);
    let worker = PostgresStore::connect(&granted.url(&granted.logins.roles.worker), Env::system()).await.unwrap();
    assert_eq!(worker.list(&Filter::default(), None, 10).await.unwrap().items[0].id.as_uuid(), id);
}

#[tokio::test]
async fn roles_are_made_by_who_owns_the_tables() {
    let granted = Granted::new(Schema::new()).await;
    let error = grant_roles(&granted.url(&granted.logins.roles.worker)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
    let empty = Schema::new();
    let error = grant_roles(&empty.url("")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotOurs, "{error}");
    assert!(error.to_string().contains("migrate"), "{error}");
    // Nothing is half made.
    let left = Roles::of(&empty.url("")).unwrap();
    let row = client().await.query_one("SELECT count(*) FROM pg_roles WHERE rolname = $1", &[&left.worker]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
}
