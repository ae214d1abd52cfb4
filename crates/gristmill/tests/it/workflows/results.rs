//! What a step takes of others: what is not there, too much, of another type, or stored in another form.

use gristmill::core::{Claim, Wanted, WorkerSpec};

use super::*;

#[tokio::test]
async fn what_is_not_in_a_result_fails_the_step_and_is_named() {
    let (test, _) = harness().await;
    let mut w = test.client().workflow("upload");
    let part = w.step("process", Process { upload: 1 });
    w.step("notify", Notify::with("abc", part.at("/cover age")));
    let run = w.start().await.unwrap();
    test.drain().await.unwrap();
    let failed = run.failure().await.unwrap().unwrap();
    assert_eq!(failed.failure.message, "/coverage: the result of the step `process` has nothing at /cover age");
    assert_eq!((failed.step.as_str(), failed.attempt, failed.failure.reason), ("notify", 1, FailureReason::InvalidArgs));
    // Something of another type.
    let mut w = test.client().workflow("upload");
    let note = w.step("note", note_of("abc"));
    w.step("notify", Notify::with("abc", note.at("")));
    let run = w.start().await.unwrap();
    test.drain().await.unwrap();
    let failed = run.failure().await.unwrap().unwrap();
    assert!(failed.failure.message.starts_with("args/coverage: is not of type number"), "{}", failed.failure.message);
    // And what the type's schema refuses.
    let mut w = test.client().workflow("strict");
    let eleven = w.step("eleven", Process { upload: 11 });
    w.step("strict", Strict::with(eleven.at("/lines")));
    let run = w.start().await.unwrap();
    test.drain().await.unwrap();
    assert!(run.failure().await.unwrap().unwrap().failure.message.contains("args/n"));
}

#[tokio::test]
async fn more_results_than_arguments_may_have_are_read_by_pages() {
    let (test, _) = harness().await;
    let test = test.steps_max(100_000);
    let mut w = test.client().workflow("large");
    let large = w.each("large", (0..6).map(|_| Large { bytes: 200 * 1024 }));
    w.step("texts", Texts::with(large.results()));
    let run = w.start().await.unwrap();
    test.drain().await.unwrap();
    let message = run.failure().await.unwrap().unwrap().failure.message;
    assert!(message.contains("more than 1048576 bytes") && message.contains("gristmill::workflow::Results"), "{message}");
    // As often as it stands there.
    let mut w = test.client().workflow("twice");
    let large = w.step("large", Large { bytes: 200 * 1024 });
    w.step("texts", Texts::with(std::iter::repeat_n(large.result(), 6).collect::<Vec<_>>()));
    let run = w.start().await.unwrap();
    test.drain().await.unwrap();
    let message = run.failure().await.unwrap().unwrap().failure.message;
    assert!(message.contains("more than 1048576 bytes") && message.contains("gristmill::workflow::Results"), "{message}");
    // Less than that may be more than the arguments of an enqueue.
    let mut w = test.client().workflow("large");
    let large = w.each("large", (0..3).map(|_| Large { bytes: 200 * 1024 }));
    w.step("texts", Texts::with(large.results()));
    let run = w.start().await.unwrap().typed::<usize>();
    test.drain().await.unwrap();
    assert_eq!(run.result().await.unwrap(), 600 * 1024);

    // More than go in at once, and than are in one page.
    let mut w = test.client().workflow("many");
    let parts = w.each("process", (0..1_050).map(|_| Process { upload: 2 }));
    w.step("merge", MergePages::with(parts.pages()));
    let run = w.start().await.unwrap().typed::<(usize, u32)>();
    test.drain().await.unwrap();
    assert_eq!(run.result().await.unwrap(), (2, 2_100));
    let step = test.client().workflows().members(run.id(), "process", Some(1_048), 10).await.unwrap();
    assert_eq!((step.len(), step[0].place), (1, 1_049));
}

/// An array without them would pass for all.
#[tokio::test]
async fn results_that_are_gone_are_missed() {
    let (test, _) = harness().await;
    for gone in [0, 2] {
        let mut w = test.client().workflow("gone");
        w.each("notes", ["a", "b", "c"].map(note_of));
        let run = w.start().await.unwrap();
        test.drain().await.unwrap();
        let members = test.client().workflows().members(run.id(), "notes", None, 10).await.unwrap();
        test.client().tasks().delete(members[gone].task).await.unwrap();
        let error = run.result().await.unwrap_err();
        assert!(matches!(&error, RunError::ResultGone { step, .. } if step == "notes"), "{error}");
        assert!(error.to_string().contains("has succeeded"), "{error}");
    }
}

/// What is kept of a failure is seen by more people than results are.
#[tokio::test]
async fn a_result_of_another_type_is_told_without_its_value() {
    let (test, _) = harness().await;
    let note = StepDraft::group("notes", "note", vec![MemberDraft::new(json!({ "text": "secret" }))]);
    let merge = StepDraft::one("merge", "merge.pages", MemberDraft::new(json!({ "parts": { "step": "notes" } })));
    let merge = StepDraft { after: vec![("notes".to_owned(), Needs::Success)], ..merge };
    let draft = Draft { name: "unfit".into(), steps: vec![note, merge], ..Draft::default() };
    let run = test.client().workflows().draft(draft).await.unwrap();
    test.drain().await.unwrap();
    let failed = run.failure().await.unwrap().unwrap().failure;
    let told = format!("{failed:?}");
    assert!(failed.message.starts_with("the result 0 of the step `notes` is not what was expected (line 1, column "), "{told}");
    assert!(!told.contains("secret"), "{told}");
}

/// As for a claim, the store is asked again, and no attempt is lost.
#[tokio::test]
async fn a_store_that_can_not_be_read_puts_an_attempt_off() {
    let (probe, env) = (Probe::default(), Env::system());
    let broker = MemoryBroker::new(env.clone());
    let source = Faulty::with(broker.clone(), &probe, "members", Fault::LosesItsReply);
    let failed = probe.clone();
    let app = App::new(World { probe: probe.clone(), ..World::default() }).register::<Note>();
    let app = app.on_failed_attempt(move |event| failed.saw(format!("{} {}", event.attempt, event.failure.message)));
    let worker = app.worker_on(source).unwrap().start().await.unwrap();
    let policy = Policy::default();
    let args = json!({ "text": { "$result": "first" } }).to_string();
    let mut task = NewTask::resolve(Note::NAME, &policy, args, Overrides::default(), env.task_id(), &Limits::default()).unwrap();
    let of = Membership { workflow: env.workflow_id(), number: 1, step: "second".into(), place: 0, refers: true };
    task.meta = Some(Box::new(TaskMeta { member: Some(of), ..TaskMeta::default() }));
    broker.publish(task);
    // The broker keeps no workflows, so that there is nothing to refer to then.
    probe.until(|seen| seen.iter().any(|line| line.contains("no longer kept"))).await;
    assert_eq!(
        probe.seen().last().unwrap(),
        "1 the task of the step `first`, whose result the arguments refer to, is no longer kept"
    );
    worker.stop().await;
}

/// Not a cipher.
struct Backwards;

impl Codec for Backwards {
    fn encode(&self, _: &Payload<'_>, plain: String) -> Result<String> {
        Ok(json!({ "backwards": plain.chars().rev().collect::<String>() }).to_string())
    }

    fn decode(&self, _: &Payload<'_>, stored: String) -> Result<String> {
        let value: Value = serde_json::from_str(&stored).or_fail()?;
        Ok(value["backwards"].as_str().unwrap_or_default().chars().rev().collect())
    }
}

/// References are within what is encoded, and results are decoded before they are put there.
#[tokio::test]
async fn stored_forms_are_undone_before_results_are_put_in() {
    let world = World::default();
    let test = Harness::new(app(world.clone()).codec(Backwards)).await.unwrap();
    let mut w = test.client().workflow("upload");
    let parts = w.each("process", [1, 2].map(|upload| Process { upload }));
    let merged = w.step("merge", Merge::with(parts.results(), None));
    w.step("pages", MergePages::with(parts.pages())).after(&merged);
    w.step("notify", Notify::with("abc", merged.at("/coverage")));
    let run = w.start().await.unwrap();
    let stored = test.client().tasks().list(&Filter::default(), None, 10).await.unwrap().items;
    assert!(stored.iter().all(|task| task.args.starts_with(r#"{"backwards":"#)));
    test.drain().await.unwrap();
    assert_eq!(run.result().await.unwrap(), json!({ "pages": [1, 3], "notify": "abc: 0.5" }));
    // What is kept of a form for people has no arguments then.
    let form = Form::read(r#"{"name": "form", "steps": {"note": {"task": "note", "args": {"text": "secret"}}}}"#).unwrap();
    let run = test.client().workflows().form(form).await.unwrap();
    let definition: Value = serde_json::from_str(&run.status().await.unwrap().unwrap().definition).unwrap();
    assert_eq!(definition, json!({ "name": "form", "steps": { "note": { "task": "note" } } }));
}

/// Its task has no result until it has ended again, and nobody is to take that for none.
#[tokio::test]
async fn a_step_waits_for_a_result_that_is_made_once_more() {
    let (test, _) = harness().await;
    let mut w = test.client().workflow("upload");
    let part = w.step("process", Process { upload: 4 });
    w.step("merge", Merge::with([part.result()], None));
    let run = w.start().await.unwrap();
    let store = test.client().store();
    let first = store.members(run.id(), "process", None, 1).await.unwrap().remove(0).task;
    run.pause().await.unwrap();
    assert_eq!(test.drain().await.unwrap(), 1);
    store.retry(&[first]).await.unwrap();
    let slow = WorkerSpec {
        id: Env::system().worker_id(),
        name: "slow".to_owned(),
        lease: Duration::from_secs(60),
        kinds: vec!["process".into()],
        queues: [("default".to_owned(), 1)].into(),
        version: "1".to_owned(),
    };
    store.enter(&slow).await.unwrap();
    let claim = Claim { worker: slow.id, fence: Env::system().fence(), wanted: vec![Wanted::new("default", 1)], again: false };
    assert_eq!(store.claim(&claim).await.unwrap()[0].lease.id, first);
    run.resume().await.unwrap();
    test.drain().await.unwrap();
    let waits = store.members(run.id(), "merge", None, 1).await.unwrap().remove(0);
    assert_eq!(waits.state, State::Scheduled, "it is put off");
    store.leave(slow.id).await.unwrap();
    test.drain().await.unwrap();
    test.advance(Duration::from_secs(2)).await.unwrap();
    test.drain().await.unwrap();
    let merged = store.members(run.id(), "merge", None, 1).await.unwrap().remove(0);
    assert_eq!(merged.state, State::Succeeded, "{:?}", merged.error);
    assert!(merged.result.is_some_and(|result| result.contains("\"lines\":4")), "it has what was made last");
}
