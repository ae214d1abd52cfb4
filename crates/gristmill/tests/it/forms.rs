//! Workflows in their JSON form, started by a client.

use gristmill::workflow::{Form, StartError};
use gristmill::{App, Client, Result, task};
use serde_json::{Value, json};

use crate::support::{in_memory, within};

#[task(name = "form.double")]
async fn double(n: u32) -> Result<Value> {
    Ok(json!({ "sum": 2 * n }))
}

#[task(name = "form.sum", max_attempts = 1)]
async fn sum(results: Vec<Value>, #[task(default)] least: u32) -> Result<Value> {
    let sum: u64 = results.iter().filter_map(|result| result["sum"].as_u64()).sum();
    if sum < u64::from(least) { Err(gristmill::Error::fail("too little")) } else { Ok(json!({ "sum": sum })) }
}

async fn client() -> Client {
    in_memory(App::new(()).register::<Double>().register::<Sum>()).await
}

fn form(steps: &Value) -> Form {
    Form::read(&json!({ "name": "w", "steps": steps }).to_string()).unwrap()
}

#[tokio::test]
async fn a_form_runs_and_its_definition_is_kept() {
    let client = client().await;
    let worker = client.worker().queue("default", 4).start().await.unwrap();
    let text = r#"{"name": "upload", "steps": {
        "process": {"task": "form.double", "each": [{"n": 1}, {"n": 2}]},
        "merge":   {"task": "form.sum", "after": ["process"], "args": {"results": {"$results": "process"}}},
        "again":   {"task": "form.double", "after": ["merge"], "args": {"n": {"$result": "merge", "at": "/sum"}}}}}"#;
    let run = client.workflows().form(Form::read(text).unwrap()).await.unwrap();
    assert_eq!(within(run.result()).await.unwrap(), json!({ "sum": 12 }));
    assert_eq!(run.status().await.unwrap().unwrap().definition, text);
    worker.stop().await;
}

#[tokio::test]
async fn what_runs_when_the_last_step_fails_is_not_the_result() {
    let client = client().await;
    let worker = client.worker().queue("default", 4).start().await.unwrap();
    let handled = json!({ "a": { "task": "form.double", "args": { "n": 4 }, "on_failure": { "task": "form.double", "args": { "n": 1 } } } });
    let run = client.workflows().form(form(&handled)).await.unwrap();
    assert_eq!(within(run.result()).await.unwrap(), json!({ "sum": 8 }));
    worker.stop().await;
}

#[tokio::test]
async fn arguments_are_checked_against_their_schema_but_for_what_is_not_known_yet() {
    let client = client().await;
    let wrong = form(&json!({
        "a": { "task": "form.duoble", "args": { "n": 1 } },
        "b": { "task": "form.double", "each": [{ "n": 1 }, { "n": "one" }, {}] },
        "c": { "task": "form.sum", "after": ["b"], "args": { "results": { "$results": "b" }, "least": "much" } },
        "d": { "task": "form.sum", "after": ["b"], "args": { "results": [{ "$results": "b" }], "least": { "$results": "b" } },
               "undo": { "task": "form.double" } },
    }));
    let error = client.workflows().form(wrong).await.unwrap_err();
    let StartError::Form(error) = error else { panic!("{error:?}") };
    let told: Vec<_> = error.mistakes().iter().map(ToString::to_string).collect();
    let expected = [
        "/steps/a/task: there is no task type `form.duoble`; did you mean form.double?",
        "/steps/b/each/1/n: is not of type integer",
        "/steps/b/each/2/n: is missing",
        "/steps/c/args/least: is not of type integer",
        "/steps/d/undo/args/n: is missing",
    ];
    assert_eq!(told, expected);
    assert!(client.store().list_workflows(&Default::default(), None, 10).await.unwrap().items.is_empty());

    let elsewhere = json!({ "a": { "task": "form.elsewhere" } });
    assert!(client.workflows().form(form(&elsewhere)).await.is_err());
    client.workflows().form(form(&elsewhere).force(true)).await.unwrap();
}

#[tokio::test]
async fn a_large_group_is_handed_in_by_parts() {
    let client = client().await;
    let each: Vec<_> = (0..2_500).map(|n| json!({ "n": n })).collect();
    let large = json!({ "a": { "task": "form.double", "each": each }, "b": { "task": "form.double", "after": ["a"], "args": { "n": 1 } } });
    let run = client.workflows().form(form(&large)).await.unwrap();
    let status = run.status().await.unwrap().unwrap();
    assert_eq!((status.steps[0].row.tally.members, status.steps[0].row.tally.closed), (2_500, true));
    let last = client.workflows().members(run.id(), "a", Some(2_498), 10).await.unwrap();
    let task = client.tasks().get(last[0].task).await.unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&task.args).unwrap(), json!({ "n": 2_499 }));
}
