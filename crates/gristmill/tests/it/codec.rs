//! Arguments and results that are stored in another form.

use std::time::Duration;

use gristmill::codec::{Codec, Part, Payload};
use gristmill::core::{Env, FailureReason, NewTask, Overrides, State};
use gristmill::options::{OnConflict, Unique};
use gristmill::testing::{Harness, assert_enqueued};
use gristmill::{App, Context, Error, Result, ResultExt, Task, task};
use serde_json::{Value, json};

use crate::support::{Probe, in_memory, on_file, within};

#[task(name = "work", max_attempts = 2, backoff = fixed("1h"))]
async fn work(cx: &Context<Probe>, text: String) -> Result<String> {
    cx.state.saw(&text);
    if text == "parent" {
        cx.enqueue(Work { text: "child".into() }).await?;
    }
    Ok(format!("{text}!"))
}

#[task(name = "plain")]
async fn plain(text: String) -> Result<String> {
    Ok(text)
}

#[task(name = "cut", large_result = truncate)]
async fn cut(bytes: usize) -> Result<Value> {
    Ok("x".repeat(bytes).into())
}

/// Wraps a text up with its place, and takes no other's.
struct Wrap(&'static str);

fn label(wrap: &Wrap, payload: &Payload<'_>) -> String {
    format!("{} {} {} {}", wrap.0, payload.name, payload.part.as_str(), payload.id)
}

impl Codec for Wrap {
    fn encode(&self, payload: &Payload<'_>, plain: String) -> Result<String> {
        Ok(json!({ label(self, payload): plain }).to_string())
    }

    fn decode(&self, payload: &Payload<'_>, stored: String) -> Result<String> {
        let value: Value = serde_json::from_str(&stored).or_fail()?;
        let plain = value.get(label(self, payload)).and_then(Value::as_str);
        plain.map(str::to_owned).ok_or_else(|| Error::fail(format!("this is not {}", label(self, payload))))
    }
}

fn app(probe: &Probe) -> App<Probe> {
    App::new(probe.clone()).register::<Work>().register::<Plain>().register::<Cut>()
}

fn wrapped(probe: &Probe) -> App<Probe> {
    app(probe).codec_if(|name| name != "plain", Wrap("inner")).codec_for::<Work>(Wrap("outer"))
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn what_is_stored_has_another_form_and_what_is_seen_has_not() {
    use gristmill::sqlite::rusqlite::Connection;

    let (folder, probe) = (tempfile::tempdir().unwrap(), Probe::default());
    let client = on_file(wrapped(&probe), &folder).await;
    let work = |text: &str| client.enqueue(Work { text: text.into() });
    let one = work("one").await.unwrap();
    let many = client.enqueue_many([work("many")]).await.remove(0).unwrap();
    let db = Connection::open(folder.path().join("test.db")).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let inside = work("within").within(&db).run().unwrap();
    db.execute_batch("COMMIT").unwrap();
    let parent = work("parent").await.unwrap();
    let again = work("one").id(one.id()).await.unwrap();
    assert_eq!(again.id(), one.id(), "the same makes the same");
    let untouched = client.enqueue(Plain { text: "plain".into() }).await.unwrap();
    let worker = client.worker().queue("default", 1).drain(true).start().await.unwrap();
    assert_eq!(worker.ended().await.succeeded, 6);
    assert!(probe.seen().contains(&"child".to_owned()));
    for (handle, text) in [(one, "one"), (many, "many"), (inside, "within"), (parent, "parent")] {
        let stored = handle.status().await.unwrap().unwrap();
        let args = Wrap("outer").decode(&Payload::new(handle.id(), "work", Part::Args), stored.args).unwrap();
        let args = Wrap("inner").decode(&Payload::new(handle.id(), "work", Part::Args), args).unwrap();
        assert_eq!(args, format!(r#"{{"text":"{text}"}}"#), "the first is the innermost");
        assert!(stored.result.unwrap().starts_with(r#"{"outer work result"#));
        assert_eq!(handle.result().await.unwrap(), format!("{text}!"));
    }
    let stored = untouched.status().await.unwrap().unwrap();
    assert_eq!((stored.args.as_str(), stored.result.as_deref()), (r#"{"text":"plain"}"#, Some(r#""plain""#)));
    assert_eq!(client.call(Work { text: "call".into() }).await.unwrap(), "call!");
}

/// Settles in a transaction of its own.
#[cfg(feature = "sqlite")]
#[task(name = "own")]
fn own(cx: &Context<std::path::PathBuf>, text: String) -> Result<String> {
    let db = gristmill::sqlite::rusqlite::Connection::open(&cx.state)?;
    db.execute_batch("BEGIN IMMEDIATE")?;
    cx.settle_in(&db, &text).run()?;
    db.execute_batch("COMMIT")?;
    Ok(text)
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_result_that_a_handler_settles_itself_is_encoded_too() {
    let (folder, told) = (tempfile::tempdir().unwrap(), Probe::default());
    let (file, told_) = (folder.path().join("test.db"), told.clone());
    let app = App::new(file).register::<Own>().codec(Wrap("a"));
    let client = on_file(app.on_succeeded(move |event| told_.saw(event.id.to_string())), &folder).await;
    let handle = client.enqueue(Own { text: "mine".into() }).await.unwrap();
    let worker = client.worker().queue("default", 1).drain(true).start().await.unwrap();
    assert_eq!(within(worker.ended()).await.succeeded, 1);
    assert!(handle.status().await.unwrap().unwrap().result.unwrap().starts_with(r#"{"a own result"#));
    assert_eq!(handle.result().await.unwrap(), "mine");
    assert_eq!(told.seen(), [handle.id().to_string()], "and its success is told");
}

#[tokio::test]
async fn a_test_sees_the_plain_form() {
    let probe = Probe::default();
    let test = Harness::new(wrapped(&probe)).await.unwrap();
    let handle = test.client().enqueue(Work { text: "parent".into() }).await.unwrap();
    assert_enqueued!(test, Work { text: "parent".into() });
    assert!(handle.status().await.unwrap().unwrap().args.starts_with(r#"{"outer work args"#));
    let performed = test.perform(Work { text: "parent".into() }).await;
    assert_eq!(performed.result, Some("parent!".into()));
    assert_eq!(performed.children, [("work".to_owned(), json!({ "text": "child" }))]);
    test.drain().await.unwrap();
    assert_eq!(handle.result().await.unwrap(), "parent!");
}

#[tokio::test]
async fn the_tasks_of_ticks_are_encoded_when_they_are_made() {
    use gristmill::beat::Definition;

    let probe = Probe::default();
    let hourly = Definition::every(Duration::from_secs(3_600), Work { text: "tick".into() });
    let test = Harness::new(wrapped(&probe).schedule("hourly", hourly)).await.unwrap();
    test.beat_until("2027-01-01T01:00:00Z".parse().unwrap()).await.unwrap();
    assert_eq!(probe.seen(), ["tick"], "only what was encoded is decoded");
}

/// What a codec does wrong.
struct Wrong(&'static str);

impl Codec for Wrong {
    fn encode(&self, payload: &Payload<'_>, plain: String) -> Result<String> {
        match (self.0, payload.part) {
            ("refuses", _) => Err(Error::retry("there is no key")),
            ("panics", _) => panic!("out of order"),
            ("is no JSON", _) => Ok("{sealed".to_owned()),
            ("is no object", _) => Ok(r#""sealed""#.to_owned()),
            ("nests", _) => Ok(format!("{}0{}", r#"{"a":"#.repeat(200), "}".repeat(200))),
            ("is large", _) => Ok(json!({ "large": "x".repeat(1_200_000) }).to_string()),
            ("refuses results", Part::Result) => Err(Error::fail("there is no key")),
            ("results are no JSON", Part::Result) => Ok("sealed".to_owned()),
            ("results panic", Part::Result) => panic!("out of order"),
            _ => Ok(plain),
        }
    }

    fn decode(&self, payload: &Payload<'_>, stored: String) -> Result<String> {
        match (self.0, payload.part) {
            ("can't be read", Part::Args) => Err(Error::fail("it is damaged")),
            ("lacks a key", Part::Args) => Err(Error::snooze_because(Duration::from_secs(60), "there is no key")),
            ("panics later", Part::Args) => panic!("out of order"),
            ("reads what is unfit", Part::Args) => Ok(r#"{"text":7}"#.to_owned()),
            ("can't read results", Part::Result) => Err(Error::fail("it is damaged")),
            ("panics at results", Part::Result) => panic!("out of order"),
            _ => Ok(stored),
        }
    }
}

#[tokio::test]
async fn what_can_not_be_encoded_is_not_enqueued() {
    for (how, problem) in [
        ("refuses", "args: can't be encoded: there is no key"),
        ("panics", "args: can't be encoded: panicked: out of order"),
        ("is no JSON", "args: no JSON once encoded"),
        ("is no object", "args: are no JSON object once encoded"),
        ("nests", "args: nests deeper than"),
        ("is large", "args: are 1200012 bytes of JSON once encoded"),
    ] {
        let probe = Probe::default();
        let client = in_memory(app(&probe).codec_for::<Work>(Wrong(how))).await;
        let error = client.enqueue(Work { text: "x".into() }).await.unwrap_err().to_string();
        assert!(error.starts_with(problem), "{how}: {error}");
        assert!(client.store().queues().await.unwrap().iter().all(|queue| queue.ready == 0));
    }
}

#[tokio::test]
async fn what_can_not_be_decoded_ends_the_attempt_as_the_codec_says() {
    for (how, state, reason, problem, runs) in [
        ("can't be read", State::Failed, FailureReason::Error, "it is damaged", 0),
        ("lacks a key", State::Scheduled, FailureReason::Error, "there is no key", 0),
        ("panics later", State::Scheduled, FailureReason::Panic, "panicked: out of order", 0),
        ("reads what is unfit", State::Failed, FailureReason::InvalidArgs, "args/text: ", 0),
        ("refuses results", State::Failed, FailureReason::Error, "there is no key", 1),
        ("results are no JSON", State::Failed, FailureReason::Error, "result: no JSON once encoded", 1),
        ("results panic", State::Scheduled, FailureReason::Panic, "panicked: out of order", 1),
    ] {
        let probe = Probe::default();
        let client = in_memory(app(&probe).codec_for::<Work>(Wrong(how))).await;
        let handle = client.enqueue(Work { text: "x".into() }).await.unwrap();
        let worker = client.worker().queue("default", 1).drain(true).start().await.unwrap();
        within(worker.ended()).await;
        let task = handle.status().await.unwrap().unwrap();
        let error = task.error.unwrap();
        assert_eq!((task.state, error.reason), (state, reason), "{how}: {error:?}");
        assert!(error.message.starts_with(problem), "{how}: {error:?}");
        assert_eq!(probe.seen().len(), runs, "{how}");
        assert_eq!(task.attempt, u32::from(how != "lacks a key"), "{how}");
    }
}

#[tokio::test]
async fn a_result_that_can_not_be_decoded_is_an_error_of_whoever_awaits_it() {
    for (how, problem) in [("can't read results", "it is damaged"), ("panics at results", "panicked: out of order")] {
        let probe = Probe::default();
        let client = in_memory(app(&probe).codec_for::<Work>(Wrong(how))).await;
        let handle = client.enqueue(Work { text: "x".into() }).await.unwrap();
        let worker = client.worker().queue("default", 1).drain(true).start().await.unwrap();
        within(worker.ended()).await;
        let error = handle.result().await.unwrap_err().to_string();
        assert_eq!(error, format!("the result of task {} can't be decoded: {problem}", handle.id()));
    }
}

/// A third more of everything.
struct Grows;

impl Codec for Grows {
    fn encode(&self, _: &Payload<'_>, plain: String) -> Result<String> {
        let more = "x".repeat(plain.len() / 3);
        Ok(json!({ "plain": plain, "more": more }).to_string())
    }

    fn decode(&self, _: &Payload<'_>, stored: String) -> Result<String> {
        let value: Value = serde_json::from_str(&stored)?;
        value["plain"].as_str().map(str::to_owned).ok_or_else(|| Error::fail("it is not there"))
    }
}

#[tokio::test]
async fn a_result_has_to_fit_in_both_forms() {
    let probe = Probe::default();
    let limits = gristmill::core::Limits { result_bytes: 1_200, ..Default::default() };
    let client = in_memory(app(&probe).limits(limits).codec(Grows)).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    for (bytes, is_whole) in [(500, true), (1_000, false), (10_000, false)] {
        let cut = client.enqueue(Cut { bytes }).await.unwrap();
        let got = within(cut.result()).await.unwrap();
        assert_eq!(got == "x".repeat(bytes), is_whole, "{bytes}: {got}");
        assert!(is_whole || got["truncated"] == true, "{bytes}: {got}");
        assert!(cut.status().await.unwrap().unwrap().result.unwrap().len() <= 1_200);
        let whole = client.enqueue(Plain { text: "x".repeat(bytes) }).await.unwrap();
        assert_eq!(within(whole.ended()).await.unwrap().state == State::Succeeded, is_whole, "{bytes}");
    }
    worker.stop().await;
}

/// A program without the codec, and tasks from before there was one.
#[tokio::test]
async fn what_has_no_codec_is_left_as_it_is() {
    let probe = Probe::default();
    let client = in_memory(app(&probe).codec_for::<Work>(Wrap("a"))).await;
    let id = Env::system().task_id();
    let args = r#"{"text":"from SQL"}"#.to_owned();
    let foreign = NewTask::of(&Work::kind(), args, Overrides::default(), id, &Default::default()).unwrap();
    client.store().enqueue(vec![foreign]).await.unwrap();
    let worker = client.worker().queue("default", 1).drain(true).start().await.unwrap();
    assert_eq!(worker.ended().await.failed, 1, "this one is strict");
    let error = client.store().get(id).await.unwrap().unwrap().error.unwrap();
    assert!(error.message.starts_with("this is not a work args"), "{error:?}");
}

/// They would stand in a task for which they were not encoded.
#[tokio::test]
async fn encoded_arguments_are_written_into_no_other_task() {
    let client = in_memory(wrapped(&Probe::default())).await;
    let rule = Unique::by("a".parse().unwrap()).on_conflict(OnConflict::Replace);
    let refused = client.enqueue(Work { text: "one".into() }).unique(rule.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("are encoded for one task each"), "{refused}");
    client.enqueue(Plain { text: "one".into() }).unique(rule).await.unwrap();
}
