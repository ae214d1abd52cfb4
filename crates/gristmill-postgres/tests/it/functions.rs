use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gristmill_core::durable::{Durable as _, EVENT_KEPT};
use gristmill_core::{
    Ack, Backoff, CancelOutcome, Claim, EnqueueOutcome, Env, KindSpec, Limits, NewTask, Overrides, Policy, Retention, Source,
    State, Store, TaskId, Wake, Wanted, WorkerSpec,
};
use gristmill_postgres::PostgresStore;
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::common::{Schema, client};

/// Far beyond what anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// A store with one task type, of which every option differs from the default.
async fn store(schema: &Schema) -> (std::sync::Arc<PostgresStore>, Client, KindSpec) {
    let store = PostgresStore::connect(&schema.url(""), Env::system()).await.unwrap();
    let policy = Policy {
        queue: "mails".to_owned(),
        priority: 3,
        max_attempts: 7,
        max_crashes: 2,
        expires: Some(Duration::from_secs(5400)),
        ack: Ack::Early,
        retention: Retention::None,
        tags: vec!["own \"tag\"".to_owned()],
        ..Policy::default()
    };
    let schema = json!({
        "type": "object",
        "required": ["to"],
        "properties": {
            "to": {"type": "string", "pattern": "^[^\u{0}]*$"},
            "n": {"type": "integer"},
            "some": {"type": ["number", "null"]},
            "a/b": {"type": "array"},
            "free": true,
        },
    });
    let kind = KindSpec { name: "mail".to_owned(), schema, fields: vec!["to".to_owned()], policy };
    store.declare(std::slice::from_ref(&kind)).await.unwrap();
    (store, client().await, kind)
}

async fn enqueue(
    client: &Client,
    schema: &Schema,
    name: &str,
    args: &Value,
    options: &Value,
) -> Result<TaskId, tokio_postgres::Error> {
    let sql = format!("SELECT {}.enqueue($1, $2::text::jsonb, $3::text::jsonb)", schema.0);
    let row = client.query_one(&sql, &[&name, &args.to_string(), &options.to_string()]).await?;
    Ok(TaskId::from_uuid(row.get::<_, Uuid>(0)))
}

/// All that is kept of a task but its identity. When it is due and when it expires are counted from when it was made, unless
/// they are moments that were given.
async fn kept(client: &Client, schema: &Schema, id: TaskId, (due, expiry): (bool, bool)) -> Value {
    let s = &schema.0;
    let sql = format!(
        "SELECT jsonb_build_array(t.queue, t.kind, t.priority, t.max_attempts, t.max_crashes, t.ack, t.retention, t.args, t.meta,
           t.run_at - CASE WHEN $2 THEN 0 ELSE t.created_at END, t.expires_at - CASE WHEN $3 THEN 0 ELSE t.created_at END,
           r.priority, r.queue, r.kind, r.attempt + r.claim_no + r.crashes, r.expires_at = t.expires_at, r.seq = t.seq,
           s.priority, s.queue, s.kind, s.attempt + s.claim_no + s.crashes, s.expires_at = t.expires_at, s.seq = t.seq,
           s.run_at = t.run_at)::text
         FROM {s}.task t LEFT JOIN {s}.ready r ON r.id = t.id LEFT JOIN {s}.scheduled s ON s.id = t.id WHERE t.id = $1"
    );
    let row = client.query_one(&sql, &[&id.as_uuid(), &due, &expiry]).await.unwrap();
    serde_json::from_str(row.get(0)).unwrap()
}

fn every_option() -> Vec<(Value, Overrides)> {
    let over = Overrides::default;
    let ms = Duration::from_millis;
    let [due, late] = ["2100-01-31T09:00:00.25+01:00", "2100-01-31T08:30:00.5Z"].map(|at| at.parse().unwrap());
    let headers = BTreeMap::from([("a\"".to_owned(), "1\n\u{7f}é".to_owned()), ("B".to_owned(), "\\/".to_owned())]);
    vec![
        (json!({}), over()),
        (json!({"queue": null, "delay": null, "backoff": null, "tags": null, "title": null}), over()),
        (json!({"queue": "other"}), Overrides { queue: Some("other".to_owned()), ..over() }),
        (json!({"queue": "'; DROP TABLE x; --"}), Overrides { queue: Some("'; DROP TABLE x; --".to_owned()), ..over() }),
        (json!({"priority": 0}), Overrides { priority: Some(0), ..over() }),
        (json!({"priority": 9}), Overrides { priority: Some(9), ..over() }),
        (json!({"delay": "1h30m"}), Overrides { delay: Some(ms(5_400_000)), ..over() }),
        (json!({"delay": " 1.5 h 2ms"}), Overrides { delay: Some(ms(5_400_002)), ..over() }),
        (json!({"delay": 2.5}), Overrides { delay: Some(ms(2_500)), ..over() }),
        (json!({"in": "3d"}), Overrides { delay: Some(ms(259_200_000)), ..over() }),
        (json!({"at": "2100-01-31T09:00:00.25+01:00"}), Overrides { run_at: Some(due), ..over() }),
        (json!({"max_attempts": 1}), Overrides { max_attempts: Some(1), ..over() }),
        (json!({"max_attempts": 2_147_483_647}), Overrides { max_attempts: Some(2_147_483_647), ..over() }),
        (json!({"max_crashes": 9}), Overrides { max_crashes: Some(9), ..over() }),
        (json!({"timeout": "100ms"}), Overrides { timeout: Some(ms(100)), ..over() }),
        (json!({"expires": "2w"}), Overrides { expires: Some(ms(1_209_600_000)), ..over() }),
        (json!({"expires_at": "2100-01-31T08:30:00.5Z"}), Overrides { expires_at: Some(late), ..over() }),
        (
            json!({"at": "2100-01-31T09:00:00.25+01:00", "expires_at": "2100-01-31T08:30:00.5Z"}),
            Overrides { run_at: Some(due), expires_at: Some(late), ..over() },
        ),
        (json!({"retention": "none"}), Overrides { retention: Some(Retention::None), ..over() }),
        (json!({"retention": "forever"}), Overrides { retention: Some(Retention::Forever), ..over() }),
        (json!({"retention": "36h"}), Overrides { retention: Some(Retention::For(ms(129_600_000))), ..over() }),
        (json!({"ack": "late"}), Overrides { ack: Some(Ack::Late), ..over() }),
        (json!({"backoff": "90s"}), Overrides { backoff: Some(Backoff::Fixed(ms(90_000))), ..over() }),
        (
            json!({"backoff": ["0", "2h", "1500ms"]}),
            Overrides { backoff: Some(Backoff::List(vec![ms(0), ms(7_200_000), ms(1500)])), ..over() },
        ),
        (
            json!({"backoff": {"exponential": "2s"}}),
            Overrides { backoff: Some(Backoff::Exponential { base: ms(2000), max: ms(3_600_000), jitter: true }), ..over() },
        ),
        (
            json!({"backoff": {"exponential": "2s", "max": "24h", "jitter": false}}),
            Overrides { backoff: Some(Backoff::Exponential { base: ms(2000), max: ms(86_400_000), jitter: false }), ..over() },
        ),
        (json!({"tags": ["b", "a\"\\"]}), Overrides { tags: vec!["b".to_owned(), "a\"\\".to_owned()], ..over() }),
        (json!({"headers": headers}), Overrides { headers, ..over() }),
        (json!({"title": "for\n Ümit"}), Overrides { title: Some("for\n Ümit".to_owned()), ..over() }),
        (json!({"title": "é".repeat(200)}), Overrides { title: Some("é".repeat(200)), ..over() }),
        (json!({"title": "\n"}), Overrides { title: Some("\n".to_owned()), ..over() }),
    ]
}

#[tokio::test]
async fn a_task_enqueued_by_sql_is_what_a_client_would_have_kept() {
    let schema = Schema::new();
    let (store, client, kind) = store(&schema).await;
    // As jsonb prints it, which is what is kept.
    let args = "{\"n\": 1.0, \"to\": \"ü\\n\", \"free\": {\"x\": [null, true]}}";
    let value = serde_json::from_str(args).unwrap();
    for (options, over) in every_option() {
        let moments = (over.run_at.is_some(), over.run_at.or(over.expires_at).is_some());
        let new = NewTask::of(&kind, args.to_owned(), over, Env::system().task_id(), &Limits::default()).unwrap();
        assert_eq!(store.enqueue(vec![new.clone()]).await.unwrap(), [EnqueueOutcome::Created]);
        let id = enqueue(&client, &schema, "mail", &value, &options).await.unwrap();
        assert_eq!(id.as_uuid().get_version_num(), 7);
        assert_eq!(kept(&client, &schema, id, moments).await, kept(&client, &schema, new.id, moments).await, "{options}");
        let [theirs, ours] = [store.get(id).await.unwrap().unwrap(), store.get(new.id).await.unwrap().unwrap()];
        assert_eq!((&theirs.meta, &theirs.args, theirs.state), (&ours.meta, &ours.args, ours.state), "{options}");
    }
}

#[tokio::test]
async fn ids_made_in_sql_land_in_the_partition_of_their_day() {
    let schema = Schema::new();
    let (_store, client, _) = store(&schema).await;
    let id = enqueue(&client, &schema, "mail", &json!({"to": "x"}), &json!({})).await.unwrap();
    let sql = format!(
        "SELECT tableoid::regclass::text, to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD') FROM {}.task WHERE id = $1",
        schema.0
    );
    let row = client.query_one(&sql, &[&id.as_uuid()]).await.unwrap();
    let (table, day): (String, String) = (row.get(0), row.get(1));
    assert!(table.ends_with(&format!("task_{day}")), "{table}");
}

#[tokio::test]
async fn an_id_can_be_enqueued_again_with_the_same_arguments_only() {
    let schema = Schema::new();
    let (_store, client, _) = store(&schema).await;
    let options = json!({"id": "018F3A5E-7c00-7000-8000-000000000001"});
    let [one, two] = [json!({"to": "1"}), json!({"to": "2"})];
    let id = enqueue(&client, &schema, "mail", &one, &options).await.unwrap();
    assert_eq!(enqueue(&client, &schema, "mail", &one, &options).await.unwrap(), id);
    let error = enqueue(&client, &schema, "mail", &two, &options).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION));
    assert!(error.as_db_error().unwrap().message().contains("another task has the id 018f3a5e-"), "{error}");
}

#[tokio::test]
async fn each_mistake_is_named_with_what_to_do() {
    let schema = Schema::new();
    let (store, client, _) = store(&schema).await;
    let to = json!({"to": "secret"});
    let deep = (0..128).fold(json!({}), |inner, _| json!([inner]));
    let option = |options: Value| ("mail", to.clone(), options);
    let cases = [
        (("mial", to.clone(), json!({})), "name: there is no task type \"mial\""),
        (("", to.clone(), json!({})), "name: is empty"),
        (("a\nb", to.clone(), json!({"force": true})), "name: holds a control character"),
        (("'; DROP SCHEMA x; --", to.clone(), json!({})), "name: there is no task type \"'; DROP SCHEMA x; --\""),
        (("mail", json!({}), json!({})), "args/to: is missing"),
        (("mail", json!({"to": 1}), json!({})), "args/to: is not of type string"),
        (("mail", json!({"to": "x", "n": 1.5}), json!({})), "args/n: is not of type integer"),
        (("mail", json!({"to": "x", "some": "1"}), json!({})), "args/some: is not of type number or null"),
        (("mail", json!({"to": "x", "a/b": {}}), json!({})), "args/a~1b: is not of type array"),
        (("mail", json!([]), json!({})), "args: are not a JSON object"),
        (("mail", json!(null), json!({})), "args: are not a JSON object"),
        (("mail", json!({"to": "x".repeat(262_144)}), json!({})), "args: are 262154 bytes of JSON; at most 262144"),
        (("mail", json!({"to": "[[", "deep": deep}), json!({})), "args: nest deeper than 128 levels"),
        (option(json!([])), "options: are not a JSON object"),
        (option(json!({"que": 1})), "options/que: is not an option"),
        (option(json!({"queue": 1})), "queue: is not a string"),
        (option(json!({"queue": ""})), "queue: is empty"),
        (option(json!({"queue": "ü".repeat(128)})), "queue: is 256 bytes long; at most 255"),
        (option(json!({"priority": 10})), "priority: is not a whole number from 0 to 9"),
        (option(json!({"priority": 1.5})), "priority: is not a whole number"),
        (option(json!({"priority": "1"})), "priority: is not a whole number"),
        (option(json!({"max_attempts": 0})), "max_attempts: is not a whole number from 1 to 2147483647"),
        (option(json!({"max_crashes": 1e20})), "max_crashes: is not a whole number"),
        (option(json!({"delay": "soon"})), "delay: \"soon\" is not a duration"),
        (option(json!({"delay": "5"})), "delay: \"5\" is not a duration"),
        (option(json!({"delay": "-5s"})), "delay: \"-5s\" is not a duration"),
        (option(json!({"delay": -1})), "delay: -1 is not a duration"),
        (option(json!({"delay": ["1s"]})), "delay: [\"1s\"] is not a duration"),
        (option(json!({"delay": "99999999w"})), "delay: \"99999999w\" is too long"),
        (option(json!({"delay": 1e300})), "is too long"),
        (option(json!({"delay": "1s", "at": "2100-01-01T00:00:00Z"})), "delay: stands beside in or at"),
        (option(json!({"at": "tomorrow"})), "at: \"tomorrow\" is not an RFC 3339 date"),
        (option(json!({"at": "2100-02-30T00:00:00Z"})), "at: \"2100-02-30T00:00:00Z\" is not an RFC 3339 date"),
        (option(json!({"at": "2100-02-20T00:00:00"})), "is not an RFC 3339 date"),
        (option(json!({"at": "2100-02-20T00:00:00+99:00"})), "is not an RFC 3339 date"),
        (option(json!({"at": "1969-12-31T23:59:59Z"})), "is out of range"),
        (option(json!({"at": 5})), "at: 5 is not an RFC 3339 date"),
        (option(json!({"expires": "1s", "expires_at": "2100-01-01T00:00:00Z"})), "expires: stands beside expires_at"),
        (option(json!({"expires_at": "2020-01-01T00:00:00Z"})), "expires_at: is before the moment"),
        (option(json!({"at": "2100-01-02T00:00:00Z", "expires_at": "2100-01-01T00:00:00Z"})), "expires_at: is before the moment"),
        (option(json!({"timeout": "0"})), "timeout: is at least 1ms"),
        (option(json!({"retention": "long"})), "retention: \"long\" is not a duration"),
        (option(json!({"ack": "never"})), "ack: is neither"),
        (option(json!({"backoff": []})), "backoff: is not a backoff"),
        (option(json!({"backoff": {"exponential": "2s", "cap": "1h"}})), "backoff: is not a backoff"),
        (option(json!({"backoff": {"exponential": "2h"}})), "backoff: begins with 2h, which is above its max of 1h"),
        (option(json!({"backoff": "x"})), "backoff: \"x\" is not a duration"),
        (option(json!({"tags": "a"})), "tags: are not a JSON array of strings"),
        (option(json!({"tags": [1]})), "tags: are not a JSON array of strings"),
        (option(json!({"tags": vec!["a"; 65]})), "tags: 65 given; at most 64"),
        (option(json!({"headers": ["a"]})), "headers: are not a JSON object"),
        (option(json!({"headers": {"a": 1}})), "headers/a: is not a string"),
        (option(json!({"headers": {"": "1"}})), "headers: is empty"),
        (option(json!({"title": 1})), "title: is not a string"),
        (option(json!({"id": "x"})), "id: is not a UUID"),
        (option(json!({"force": "yes"})), "force: is not true or false"),
    ];
    for ((name, args, options), says) in cases {
        let error = enqueue(&client, &schema, name, &args, &options).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code(), &SqlState::INVALID_PARAMETER_VALUE, "{options}: {error}");
        assert!(error.message().contains(says), "{options}: {error}");
        assert!(!error.message().contains("secret"), "it repeats no argument: {error}");
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "it says what to do: {error}");
    }
    let s = &schema.0;
    for (call, says) in [
        ("enqueue(NULL)", "name: is empty"),
        ("enqueue('mail', NULL)", "args: are NULL"),
        ("enqueue('mail', '{\"to\": \"x\"}', NULL)", "options: are NULL"),
        ("enqueue('mail', '{\"to\": \"\\u0000\"}')", "unsupported Unicode escape sequence"),
        ("enqueue_many(NULL)", "tasks: are not a JSON array"),
        ("enqueue_many('{}')", "tasks: are not a JSON array"),
        ("enqueue_many('[7]')", "task 1: it: is not a JSON object"),
        (
            "enqueue_many('[{\"name\": \"mail\", \"args\": {\"to\": \"x\"}}, {\"name\": \"mail\"}]')",
            "task 2: args/to: is missing",
        ),
        ("enqueue_many('[{\"task\": \"mail\"}]')", "task 1: task: is not a part of a task"),
        (
            "enqueue_many('[{\"name\": \"mail\", \"args\": {\"to\": \"x\"}, \"options\": {\"delay\": \"?\"}}]')",
            "task 1: delay: \"?\" is not",
        ),
        ("cancel(NULL)", "id: is NULL"),
    ] {
        let error = client.query_one(&format!("SELECT {s}.{call}"), &[]).await.unwrap_err();
        assert!(error.as_db_error().unwrap().message().contains(says), "{call}: {error:?}");
    }
    assert_eq!(store.list(&Default::default(), None, 10).await.unwrap().items.len(), 0, "nothing was kept");
}

#[tokio::test]
async fn an_undeclared_type_has_to_be_forced() {
    let schema = Schema::new();
    let (store, client, _) = store(&schema).await;
    let id = enqueue(&client, &schema, "not.yet", &json!({"any": 1}), &json!({"force": true})).await.unwrap();
    let task = store.get(id).await.unwrap().unwrap();
    assert_eq!(
        (task.kind.as_str(), task.queue.as_str(), task.max_attempts),
        ("not.yet", "default", Policy::default().max_attempts)
    );
    // That it was used does not declare it.
    assert!(enqueue(&client, &schema, "not.yet", &json!({}), &json!({})).await.is_err());
}

#[tokio::test]
async fn ten_thousand_tasks_come_back_in_order() {
    let schema = Schema::new();
    let (store, client, _) = store(&schema).await;
    let tasks: Vec<Value> =
        (0..10_000).map(|n| json!({"name": "mail", "args": {"to": "x", "n": n}, "options": {"priority": n % 10}})).collect();
    let sql = format!("SELECT * FROM {}.enqueue_many($1::text::jsonb)", schema.0);
    let rows = client.query(&sql, &[&Value::from(tasks).to_string()]).await.unwrap();
    assert_eq!(rows.len(), 10_000);
    for n in [0, 1, 4_999, 9_999] {
        let task = store.get(TaskId::from_uuid(rows[n].get(0))).await.unwrap().unwrap();
        assert_eq!((task.args, usize::from(task.priority)), (format!("{{\"n\": {n}, \"to\": \"x\"}}"), n % 10));
    }
    let sql = format!(
        "SELECT count(*), bool_and(seq > before) FROM (SELECT seq, lag(seq) OVER (ORDER BY (args::jsonb ->> 'n')::int) AS before
         FROM {}.task) t",
        schema.0
    );
    let row = client.query_one(&sql, &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (10_000_i64, Some(true)), "they arrive in the order in which they were given");
}

/// By the same limits as those of every other program.
#[tokio::test]
async fn what_an_event_brings_is_checked_in_full() {
    let schema = Schema::new();
    let (store, client, _) = store(&schema).await;
    client.batch_execute(&format!("SET search_path = {}; SET standard_conforming_strings = off", schema.0)).await.unwrap();
    let send = async |call: &str| -> Result<String, tokio_postgres::Error> {
        Ok(client.query_one(&format!("SELECT send_event({call})"), &[]).await?.get(0))
    };
    let deep = |levels: usize| format!("'a', '{}{}'", "[".repeat(levels), "]".repeat(levels));
    for (call, says) in [
        ("NULL, '1'".to_owned(), "event: is empty"),
        ("'', '1'".to_owned(), "event: is empty"),
        ("repeat('a', 256), '1'".to_owned(), "event: is 256 bytes long"),
        ("chr(10), '1'".to_owned(), "event: holds a control character"),
        ("'a', NULL".to_owned(), "payload: is NULL"),
        ("'a', ''".to_owned(), "payload: is no JSON"),
        ("'a', '{'".to_owned(), "payload: is no JSON"),
        ("'a', to_json(repeat('x', 1048576))::text".to_owned(), "payload: has 1048578 bytes of JSON; at most 1048576"),
        (deep(129), "payload: nests deeper than 128 levels"),
        (deep(200_000), "payload: is no JSON"),
        ("'a', '1', -1".to_owned(), "kept_ms: is not a whole number"),
        ("'a', '1', NULL".to_owned(), "kept_ms: is not a whole number"),
        ("'a', '1', 9223372036854775807".to_owned(), "kept_ms: is not a whole number from 0 to 3153600000000"),
    ] {
        let error = send(&call).await.expect_err(says);
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code(), &SqlState::INVALID_PARAMETER_VALUE, "{says}: {error}");
        assert!(error.message().contains(says), "{says}: {error}");
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "it says what to do: {error}");
    }
    assert!(store.list_events(None, None, 10).await.unwrap().items.is_empty(), "nothing was kept");
    for (call, answer) in [
        ("'a'", "stored"),
        ("'a', '2'", "exists"),
        ("'b', jsonb_build_object('n', 1)::text, 3153600000000", "stored"),
        ("'c', to_json(repeat('x', 1048574))::text", "stored"),
        ("'d', chr(34) || chr(92) || 'u0000' || chr(34)", "stored"),
        (&deep(128).replace("'a'", "'e'"), "stored"),
        ("'f', '1', 0", "stored"),
        ("'f', '2', 0", "stored"),
    ] {
        assert_eq!(send(call).await.unwrap(), answer, "{call}");
    }
    let events = store.list_events(None, None, 10).await.unwrap().items;
    let kept = |name: &str| events.iter().find(|event| event.name == name).map(|event| event.payload.as_str());
    assert_eq!((kept("a"), kept("b"), kept("f")), (Some("null"), Some(r#"{"n": 1}"#), None));
    assert_eq!(kept("d"), Some(r#""\u0000""#));
    let a = events.iter().find(|event| event.name == "a").unwrap();
    assert_eq!(a.keep_until.since(a.sent_at), EVENT_KEPT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_gets_it_soon_after_the_commit_and_never_after_a_rollback() {
    let (schema, env) = (Schema::new(), Env::system());
    let (store, mut client, _) = store(&schema).await;
    let spec = WorkerSpec {
        id: env.worker_id(),
        name: "w".to_owned(),
        lease: DEADLINE,
        kinds: vec!["mail".into()],
        queues: [("mails".to_owned(), 10)].into(),
        version: String::new(),
    };
    store.enter(&spec).await.unwrap();
    let claim = async || {
        let wanted = vec![Wanted::new("mails", 10)];
        store.claim(&Claim { worker: spec.id, fence: env.fence(), wanted, again: false }).await.unwrap()
    };
    let sql = format!("SELECT {}.enqueue('mail', '{{\"to\": \"x\"}}')", schema.0);
    let mut kept: Vec<Uuid> = Vec::new();
    for commit in [false, true] {
        let tx = client.transaction().await.unwrap();
        for _ in 0..3 {
            kept.push(tx.query_one(&sql, &[]).await.unwrap().get(0));
        }
        assert!(claim().await.is_empty(), "nothing is committed");
        if commit {
            tx.commit().await.unwrap();
        } else {
            tx.rollback().await.unwrap();
            kept.clear();
        }
    }
    let since = Instant::now();
    let mut claimed = Vec::new();
    while claimed.len() < 3 && since.elapsed() < DEADLINE {
        claimed.extend(claim().await);
        store.wait(Wake::Ready, Duration::from_millis(10)).await;
    }
    let claimed: Vec<Uuid> = claimed.iter().map(|claimed| claimed.lease.id.as_uuid()).collect();
    assert_eq!(claimed, kept, "in their order, and those of the rollback never");
}

#[tokio::test]
async fn a_task_is_cancelled_from_sql_whatever_its_state() {
    let (schema, env) = (Schema::new(), Env::system());
    let (store, client, _) = store(&schema).await;
    let spec = WorkerSpec {
        id: env.worker_id(),
        name: "w".to_owned(),
        lease: DEADLINE,
        kinds: vec!["mail".into()],
        queues: [("running".to_owned(), 1)].into(),
        version: String::new(),
    };
    store.enter(&spec).await.unwrap();
    let args = json!({"to": "x"});
    let running = enqueue(&client, &schema, "mail", &args, &json!({"queue": "running"})).await.unwrap();
    let wanted = vec![Wanted::new("running", 1)];
    let claimed = store.claim(&Claim { worker: spec.id, fence: env.fence(), wanted, again: false }).await.unwrap();
    assert_eq!(claimed[0].lease.id, running);
    let ready = enqueue(&client, &schema, "mail", &args, &json!({})).await.unwrap();
    let later = enqueue(&client, &schema, "mail", &args, &json!({"delay": "1h"})).await.unwrap();
    let by_client = enqueue(&client, &schema, "mail", &args, &json!({})).await.unwrap();
    let cancel = async |id: TaskId| -> String {
        client.query_one(&format!("SELECT {}.cancel($1)", schema.0), &[&id.as_uuid()]).await.unwrap().get(0)
    };
    assert_eq!(cancel(running).await, "cancel_requested");
    assert_eq!(store.heartbeat(spec.id, DEADLINE).await.unwrap().cancel[0].id, running);
    assert_eq!(store.cancel(&[by_client]).await.unwrap(), [CancelOutcome::Cancelled]);
    let same = store.get(by_client).await.unwrap().unwrap();
    for id in [ready, later] {
        assert_eq!(cancel(id).await, "cancelled");
        let task = store.get(id).await.unwrap().unwrap();
        assert_eq!((task.state, &task.error, task.attempts.len()), (State::Cancelled, &same.error, same.attempts.len()));
        assert_eq!(cancel(id).await, "already_ended");
    }
    assert_eq!(cancel(env.task_id()).await, "not_found");
}

/// Databases of old applications have it off; days were not found then, and nothing was deleted any more.
#[tokio::test]
async fn the_functions_do_not_depend_on_how_the_session_reads_strings() {
    let schema = Schema::new();
    let (store, client, kind) = store(&schema).await;
    client.batch_execute("SET standard_conforming_strings = off").await.unwrap();
    let id = enqueue(&client, &schema, &kind.name, &json!({"to": "a"}), &json!({})).await.unwrap();
    assert!(store.get(id).await.unwrap().is_some());
    let careless: Vec<String> = client
        .query(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = $1::text::regnamespace AND strpos(prosrc, chr(92)) > 0
               AND NOT coalesce(proconfig, '{}') @> ARRAY['standard_conforming_strings=on']",
            &[&schema.0],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(careless.is_empty(), "a step made functions with a backslash, and without this setting: {careless:?}");
    let days = format!("SELECT count(*) FROM {}.days()", schema.0);
    assert!(client.query_one(&days, &[]).await.unwrap().get::<_, i64>(0) > 0, "those that are made ahead");
}

/// Numbers of names are 32 bits wide; a program that starts every second must not use them up.
#[tokio::test]
async fn names_that_are_there_use_up_no_numbers() {
    let schema = Schema::new();
    let (_, client, kind) = store(&schema).await;
    let used = async || -> (i64, i64) {
        let sql = format!("SELECT (SELECT last_value FROM {0}.kind_id_seq), (SELECT last_value FROM {0}.queue_id_seq)", schema.0);
        let row = client.query_one(&sql, &[]).await.unwrap();
        (row.get(0), row.get(1))
    };
    let start = async || {
        let env = Env::system();
        let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
        store.declare(std::slice::from_ref(&kind)).await.unwrap();
        store.pause("mails", false).await.unwrap();
        let spec = WorkerSpec {
            id: env.worker_id(),
            name: "one of many".to_owned(),
            lease: DEADLINE,
            kinds: vec![kind.name.as_str().into()],
            queues: BTreeMap::from([("mails".to_owned(), 1)]),
            version: String::new(),
        };
        store.enter(&spec).await.unwrap();
        let wanted = vec![Wanted::new("mails", 1)];
        store.claim(&Claim { worker: spec.id, fence: env.fence(), wanted, again: false }).await.unwrap();
    };
    start().await;
    let before = used().await;
    for _ in 0..3 {
        start().await;
    }
    assert_eq!(used().await, before);
}

/// Who settles finds a lease by its place, and has to begin anew if it was written again.
#[tokio::test]
async fn what_is_asked_to_stop_again_is_not_written_again() {
    let schema = Schema::new();
    let (store, client, kind) = store(&schema).await;
    let env = Env::system();
    let id = enqueue(&client, &schema, &kind.name, &json!({"to": "a"}), &json!({})).await.unwrap();
    let spec = WorkerSpec {
        id: env.worker_id(),
        name: "one".to_owned(),
        lease: DEADLINE,
        kinds: vec![kind.name.as_str().into()],
        queues: BTreeMap::from([("mails".to_owned(), 1)]),
        version: String::new(),
    };
    store.enter(&spec).await.unwrap();
    let wanted = vec![Wanted::new("mails", 1)];
    let claimed = store.claim(&Claim { worker: spec.id, fence: env.fence(), wanted, again: false }).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let place =
        async || -> String { client.query_one(&format!("SELECT ctid::text FROM {}.lease", schema.0), &[]).await.unwrap().get(0) };
    assert_eq!(store.cancel(&[id]).await.unwrap(), [CancelOutcome::CancelRequested]);
    let before = place().await;
    assert_eq!(store.cancel(&[id]).await.unwrap(), [CancelOutcome::CancelRequested]);
    assert_eq!(place().await, before);
}

/// What stands in the server's log is for its administrator.
#[tokio::test]
async fn a_settlement_that_has_to_begin_anew_says_so_in_the_log() {
    let schema = Schema::new();
    let (_store, client, _) = store(&schema).await;
    let error = client.batch_execute(&format!("SELECT {}.lease_changed()", schema.0)).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!((error.code().code(), error.message().contains("this is harmless")), ("UGM01", true), "{error}");
}
