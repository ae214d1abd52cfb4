//! Workflows as an application writes them, on the store in memory.

mod inputs;
mod partial;
mod reruns;
mod results;

use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gristmill::codec::{Codec, Payload};
use gristmill::core::workflow::{Draft, NewWorkflow, Started, StepDraft};
use gristmill::core::{
    EnqueueOutcome, Env, Filter, Membership, NewTask, Overrides, StartWithin, State, Store, StoreError, TaskMeta, Within,
};
use gristmill::error::FailureReason;
use gristmill::options::{Limits, Policy};
use gristmill::testing::{Harness, MemoryBroker};
use gristmill::workflow::{
    Failed, Form, MemberDraft, Needs, Results, RunError, Signature, StartError, StepWord, Workflow, WorkflowFilter,
    WorkflowHandle, WorkflowState,
};
use gristmill::{App, Client, Context, Error, FromRef, Result, ResultExt, Task, task};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::faulty::{Fault, Faulty};
use crate::support::{Probe, in_memory, within};

/// What most handlers here have.
#[derive(Clone, Default)]
struct World {
    probe: Probe,
    client: Arc<std::sync::OnceLock<Client>>,
}

impl FromRef<World> for Probe {
    fn from_ref(world: &World) -> Self {
        world.probe.clone()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, gristmill::schemars::JsonSchema)]
#[schemars(crate = "gristmill::schemars")]
struct Report {
    lines: u32,
    coverage: f64,
}

#[derive(Debug, thiserror::Error)]
#[error("reading the upload")]
struct Unlucky(#[source] std::num::ParseIntError);

/// One upload: fails for good on 13.
#[task(name = "process", max_attempts = 1)]
async fn process(upload: u32) -> Result<Report> {
    if upload == 13 {
        return Err(Error::fail(Unlucky("unlucky".parse::<u32>().unwrap_err())));
    }
    Ok(Report { lines: upload, coverage: f64::from(upload) / 10.0 })
}

#[task(name = "merge")]
async fn merge(cx: &Context<Probe>, parts: Vec<Report>, title: Option<String>) -> Result<Report> {
    cx.state.saw(format!("merge {:?}", parts.iter().map(|part| part.lines).collect::<Vec<_>>()));
    let _ = title;
    Ok(Report { lines: parts.iter().map(|part| part.lines).sum(), coverage: 0.5 })
}

#[task(name = "merge.some")]
async fn merge_some(parts: Vec<Option<Report>>) -> Result<Vec<Option<u32>>> {
    Ok(parts.into_iter().map(|part| part.map(|part| part.lines)).collect())
}

#[task(name = "merge.pages")]
async fn merge_pages(cx: &Context, parts: Results<Report>) -> Result<(usize, u32)> {
    let (mut pages, mut read, mut sum) = (0, parts.pages(cx), 0);
    while let Some(page) = read.next().await? {
        pages += 1;
        sum += page.iter().map(|part| part.lines).sum::<u32>();
    }
    Ok((pages, sum))
}

#[task(name = "notify", max_attempts = 1)]
async fn notify(cx: &Context<Probe>, commit: String, coverage: f64) -> Result<String> {
    cx.state.saw(format!("notify {commit} {coverage}"));
    Ok(format!("{commit}: {coverage}"))
}

#[task(name = "flag")]
async fn flag(cx: &Context<Probe>, commit: String, failed: Option<Failed>) -> Result<()> {
    let failed = failed.map(|Failed { step, kind, state, attempt, failure, .. }| {
        format!("{step} {kind} {state} {attempt} {} {:?}", failure.message, failure.chain)
    });
    cx.state.saw(format!("flag {commit} {failed:?}"));
    Ok(())
}

#[task(name = "note")]
async fn note(cx: &Context<Probe>, text: String) -> Result<String> {
    cx.state.saw(format!("note {text} in {}", cx.queue()));
    Ok(text)
}

#[task(name = "fails", max_attempts = 1)]
async fn fails() -> Result<()> {
    Err(Error::fail("as it does"))
}

#[task(name = "strict")]
async fn strict(#[schemars(range(max = 10))] n: u32) -> Result<u32> {
    Ok(n)
}

#[task(name = "large")]
async fn large(bytes: usize) -> Result<String> {
    Ok("x".repeat(bytes))
}

#[task(name = "pair")]
async fn pair(first: Option<String>, then: String) -> Result<String> {
    Ok(format!("{first:?} {then}"))
}

#[task(name = "texts")]
async fn texts(texts: Vec<String>) -> Result<usize> {
    Ok(texts.iter().map(String::len).sum())
}

#[task(name = "awaits", max_attempts = 1)]
async fn awaits(cx: &Context<World>) -> Result<()> {
    let client = cx.state.client.get().ok_or_else(|| Error::fail("no client"))?;
    let run = client.workflow("inner").start().await?;
    run.result().await?;
    Ok(())
}

#[task(name = "waits")]
async fn waits(cx: &Context<Probe>) -> Result<()> {
    cx.state.saw("waits");
    cx.state.pass().await;
    Ok(())
}

fn app(world: World) -> App<World> {
    App::new(world)
        .register::<Process>()
        .register::<Merge>()
        .register::<MergeSome>()
        .register::<MergePages>()
        .register::<Notify>()
        .register::<Flag>()
        .register::<Note>()
        .register::<Fails>()
        .register::<Strict>()
        .register::<Large>()
        .register::<Texts>()
        .register::<Awaits>()
        .register::<Waits>()
        .register::<Any>()
        .register::<Pair>()
}

async fn harness() -> (Harness, World) {
    let world = World::default();
    (Harness::new(app(world.clone())).await.unwrap(), world)
}

fn note_of(text: &str) -> Note {
    Note { text: text.into() }
}

async fn state(run: &WorkflowHandle) -> WorkflowState {
    run.status().await.unwrap().unwrap().state
}

async fn word(run: &WorkflowHandle, step: &str) -> StepWord {
    let record = run.status().await.unwrap().unwrap();
    record.steps.iter().find(|of| of.spec.name == step).unwrap().state()
}

/// A group, what joins it, and what follows: results in their order, and a part of one.
#[tokio::test]
async fn an_upload_is_processed_merged_and_told() {
    let (test, world) = harness().await;
    let mut w = test.client().workflow("upload").key("upload:abc");
    let parts = w.each("process", [3, 1, 2].map(|upload| Process { upload }));
    let merged = w.step("merge", Merge::with(parts.results(), "a title"));
    w.step("notify", Notify::with("abc", merged.at("/coverage")));
    let run = w.start().await.unwrap().typed::<String>();
    test.drain().await.unwrap();
    assert_eq!(run.result().await.unwrap(), "abc: 0.5");
    assert_eq!(world.probe.seen(), ["merge [3, 1, 2]", "notify abc 0.5"]);
    let record = run.status().await.unwrap().unwrap();
    let definition: Value = serde_json::from_str(&record.definition).unwrap();
    assert_eq!(definition["steps"]["merge"], json!({ "task": "merge", "after": ["process"] }));
    assert_eq!(run.failure().await.unwrap(), None);
}

#[tokio::test]
async fn a_graph_takes_of_any_step_before_and_gives_all_last_results_by_name() {
    let (test, _) = harness().await;
    let mut w = test.client().workflow("graph");
    let (a, b) = (w.step("a", Process { upload: 1 }), w.step("b", Process { upload: 2 }));
    let joined = w.step("joined", Merge::with([b.result(), a.result()], None));
    // A vector of whatever is known here, too.
    w.step("alone", Merge::with(vec![Report { lines: 7, coverage: 0.0 }], Some("x".to_owned()))).after(&joined);
    w.step("line", Process::with(joined.at("/lines"))).after(&a);
    w.each("empty", std::iter::empty::<Process>());
    let run = w.start().await.unwrap();
    test.drain().await.unwrap();
    let alone = json!({ "lines": 7, "coverage": 0.5 });
    assert_eq!(run.result().await.unwrap(), json!({ "alone": alone, "line": { "lines": 3, "coverage": 0.3 }, "empty": [] }));
}

/// Members of a group may take what steps give, and have options of their own.
#[tokio::test]
async fn members_take_results_too() {
    let (test, _) = harness().await;
    let mut w = test.client().workflow("map");
    let first = w.step("first", Process { upload: 4 });
    let title = |title: &str| gristmill::core::Overrides { title: Some(title.into()), ..Default::default() };
    w.each("map", [Process::with(first.at("/lines")), Process::with(9).options(title("nine"))]);
    let run = w.start().await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(run.result().await.unwrap()[0]["lines"], 4);
    let tasks = test.client().tasks().list(&Filter::default(), None, 10).await.unwrap().items;
    assert!(tasks.iter().any(|task| task.meta.title.as_deref() == Some("nine")));
}

#[tokio::test]
async fn an_empty_group_and_one_of_one_are_groups_all_the_same() {
    let (test, world) = harness().await;
    let mut w = test.client().workflow("small");
    let none = w.each("none", std::iter::empty::<Process>());
    let one = w.each("one", [Process { upload: 1 }]);
    w.step("of none", Merge::with(none.results(), None));
    w.step("of one", Merge::with(one.results(), None)).after(&none);
    w.step("pages of none", MergePages::with(none.pages()));
    let run = w.start().await.unwrap();
    test.drain().await.unwrap();
    let mut seen = world.probe.seen();
    seen.sort();
    assert_eq!(seen, ["merge [1]", "merge []"]);
    assert_eq!(run.result().await.unwrap()["pages of none"], json!([0, 0]));
    let mut w = test.client().workflow("small");
    w.each("last", [Strict { n: 7 }]);
    let run = w.start().await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(run.result().await.unwrap(), json!([7]));
    let empty = test.client().workflow("empty").start().await.unwrap();
    assert_eq!(empty.result().await.unwrap(), json!({}));
}

#[tokio::test]
async fn handlers_get_the_failure_itself() {
    let (test, world) = harness().await;
    let mut w = test.client().workflow("upload");
    let parts = w.each("process", [1, 13, 2].map(|upload| Process { upload }));
    w.step("merge", Merge::with(parts.results(), None));
    parts.on_failure("flag step", Flag::with("step", parts.failure()));
    parts.on_success("never", note_of("never"));
    parts.always("ended", note_of("ended"));
    w.on_failure("flag", Flag::with("work", w.failure()));
    w.on_success("praise", note_of("praise"));
    w.always("always", Flag::with("always", w.failure()));
    let run = w.start().await.unwrap();
    test.drain().await.unwrap();
    let told = r#"Some("process process failed 1 reading the upload [\"invalid digit found in string\"]")"#;
    let mut seen = world.probe.seen();
    seen.sort();
    let expected =
        [format!("flag always {told}"), format!("flag step {told}"), format!("flag work {told}"), "note ended in default".into()];
    assert_eq!(seen, expected);
    assert_eq!((word(&run, "merge").await, word(&run, "praise").await), (StepWord::Skipped, StepWord::Skipped));
    let error = run.result().await.unwrap_err();
    let RunError::Failed { failed: Some(failed), .. } = &error else { panic!("{error}") };
    assert_eq!((failed.step.as_str(), failed.failure.reason), ("process", FailureReason::Error));
    assert!(
        error.to_string().contains("step `process`, task ") && error.to_string().ends_with(": reading the upload"),
        "{error}"
    );
}

#[tokio::test]
async fn a_handler_that_always_runs_gets_none_where_nothing_failed() {
    let (test, world) = harness().await;
    let mut w = test.client().workflow("well");
    w.step("process", Process { upload: 1 });
    w.always("always", Flag::with("abc", w.failure()));
    let run = w.start().await.unwrap();
    test.drain().await.unwrap();
    assert_eq!((world.probe.seen(), state(&run).await), (vec!["flag abc None".to_owned()], WorkflowState::Succeeded));
}

#[tokio::test]
async fn some_may_fail_and_leave_a_gap() {
    let (test, _) = harness().await;
    for (fail, expected) in [(1, Some(json!([1, null, 2]))), (0, None)] {
        let mut w = test.client().workflow("upload");
        let parts = w.each("process", [1, 13, 2].map(|upload| Process { upload })).may_fail(fail);
        w.step("merge", MergeSome::with(parts.outcomes()));
        let run = w.start().await.unwrap();
        test.drain().await.unwrap();
        assert_eq!(run.result().await.ok(), expected);
    }
    let mut w = test.client().workflow("upload");
    let parts = w.each("process", [13, 1, 13].map(|upload| Process { upload })).may_fail_percent(70);
    w.step("pages", MergeSomePages::with(parts.pages()));
    let error = w.start().await.unwrap_err();
    assert!(matches!(&error, StartError::Member { place, .. } if place == "/steps/pages"), "{error}");
    assert!(error.to_string().contains("App::register"), "{error}");
    // However it ends: nothing has to be tolerated for that.
    let mut w = test.client().workflow("upload");
    let parts = w.each("process", [1, 13].map(|upload| Process { upload }));
    w.step("merge", MergeSome::with(parts.outcomes()));
    let one = w.step("one", Process { upload: 13 });
    w.step("one merged", MergeSome::with([one.outcome()]));
    let run = w.start().await.unwrap();
    test.drain().await.unwrap();
    assert_eq!((word(&run, "merge").await, word(&run, "one merged").await), (StepWord::Succeeded, StepWord::Succeeded));
    assert_eq!(state(&run).await, WorkflowState::Failed);
}

/// Not registered by the application here.
#[task(name = "merge.some.pages")]
async fn merge_some_pages(parts: Results<Option<Report>>) -> Result<()> {
    drop(parts);
    Ok(())
}

#[tokio::test]
async fn what_was_done_is_undone_from_the_last_step_on() {
    let (test, world) = harness().await;
    let mut w = test.client().workflow("order");
    let reserved = w.step("reserve", note_of("reserve"));
    reserved.undo("release", Note::with(reserved.result()));
    let charged = w.step("charge", note_of("charge")).after(&reserved);
    charged.undo("refund", note_of("refund"));
    let sent = w.step("send", Fails {}).after(&charged);
    sent.undo("recall", note_of("recall"));
    let run = w.start().await.unwrap();
    test.drain().await.unwrap();
    let notes = ["reserve", "charge", "refund", "reserve"].map(|text| format!("note {text} in default"));
    assert_eq!(world.probe.seen(), notes);
    assert_eq!((word(&run, "recall").await, state(&run).await), (StepWord::Skipped, WorkflowState::Failed));
}

#[tokio::test]
async fn a_key_is_held_by_one_run_at_a_time() {
    let (test, _) = harness().await;
    let start = async || {
        let mut w = test.client().workflow("upload").key("upload:abc").tag("abc");
        w.step("process", Process { upload: 1 });
        w.start().await.unwrap()
    };
    let (first, second) = (start().await, start().await);
    assert_eq!(first.id(), second.id());
    test.drain().await.unwrap();
    let third = start().await;
    assert_ne!(first.id(), third.id());
    let filter = WorkflowFilter { key: Some("upload:abc".into()), ..WorkflowFilter::default() };
    let page = test.client().workflows().list(&filter, None, 1).await.unwrap();
    assert_eq!((page.items[0].id, page.items[0].tags.clone(), page.next.is_some()), (third.id(), vec!["abc".to_owned()], true));
}

#[tokio::test]
async fn options_say_what_they_are_about() {
    let (test, world) = harness().await;
    let mut w = test
        .client()
        .workflow("options")
        .queue("all")
        .priority(3)
        .delay(Duration::from_secs(60))
        .tag("run")
        .header("user", "ann");
    let first = w.step("first", note_of("first"));
    let second = w.step("second", Note::with(first.result())).queue("own").priority(7).tag("step").title("the second");
    w.each("group", [note_of("a"), note_of("b")]).after(&second).set(|options| options.max_crashes = Some(9));
    w.start().await.unwrap();
    test.drain().await.unwrap();
    assert!(world.probe.seen().is_empty(), "the first step has a delay");
    test.advance(Duration::from_secs(60)).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(world.probe.seen(), ["note first in all", "note first in own", "note a in all", "note b in all"]);
    let mut tasks = test.client().tasks().list(&Filter::default(), None, 10).await.unwrap().items;
    tasks.reverse();
    let second = &tasks[1];
    assert_eq!(
        (second.priority, second.meta.title.as_deref(), second.run_at),
        (7, Some("the second"), gristmill::testing::START)
    );
    assert_eq!((second.meta.tags.join(" "), second.meta.headers["user"].as_str()), ("run step".to_owned(), "ann"));
    assert!(tasks[2..].iter().all(|task| task.max_crashes == 9 && task.priority == 3));
}

/// Whatever stands first in its arguments.
#[tokio::test]
async fn a_step_waits_for_all_that_its_arguments_need() {
    let (test, _) = harness().await;
    let mut w = test.client().workflow("both");
    let fails = w.step("fails", Note::with("")).queue("of nobody");
    w.step("pair", Pair::with(fails.outcome(), fails.result()));
    let shape = w.start().check().unwrap();
    assert_eq!(shape["steps"]["pair"]["after"], json!(["fails"]), "its success");
    let mut w = test.client().workflow("said");
    let note = w.step("note", note_of("a"));
    w.step("pair", Pair::with(note.outcome(), note.result())).after_when(&note, Needs::End);
    let shape = w.start().check().unwrap();
    assert_eq!(shape["steps"]["pair"]["after"], json!({ "note": "end" }), "as was said");
    let mut w = test.client().workflow("never");
    let note = w.step("note", note_of("a"));
    w.step("flag", Flag::with(note.result(), note.failure()));
    let error = w.start().await.unwrap_err().to_string();
    assert!(error.starts_with("/steps/flag/args: need both the success and the failure of the step `note`"), "{error}");
}

/// It is the way of a failure as much as the step before it.
#[tokio::test]
async fn what_follows_a_handler_of_a_failure_is_no_last_step() {
    let (test, _) = harness().await;
    let mut w = test.client().workflow("well");
    let note = w.step("note", note_of("a"));
    let flag = note.on_failure("flag", note_of("b"));
    w.step("told", note_of("c")).after(&flag);
    let run = w.start().await.unwrap().typed::<String>();
    test.drain().await.unwrap();
    assert_eq!(run.result().await.unwrap(), "a");
}

type Write<'a> = &'a dyn Fn(&mut Workflow<'_>);

#[task(name = "any")]
async fn any(value: Value) -> Result<()> {
    drop(value);
    Ok(())
}

/// By names, as the form in JSON does.
#[tokio::test]
async fn a_draft_with_references_is_checked_and_run() {
    let (test, _) = harness().await;
    let client = test.client();
    let step = |name: &str, kind: &str, after: &[&str], args: Value| {
        let after = after.iter().map(|name| ((*name).to_owned(), Needs::Success)).collect();
        StepDraft { after, ..StepDraft::one(name, kind, MemberDraft::new(args)) }
    };
    let draft = |steps| Draft { name: "sums".into(), steps, ..Draft::default() };
    let each = (1..=1_050).map(|upload| MemberDraft::new(json!({ "upload": upload % 3 }))).collect();
    let merge = step("merge", "merge.pages", &["process"], json!({ "parts": { "step": "process" } }));
    let run = client.workflows().draft(draft(vec![StepDraft::group("process", "process", each), merge])).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(run.result().await.unwrap(), json!([2, 1_050]));

    let refused = [
        (step("a", "nonote", &[], json!({})), "/steps/a: there is no task type `nonote`; did you mean"),
        (step("a", "note", &[], json!({ "text": 7 })), "/steps/a: args/text"),
        (
            step("a", "note", &[], json!({ "text": { "$result": "x" } })),
            "/steps/a/args: refers to the step `x`, which is not there",
        ),
        (step("a", "note", &[], json!({ "text": { "$result": 7 } })), "/steps/a: args: /text: the step's name is no text"),
        (step("a", "note", &["x"], json!({ "text": "" })), "/steps/a/after/0: names the step `x`"),
        (step("a", "note", &[], json!([])), "/steps/a: args: are not a JSON object"),
    ];
    for (step, says) in refused {
        let error = client.workflows().draft(draft(vec![step])).await.unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
}

#[tokio::test]
async fn a_cancelled_workflow_ends_and_handlers_run() {
    let (test, world) = harness().await;
    let mut w = test.client().workflow("upload");
    let part = w.step("process", Process { upload: 1 });
    w.step("merge", Merge::with([part.result()], None));
    w.always("always", note_of("over"));
    let run = w.start().await.unwrap();
    run.pause().await.unwrap();
    test.drain().await.unwrap();
    assert_eq!((state(&run).await, word(&run, "merge").await), (WorkflowState::Paused, StepWord::Waiting));
    run.resume().await.unwrap();
    run.cancel().await.unwrap();
    test.drain().await.unwrap();
    assert!(matches!(run.result().await, Err(RunError::Cancelled { .. })));
    assert_eq!(world.probe.seen(), ["note over in default"]);
    let none = gristmill::WorkflowId::from_uuid(uuid::Uuid::nil());
    let none = test.client().workflows().handle(none);
    assert!(matches!(none.result().await, Err(RunError::NotKept { .. })));
}

/// No slot of a worker is held by whoever waits for work that needs one.
#[tokio::test]
async fn a_handler_that_awaits_a_workflow_is_told_what_to_do_instead() {
    let (test, world) = harness().await;
    world.client.set(test.client().clone()).unwrap();
    let handle = test.client().enqueue(Awaits {}).await.unwrap();
    test.drain().await.unwrap();
    let error = handle.result().await.unwrap_err().to_string();
    assert!(error.contains("can't be awaited by a handler") && error.contains("last step"), "{error}");
}

#[tokio::test]
async fn a_worker_runs_it_and_whoever_awaits_it_wakes() {
    let world = World::default();
    let client = in_memory(app(world.clone())).await;
    let mut w = client.workflow("upload");
    world.probe.close();
    let waits = w.step("waits", Waits {});
    let parts = w.each("process", (21..=70).map(|upload| Process { upload })).after(&waits);
    w.step("merge", MergePages::with(parts.pages()));
    let run = w.start().await.unwrap().typed::<(usize, u32)>();
    let worker = client.worker().queue("default", 4).start().await.unwrap();
    world.probe.until_seen("waits").await;
    assert!(matches!(run.result_within(Duration::from_millis(1)).await, Err(RunError::TimedOut { .. })));
    world.probe.open();
    assert_eq!(within(run.result()).await.unwrap(), (1, 2_275));
    worker.stop().await;
}

/// A transaction of no driver, which keeps what it was given.
struct Tx(Arc<Mutex<Vec<NewWorkflow>>>);

/// Tells it apart.
struct NoDriver;

impl Within<NoDriver> for Tx {
    type Doing<T: Send + 'static> = Ready<Result<T, StoreError>>;

    fn insert(self, _: &dyn Store, _: Vec<NewTask>) -> Self::Doing<Vec<EnqueueOutcome>> {
        ready(Ok(Vec::new()))
    }
}

impl StartWithin<NoDriver> for Tx {
    fn start_workflow(self, _: &dyn Store, workflow: NewWorkflow) -> Self::Doing<Started> {
        self.0.lock().unwrap().push(workflow);
        ready(Ok(Started::Created))
    }
}

#[tokio::test]
async fn a_transaction_takes_a_whole_workflow_and_no_part_of_one() {
    let (test, _) = harness().await;
    let kept = Arc::new(Mutex::new(Vec::new()));
    let write = |members| {
        let mut w = test.client().workflow("upload").key("upload:abc");
        let parts = w.each("process", (0..members).map(|upload| Process { upload }));
        w.step("merge", MergePages::with(parts.pages()));
        w.start()
    };
    let run = write(2).within(Tx(kept.clone())).await.unwrap();
    let again = write(2).id(run.id()).within(Tx(kept.clone())).run().unwrap();
    assert_eq!(run.id(), again.id());
    {
        let kept = kept.lock().unwrap();
        let whole = |new: &NewWorkflow| (new.id, new.members.len(), new.steps[1].spec.after.clone(), new.steps[0].open);
        assert!(kept.iter().all(|new| whole(new) == (run.id(), 3, vec![(0, Needs::Success)], false)), "{kept:?}");
        assert_eq!(kept.len(), 2);
    }
    let error = write(1_000).within(Tx(kept.clone())).await.unwrap_err().to_string();
    assert!(error.starts_with("members: are more than 1000") && error.contains("leave `process` open"), "{error}");
    let error = test.client().workflow("").start().within(Tx(kept.clone())).run().unwrap_err().to_string();
    assert!(error.starts_with("/name: "), "{error}");
    assert_eq!(kept.lock().unwrap().len(), 2);
    assert_eq!(run.status().await.unwrap(), None, "only the transaction knows");
}

#[tokio::test]
async fn the_shape_of_a_workflow_is_tested_without_a_start() {
    let (test, _) = harness().await;
    let mut w = test.client().workflow("shape");
    let parts = w.each("process", [1, 2].map(|upload| Process { upload })).may_fail_percent(50);
    let merged = w.step("merge", MergeSome::with(parts.outcomes()));
    merged.undo("undo", note_of("undo"));
    w.step("cleanup", note_of("cleanup")).after_when(&merged, Needs::End);
    w.on_failure("flag", Flag::with("abc", w.failure()));
    let expected = json!({ "name": "shape", "steps": {
        "process": { "task": "process", "tasks": 2, "may_fail": "50%" },
        "merge": { "task": "merge.some", "after": ["process"] },
        "undo": { "task": "note", "undoes": "merge" },
        "cleanup": { "task": "note", "after": { "merge": "end" } },
        "flag": { "task": "flag", "role": "on_failure" },
    } });
    assert_eq!(w.start().check().unwrap(), expected);
    assert!(test.client().workflows().list(&WorkflowFilter::default(), None, 10).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn hooks_are_told_of_members_as_of_any_task() {
    let world = World::default();
    let (succeeded, failed) = (world.probe.clone(), world.probe.clone());
    let of = |meta: &TaskMeta| meta.member.as_ref().map(|member| format!("{} {}", member.step, member.place)).unwrap_or_default();
    let app = app(world.clone()).on_succeeded(move |task| succeeded.saw(of(&task.meta)));
    let app = app.on_ended(move |task| failed.saw(format!("{} {}", of(&task.meta), task.state)));
    let test = Harness::new(app).await.unwrap();
    let mut w = test.client().workflow("hooked");
    let parts = w.each("process", [1, 13].map(|upload| Process { upload }));
    w.step("merge", Merge::with(parts.results(), None));
    w.start().await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(world.probe.seen(), ["process 0", "process 1 failed"]);
}

/// A member is a task: it has its place in lists, and its workflow in its record.
#[tokio::test]
async fn members_are_tasks_and_inline_runs_all() {
    let (test, _) = harness().await;
    let test = test.inline();
    let mut w = test.client().workflow("upload");
    let parts = w.each("process", [1, 2].map(|upload| Process { upload }));
    w.step("merge", Merge::with(parts.results(), None));
    let run = w.start().await.unwrap();
    assert_eq!(state(&run).await, WorkflowState::Succeeded);
    let tasks =
        test.client().tasks().list(&Filter { kind: Some(Merge::NAME.into()), ..Filter::default() }, None, 10).await.unwrap();
    let member = tasks.items[0].meta.member.clone().unwrap();
    assert_eq!(
        (member.workflow, member.step.as_str(), member.refers, tasks.items[0].state),
        (run.id(), "merge", true, State::Succeeded)
    );
}

/// One signature is several steps.
#[tokio::test]
async fn a_signature_is_written_once_and_used_twice() {
    let (test, world) = harness().await;
    let mut w = test.client().workflow("twice");
    let told: Signature<Note> = Note::with("twice");
    let first = w.step("first", told.clone());
    w.step("second", told).after(&first);
    w.start().await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(world.probe.seen().len(), 2);
}
