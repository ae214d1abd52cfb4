//! The functions from programs that are not Rust. The page that shows how is run as it stands.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use gristmill_core::{Env, Filter, KindSpec, Policy, Store, TaskRecord};
use gristmill_postgres::PostgresStore;
use serde_json::json;

use crate::common::{Schema, database};

const PAGE: &str = include_str!("../../../../docs/sql.md");

/// A store that knows the page's task type.
async fn store(schema: &Schema) -> std::sync::Arc<PostgresStore> {
    let store = PostgresStore::connect(&schema.url(""), Env::system()).await.unwrap();
    let args = json!({"type": "object", "required": ["to"], "properties": {"to": {"type": "string"}}});
    let kind = KindSpec { name: "mail.send".to_owned(), schema: args, fields: Vec::new(), policy: Policy::default() };
    store.declare(&[kind]).await.unwrap();
    store
}

/// A program, given what to do on its standard input. The page's names are in the test's schema.
fn run(mut program: Command, schema: &Schema, text: &str) -> Output {
    let text = text.replace("gristmill.", &format!("{}.", schema.0));
    program.env("DATABASE_URL", database()).env("PGOPTIONS", format!("-c search_path={}", schema.0));
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn psql(schema: &Schema, text: &str) -> Output {
    // The server's own, if there is none on the path.
    let folder = std::env::var("GRISTMILL_TEST_POSTGRES_PROGRAMS").unwrap_or_default();
    let own = Path::new(&folder).join("psql");
    let mut psql = Command::new(if own.is_file() { own.as_os_str() } else { "psql".as_ref() });
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &database()]);
    run(psql, schema, text)
}

fn python(schema: &Schema, text: &str) -> Output {
    let python = std::env::var("GRISTMILL_TEST_PYTHON")
        .unwrap_or_else(|_| panic!("GRISTMILL_TEST_PYTHON names no Python with psycopg; run cargo xtask test, which finds one"));
    let mut python = Command::new(python);
    python.arg("-");
    run(python, schema, text)
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The examples of one language, in the page's order.
fn examples(language: &str) -> Vec<&'static str> {
    let mark = format!("```{language}\n");
    PAGE.split(mark.as_str()).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

async fn tasks(store: &PostgresStore) -> Vec<TaskRecord> {
    let mut tasks = store.list(&Filter::default(), None, 100).await.unwrap().items;
    tasks.reverse();
    tasks
}

#[tokio::test]
async fn the_examples_of_the_page_do_what_it_says() {
    let schema = Schema::new();
    let store = store(&schema).await;
    let examples_of_sql = examples("sql");
    assert_eq!(examples_of_sql.len(), 4);
    let answers = said(&psql(&schema, &examples_of_sql.join("\n")));
    let ids: Vec<&str> = answers.lines().collect();
    assert_eq!((ids.len(), ids[4], ids[5]), (6, "cancelled", "stored"), "{answers}");
    let [python_example] = examples("python")[..] else { panic!("one example in Python") };
    let id = said(&python(&schema, python_example));
    let all = tasks(&store).await;
    let to: Vec<&str> = all.iter().filter_map(|task| task.args.split('"').nth(3)?.split('@').next()).collect();
    // The trigger was there when Python's row came.
    assert_eq!(to, ["ada", "a", "b", "ada", "nobody", "first", "second", "grace", "grace"]);
    assert_eq!(all[8].id.to_string(), id);
    assert_eq!(all[7].meta.headers, all[8].meta.headers, "both name the customer");
    assert_eq!(all[0].priority, 2);
    assert_eq!(all[0].run_at.since(all[0].created_at).as_secs(), 600);
}

#[tokio::test]
async fn psql_commits_and_rolls_back() {
    let schema = Schema::new();
    let store = store(&schema).await;
    let one = |to: &str| format!("SELECT gristmill.enqueue('mail.send', '{{\"to\": \"{to}\"}}');\n");
    let text = format!("BEGIN; {} {} ROLLBACK;\nBEGIN; {} {} COMMIT;", one("a"), one("b"), one("c"), one("d"));
    assert_eq!(said(&psql(&schema, &text)).lines().count(), 4);
    assert_eq!(
        tasks(&store).await.iter().map(|task| task.args.as_str()).collect::<Vec<_>>(),
        ["{\"to\": \"c\"}", "{\"to\": \"d\"}"]
    );
    // A refusal ends the transaction with all that was in it, and says why.
    let output = psql(&schema, &format!("BEGIN; {} SELECT gristmill.enqueue('mail.sent'); COMMIT;", one("e")));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("there is no task type \"mail.sent\""), "{error}");
    assert!(error.contains("HINT:  Check its spelling"), "{error}");
    assert_eq!(tasks(&store).await.len(), 2);
}

#[tokio::test]
async fn python_commits_and_rolls_back() {
    let schema = Schema::new();
    let store = store(&schema).await;
    let text = r#"
import json, os
try:
    import psycopg
except ImportError:
    import psycopg2 as psycopg

def enqueue(cursor, to):
    cursor.execute("SELECT gristmill.enqueue('mail.send', %s::jsonb)", [json.dumps({"to": to})])
    return str(cursor.fetchone()[0])

def transaction(work):
    connection = psycopg.connect(os.environ["DATABASE_URL"])
    try:
        with connection, connection.cursor() as cursor:
            return work(cursor)
    finally:
        connection.close()

def regret(cursor):
    enqueue(cursor, "never")
    raise KeyError("regret")

def slip(cursor):
    enqueue(cursor, "never")
    cursor.execute("SELECT gristmill.enqueue('mail.send', '{}')")

for work, error in [(regret, KeyError), (slip, psycopg.Error)]:
    try:
        transaction(work)
    except error as error:
        print(str(error).splitlines()[0])
print(transaction(lambda cursor: [enqueue(cursor, "one"), enqueue(cursor, "two")][1]))
"#;
    let answers = said(&python(&schema, text));
    let lines: Vec<&str> = answers.lines().collect();
    assert_eq!(lines[..2], ["'regret'", "args/to: is missing"]);
    let all = tasks(&store).await;
    assert_eq!(all.iter().map(|task| task.args.as_str()).collect::<Vec<_>>(), ["{\"to\": \"one\"}", "{\"to\": \"two\"}"]);
    assert_eq!(all[1].id.to_string(), lines[2]);
}
