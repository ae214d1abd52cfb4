//! Code of the application around attempts and enqueues.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gristmill::codec::{Codec, Payload};
use gristmill::core::{Env, FailureReason, InvalidInput, Limits, NewTask, Overrides, State};
use gristmill::middleware::{Middleware, Next, Outgoing};
use gristmill::testing::Harness;
use gristmill::{App, Context, Error, Result, Task, task};

use crate::support::{Probe, in_memory, on_file, within};

#[task(name = "work", max_attempts = 1)]
async fn work(cx: &Context<Probe>, how: String) -> Result<String> {
    cx.state.saw(format!("{how} of {}", cx.meta().headers.get("by").map_or("nobody", String::as_str)));
    match how.as_str() {
        "fail" => Err("x".parse::<u32>().unwrap_err().into()),
        "panic" => panic!("out of order"),
        "hang" => std::future::pending().await,
        "parent" => cx.enqueue(Other { how: "child".into() }).await.map(|_| how).map_err(Error::from),
        _ => Ok(how),
    }
}

#[task(name = "other.work", max_attempts = 1)]
async fn other(cx: &Context<Probe>, how: String) -> Result<()> {
    cx.state.saw(format!("{how} of {}", cx.meta().headers.get("by").map_or("nobody", String::as_str)));
    Ok(())
}

fn app(probe: &Probe) -> App<Probe> {
    App::new(probe.clone()).register::<Work>().register::<Other>()
}

/// Says when it is entered and left, and when it is dropped before that.
struct Tells(&'static str, Probe);

struct Left<'a>(&'a Tells, String);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.1.saw(format!("{} {}", self.0.0, self.1));
    }
}

impl Middleware for Tells {
    async fn run(&self, cx: &Context, next: Next<'_>) -> Result<String> {
        self.1.saw(format!("{}: {} {}", self.0, cx.name(), next.args().unwrap_or("unfit")));
        let mut left = Left(self, "was dropped".to_owned());
        let outcome = next.run().await;
        left.1 = match &outcome {
            Ok(result) => format!("got {result}"),
            Err(error) if error.downcast_ref::<std::num::ParseIntError>().is_some() => "got an error of parse".to_owned(),
            Err(error) => format!("got {:?}", error.reason()),
        };
        outcome
    }
}

#[tokio::test]
async fn it_stands_around_the_types_that_it_is_for_in_the_order_of_its_adding() {
    let probe = Probe::default();
    let tells = |name| Tells(name, probe.clone());
    let app = app(&probe)
        .middleware(tells("all"))
        .middleware_for::<Work>(tells("work"))
        .middleware_if(|name| name.starts_with("other."), tells("others"));
    let client = in_memory(app).await;
    let worker = client.worker().queue("default", 1).start().await.unwrap();
    let args = r#"{"how":"well"}"#;
    within(client.enqueue(Work { how: "well".into() }).await.unwrap().result()).await.unwrap();
    within(client.enqueue(Other { how: "well".into() }).await.unwrap().result()).await.unwrap();
    let around = |inner: &str, name: &str, got: &str| {
        let entered = [format!("all: {name} {args}"), format!("{inner}: {name} {args}"), "well of nobody".to_owned()];
        entered.into_iter().chain([format!("{inner} got {got}"), format!("all got {got}")]).collect::<Vec<_>>()
    };
    assert_eq!(probe.seen(), [around("work", "work", r#""well""#), around("others", "other.work", "null")].concat());
    worker.stop().await;
}

/// However the handler ends, what stands around it learns of it or is dropped with it.
#[tokio::test]
async fn it_sees_how_an_attempt_ends() {
    let ends = [("fail", "all got an error of parse"), ("panic", "all got Some(Panic)"), ("hang", "all was dropped")];
    for (how, left) in ends {
        let probe = Probe::default();
        let client = in_memory(app(&probe).middleware(Tells("all", probe.clone()))).await;
        let worker = client.worker().queue("default", 1).start().await.unwrap();
        let task = client.enqueue(Work { how: how.into() }).timeout(Duration::from_millis(20)).await.unwrap();
        let ended = within(task.ended()).await.unwrap();
        worker.stop().await;
        assert_eq!((ended.state, probe.seen().last().map(String::as_str)), (State::Failed, Some(left)), "{how}");
    }
}

/// What its handler does not get.
struct Unreadable;

impl Codec for Unreadable {
    fn encode(&self, _: &Payload<'_>, plain: String) -> Result<String> {
        Ok(plain)
    }

    fn decode(&self, _: &Payload<'_>, _: String) -> Result<String> {
        Err(Error::cancel("it is damaged"))
    }
}

#[tokio::test]
async fn it_sees_an_attempt_whose_arguments_nobody_can_read() {
    let probe = Probe::default();
    let app = app(&probe).middleware(Tells("all", probe.clone())).codec_for::<Other>(Unreadable);
    let client = in_memory(app).await;
    client.enqueue(Other { how: "well".into() }).await.unwrap();
    // As another version has stored it.
    let (id, limits) = (Env::system().task_id(), Limits::default());
    let unfit = NewTask::of(&Work::kind(), "{}".to_owned(), Overrides::default(), id, &limits).unwrap();
    client.store().enqueue(vec![unfit]).await.unwrap();
    let worker = client.worker().queue("default", 1).drain(true).start().await.unwrap();
    let report = within(worker.ended()).await;
    assert_eq!((report.cancelled, report.failed), (1, 1));
    let seen = ["all: other.work unfit", "all got Some(Cancelled)", "all: work {}", "all got Some(InvalidArgs)"];
    assert_eq!(probe.seen(), seen);
}

/// What a middleware does wrong itself.
struct Wrong(&'static str);

impl Middleware for Wrong {
    fn enqueue(&self, task: &mut Outgoing<'_>) -> Result<(), InvalidInput> {
        match self.0 {
            "refuses" => Err(InvalidInput::new("how", "is not wanted")),
            "panics at the enqueue" => panic!("out of order"),
            "adds too much" => {
                task.header("large", "x".repeat(1024 * 1024));
                Ok(())
            }
            "adds what can't be" => {
                task.tag("");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn run(&self, _: &Context, next: Next<'_>) -> impl Future<Output = Result<String>> + Send {
        assert_ne!(self.0, "panics at once", "out of order");
        async move {
            match self.0 {
                "panics" => panic!("out of order"),
                "panics afterwards" => {
                    next.run().await?;
                    panic!("out of order")
                }
                "hangs" => std::future::pending().await,
                "fails" => Err(Error::fail("not today")),
                "puts off" => Err(Error::snooze_because(Duration::from_secs(60), "not now")),
                "answers" => Ok(r#""instead""#.to_owned()),
                _ => next.run().await,
            }
        }
    }
}

#[tokio::test]
async fn what_it_does_is_the_attempts() {
    let ends = [
        ("panics at once", Some(FailureReason::Panic), State::Failed, 0),
        ("panics", Some(FailureReason::Panic), State::Failed, 0),
        ("panics afterwards", Some(FailureReason::Panic), State::Failed, 1),
        ("hangs", Some(FailureReason::Timeout), State::Failed, 0),
        ("fails", Some(FailureReason::Error), State::Failed, 0),
        ("puts off", Some(FailureReason::Error), State::Scheduled, 0),
        ("answers", None, State::Succeeded, 0),
    ];
    for (how, reason, state, runs) in ends {
        let probe = Probe::default();
        let client = in_memory(app(&probe).middleware(Tells("outer", probe.clone())).middleware(Wrong(how))).await;
        let task = client.enqueue(Work { how: "well".into() }).timeout(Duration::from_millis(20)).await.unwrap();
        let worker = client.worker().queue("default", 1).drain(true).start().await.unwrap();
        within(worker.ended()).await;
        let task = task.status().await.unwrap().unwrap();
        assert_eq!((task.error.map(|error| error.reason), task.state), (reason, state), "{how}");
        assert_eq!(probe.seen().iter().filter(|line| line.starts_with("well")).count(), runs, "{how}");
        let left = probe.seen().last().cloned().unwrap();
        let seen = reason.map_or_else(|| r#"outer got "instead""#.to_owned(), |reason| format!("outer got Some({reason:?})"));
        let seen = if how == "hangs" { "outer was dropped".to_owned() } else { seen };
        let seen = if how == "puts off" { "outer got None".to_owned() } else { seen };
        assert_eq!(left, seen, "{how}");
    }
}

#[tokio::test]
async fn what_it_refuses_is_not_enqueued() {
    for (how, problem) in [
        ("refuses", "how: is not wanted"),
        ("panics at the enqueue", "task: a middleware panicked: out of order"),
        ("adds too much", "headers: have 1048581 bytes together"),
        ("adds what can't be", "tags: is empty"),
    ] {
        let probe = Probe::default();
        let client = in_memory(app(&probe).middleware_for::<Work>(Wrong(how))).await;
        let error = client.enqueue(Work { how: "well".into() }).await.unwrap_err().to_string();
        assert!(error.starts_with(problem), "{error}");
        let error = client.call(Work { how: "well".into() }).await.err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.starts_with(problem)), "{how}: a call is no way round");
        client.enqueue(Other { how: "well".into() }).await.unwrap();
        let queues = client.store().queues().await.unwrap();
        assert_eq!(queues.iter().map(|queue| queue.ready).sum::<u64>(), 1, "the other alone");
    }
}

/// Says for whom a task is, unless that is said.
struct For(&'static str);

impl Middleware for For {
    fn enqueue(&self, task: &mut Outgoing<'_>) -> Result<(), InvalidInput> {
        assert!(task.args().starts_with(r#"{"how":"#) && (task.parent().is_some() == task.args().contains("child")));
        if !task.headers().contains_key("by") {
            let by = format!("{} {}", self.0, task.name());
            task.header("by", by).tag("added");
        }
        Ok(())
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn it_adds_to_tasks_wherever_they_are_enqueued() {
    use gristmill::sqlite::rusqlite::Connection;

    let folder = tempfile::tempdir().unwrap();
    let probe = Probe::default();
    let client = on_file(app(&probe).middleware(Arc::new(For("a middleware on"))), &folder).await;
    let work = |how: &str| client.enqueue(Work { how: how.into() });
    let one = work("one").await.unwrap();
    assert!(client.enqueue_many([work("many")]).await.remove(0).is_ok());
    let db = Connection::open(folder.path().join("test.db")).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    work("within").within(&db).run().unwrap();
    db.execute_batch("COMMIT").unwrap();
    work("parent").await.unwrap();
    work("said").header("by", "the caller").await.unwrap();
    let worker = client.worker().queue("default", 1).drain(true).start().await.unwrap();
    assert_eq!(worker.ended().await.succeeded, 6);
    client.call(Work { how: "call".into() }).await.unwrap();
    let by = ["one", "many", "within", "parent", "call"].map(|how| format!("{how} of a middleware on work"));
    for line in by.into_iter().chain(["said of the caller".into(), "child of a middleware on work".into()]) {
        assert!(probe.seen().contains(&line), "{line}: {:?}", probe.seen());
    }
    assert_eq!(one.status().await.unwrap().unwrap().meta.tags, ["added"]);
}

#[tokio::test]
async fn it_adds_to_the_tasks_of_ticks() {
    use gristmill::beat::Definition;

    let probe = Probe::default();
    let hourly = Definition::every(Duration::from_secs(3_600), Work { how: "tick".into() });
    let app = app(&probe).middleware(For("a middleware on")).schedule("hourly", hourly);
    let test = Harness::new(app).await.unwrap();
    test.beat_until("2027-01-01T01:00:00Z".parse().unwrap()).await.unwrap();
    assert_eq!(probe.seen(), ["tick of a middleware on work"]);
}

/// Puts into the context what the handler reads there.
struct Gives;

#[derive(Debug, PartialEq)]
struct Given(u32);

impl Middleware for Gives {
    async fn run(&self, cx: &Context, next: Next<'_>) -> Result<String> {
        assert!(cx.extension::<Given>().is_none(), "each attempt begins without");
        cx.extend(Given(1));
        cx.extend("of another type");
        cx.extend(Given(cx.attempt()));
        next.run().await
    }
}

#[task(name = "given", max_attempts = 2, backoff = fixed("0s"))]
async fn given_task(cx: &Context) -> Result<u32> {
    assert!(cx.extension::<String>().is_none());
    assert_eq!(cx.extension::<&str>().as_deref(), Some(&"of another type"));
    let given = cx.extension::<Given>().ok_or_else(|| Error::fail("it is not there"))?;
    if cx.attempt() == 1 { Err(Error::retry("again")) } else { Ok(given.0) }
}

#[tokio::test]
async fn a_handler_finds_what_it_put_into_the_context() {
    let test = Harness::new(App::new(()).register::<GivenTask>().middleware(Gives)).await.unwrap();
    let task = test.client().enqueue(GivenTask {}).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(task.result().await.unwrap(), 2);
    let performed = test.perform(GivenTask {}).attempt(2).await;
    assert_eq!(performed.result, Some(2.into()), "{performed:?}");
}

/// Gives what is no JSON for every result.
struct Garbles;

impl Middleware for Garbles {
    async fn run(&self, _: &Context, next: Next<'_>) -> Result<String> {
        Ok(format!("{} of sorts", next.run().await?))
    }
}

#[tokio::test]
async fn a_result_that_is_no_json_is_not_kept() {
    let probe = Probe::default();
    let test = Harness::new(app(&probe).middleware(Garbles)).await.unwrap();
    let task = test.client().enqueue(Work { how: "well".into() }).await.unwrap();
    test.drain().await.unwrap();
    let kept = task.status().await.unwrap().unwrap();
    assert_eq!((kept.state, &kept.result), (State::Failed, &None));
    let why = kept.error.unwrap().message;
    assert!(why.contains("result: no JSON"), "{why}");
}

/// Puts everything off while it is closed.
struct Switch(AtomicBool);

impl Middleware for Switch {
    async fn run(&self, _: &Context, next: Next<'_>) -> Result<String> {
        if self.0.load(Ordering::Relaxed) { Err(Error::snooze(Duration::from_secs(60))) } else { next.run().await }
    }
}

#[tokio::test]
async fn the_application_keeps_its_hand_on_one() {
    let (probe, switch) = (Probe::default(), Arc::new(Switch(true.into())));
    let test = Harness::new(app(&probe).middleware(switch.clone())).await.unwrap();
    let task = test.client().enqueue(Work { how: "well".into() }).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(task.status().await.unwrap().unwrap().attempt, 0, "it cost no attempt");
    switch.0.store(false, Ordering::Relaxed);
    test.advance(Duration::from_secs(60)).await.unwrap();
    test.drain().await.unwrap();
    assert_eq!(task.result().await.unwrap(), "well");
    let call = test.client().call(Work { how: "called".into() });
    switch.0.store(true, Ordering::Relaxed);
    assert!(call.await.unwrap_err().to_string().contains("not ready to run yet"), "it stands around a call, too");
}
