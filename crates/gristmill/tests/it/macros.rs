#![allow(clippy::unwrap_used, reason = "a helper that can't go on fails its test")]

use std::time::Duration;

use gristmill::client::CallError;
use gristmill::context::Stateless;
use gristmill::error::FailureReason;
use gristmill::options::{Ack, Backoff, OnConflict, OnError, Oversize, Policy, Rate, Retention, Strategy, Unique, Until};
use gristmill::testing::MemoryStore;
use gristmill::{App, Client, Context, Error, ResultExt, Task, task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone)]
struct Mailer {
    from: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    from: String,
    to: String,
}

/// Sends one email.
///
/// And returns its receipt.
#[task(name = "email.send")]
async fn send_email(
    cx: &Context<Mailer>,
    /// The address.
    to: String,
    #[task(default)] copies: u8,
    #[task(default = default_locale)] locale: String,
    mut subject: Option<String>,
    #[serde(rename = "replyTo")]
    #[schemars(length(max = 100))]
    #[task(default)]
    reply_to: String,
) -> gristmill::Result<Receipt> {
    let subject = subject.get_or_insert_default();
    if *subject == "spam" {
        return Err(Error::cancel(format!("{copies} {locale} {reply_to}")));
    }
    Ok(Receipt { from: cx.state.from.to_owned(), to })
}

fn default_locale() -> String {
    "en".to_owned()
}

#[task(name = "ping")]
async fn ping() -> gristmill::Result<()> {
    Ok(())
}

#[task(name = "clean")]
async fn clean(
    #[task(default = default_locale)] locale: String,
    #[task(default)] days: u32,
    only: Option<String>,
) -> gristmill::Result<()> {
    let _ = (locale, days, only);
    Ok(())
}

#[task(name = "attempt")]
async fn attempt(cx: &Context) -> gristmill::Result<u32> {
    Ok(cx.attempt())
}

#[task(name = "parse")]
async fn parse(text: String) -> Result<i64, std::num::ParseIntError> {
    text.parse()
}

#[task(name = "thread")]
fn thread(text: String) -> Result<(i64, String), std::num::ParseIntError> {
    Ok((text.parse()?, format!("{:?}", std::thread::current().id())))
}

#[task(name = "thread.with_state")]
fn thread_with_state(cx: &gristmill::Context<Mailer>, to: String) -> gristmill::Result<Receipt> {
    Ok(Receipt { from: cx.state.from.to_owned(), to })
}

async fn client() -> Client {
    App::new(Mailer { from: "us" })
        .register::<SendEmail>()
        .register::<Ping>()
        .register::<Attempt>()
        .register::<Parse>()
        .register::<Thread>()
        .register::<ThreadWithState>()
        .register::<Resize>()
        .register::<Tick>()
        .with_store(MemoryStore::new(gristmill::core::Env::system()))
        .await
        .unwrap()
}

fn email(to: &str) -> SendEmail {
    SendEmail { to: to.into(), copies: 0, locale: "en".into(), subject: None, reply_to: String::new() }
}

fn failure(result: Result<impl std::fmt::Debug, CallError>) -> gristmill::error::Failure {
    match result.unwrap_err() {
        CallError::Failed(failure) => *failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_function_is_a_task_and_a_function() {
    let client = client().await;
    let receipt = Receipt { from: "us".into(), to: "ann".into() };
    assert_eq!(client.call(email("ann")).await.unwrap(), receipt);
    let cancelled = failure(client.call(SendEmail { subject: Some("spam".into()), ..email("ann") }).await);
    assert_eq!((cancelled.reason, cancelled.message.as_str()), (FailureReason::Cancelled, "0 en "));

    ping().await.unwrap();
    client.call(Ping {}).await.unwrap();
    assert_eq!(parse("7".to_owned()).await, Ok(7));
    assert_eq!(client.call(Attempt {}).await.unwrap(), 1);
}

#[tokio::test]
async fn errors_of_any_type_become_failures() {
    let client = client().await;
    for failure in
        [failure(client.call(Parse { text: "x".into() }).await), failure(client.call(Thread { text: "x".into() }).await)]
    {
        assert_eq!(failure.reason, FailureReason::Error);
        assert!(failure.message.contains("invalid digit"), "{failure:?}");
    }
}

#[tokio::test]
async fn what_question_mark_does_not_take_is_said_in_a_word() {
    async fn any() -> anyhow::Result<u8> {
        Err(anyhow::Error::msg("inner").context("outer"))
    }
    let retried = any().await.or_retry().unwrap_err();
    assert_eq!(retried.to_string(), "outer");
    for outcome in [
        Err("text").or_retry(),
        Err("text".to_owned()).or_fail(),
        Err::<u8, _>(Box::<dyn std::error::Error + Send + Sync>::from("text")).or_cancel(),
    ] {
        assert_eq!(outcome.unwrap_err().to_string(), "text");
    }
    assert_eq!(Ok::<u8, String>(7).or_retry().unwrap(), 7);
}

#[tokio::test]
async fn a_plain_function_runs_on_a_thread_of_its_own() {
    let client = client().await;
    let here = format!("{:?}", std::thread::current().id());
    assert_eq!(thread("7".to_owned()).unwrap(), (7, here.clone()));
    let (number, there) = client.call(Thread { text: "7".into() }).await.unwrap();
    assert_eq!(number, 7);
    assert_ne!(there, here);
    let receipt = client.call(ThreadWithState { to: "ann".into() }).await.unwrap();
    assert_eq!(receipt, Receipt { from: "us".into(), to: "ann".into() });
}

#[test]
fn state_and_output_come_from_the_signature() {
    fn check<T: Task<State = S, Output = O>, S, O>() {}
    check::<SendEmail, Mailer, Receipt>();
    check::<Ping, Stateless, ()>();
    check::<Attempt, Stateless, u32>();
    check::<Parse, Stateless, i64>();
    check::<Thread, Stateless, (i64, String)>();
    check::<ThreadWithState, Mailer, Receipt>();
    check::<Resize, Mailer, u64>();
    check::<Tick, Stateless, ()>();
}

#[test]
fn the_schema_has_names_defaults_and_docs() {
    let schema = SendEmail::kind().schema;
    assert_eq!(schema["title"], "SendEmail");
    assert_eq!(schema["description"], "Sends one email.\n\nAnd returns its receipt.");
    assert_eq!(schema["required"], json!(["to"]));
    let properties = schema["properties"].as_object().unwrap();
    let mut names: Vec<_> = properties.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["copies", "locale", "replyTo", "subject", "to"]);
    assert_eq!(properties["to"]["description"], "The address.");
    assert_eq!(properties["copies"]["default"], 0);
    assert_eq!(properties["locale"]["default"], "en");
    assert_eq!(properties["replyTo"]["maxLength"], 100);
    assert_eq!(schema.get("additionalProperties"), None);
}

#[test]
fn what_may_be_missing_need_not_be_written_in_rust_either() {
    let Clean { locale, days, only } = Clean { days: 30, ..Clean::default() };
    assert_eq!((locale.as_str(), days, only), ("en", 30, None));
    let stored: Clean = serde_json::from_value(json!({})).unwrap();
    assert_eq!(serde_json::to_value(Clean::default()).unwrap(), serde_json::to_value(stored).unwrap());
    let Ping {} = Ping::default();
}

#[test]
fn old_and_new_arguments_are_read() {
    let task: SendEmail = serde_json::from_value(json!({"to": "ann", "replyTo": "bob", "added_later": [1]})).unwrap();
    assert_eq!((task.to.as_str(), task.copies, task.locale.as_str()), ("ann", 0, "en"));
    assert_eq!((task.subject, task.reply_to.as_str()), (None, "bob"));
    let missing = serde_json::from_value::<SendEmail>(json!({"copies": 1})).unwrap_err();
    assert!(missing.to_string().contains("missing field `to`"), "{missing}");
    assert_eq!(serde_json::to_value(Ping {}).unwrap(), json!({}));
}

#[test]
fn positional_names_follow_the_order_of_the_parameters() {
    assert_eq!(SendEmail::fields(), ["to", "copies", "locale", "subject", "replyTo"]);
    assert!(Ping::fields().is_empty());
}

#[task(name = "shouted")]
#[serde(rename_all = "camelCase")]
async fn shouted(
    first_name: String,
    r#type: u8,
    #[serde(rename(deserialize = "x"))] last: u8,
    #[serde(flatten)] rest: Value,
) -> gristmill::Result<()> {
    let _ = (first_name, r#type, last, rest);
    Ok(())
}

#[test]
fn positional_names_are_the_ones_that_serde_reads() {
    assert_eq!(Shouted::fields(), ["firstName", "type", "x"]);
    let read: Shouted = serde_json::from_value(json!({"firstName": "a", "type": 1, "x": 2, "more": true})).unwrap();
    assert_eq!((read.first_name.as_str(), read.r#type, read.last), ("a", 1, 2));
    assert_eq!(read.rest, json!({"more": true}));
}

#[test]
fn every_rule_of_serde_renames_fields_alike() {
    macro_rules! check {
        ($($rule:literal $name:literal),*) => {$({
            #[derive(Serialize, Deserialize, JsonSchema, Task)]
            #[task(name = "renamed")]
            #[serde(rename_all = $rule)]
            struct Renamed {
                a_field_2: u8,
            }
            impl Renamed {
                async fn handle(self, _: &Context) -> gristmill::Result<()> {
                    Ok(())
                }
            }
            assert_eq!(Renamed::fields(), [$name]);
            assert_eq!(serde_json::to_value(Renamed { a_field_2: 1 }).unwrap(), json!({ $name: 1 }));
        })*};
    }
    check!("lowercase" "a_field_2", "UPPERCASE" "A_FIELD_2", "PascalCase" "AField2", "camelCase" "aField2",
        "snake_case" "a_field_2", "SCREAMING_SNAKE_CASE" "A_FIELD_2", "kebab-case" "a-field-2", "SCREAMING-KEBAB-CASE" "A-FIELD-2");
}

#[task(
    name = "options.all",
    queue = "mail",
    priority = 9,
    max_attempts = 7,
    max_crashes = 1,
    backoff = exponential("2s", max = "1.5h", jitter = false),
    timeout = "90s",
    kill_after = "500ms",
    expires = "1h30m",
    ack = early,
    retention = "7d",
    large_result = truncate,
    on_error = commit,
    tags = ["a", "b"],
    quiet,
    concurrency = [limit(4, key = "tenant:{tenant}", cost = "{size}", on_excess = keep_newest), limit("{most}")],
    sequence = "account:{tenant}",
    rate(key = "api:{tenant}", limit = "600/h", burst = 5, cost = "{size}"),
    unique(key = "sync:{tenant}", until = "1h", on_conflict = reject),
)]
async fn all_options(tenant: u64, size: u32, most: u32) -> gristmill::Result<()> {
    let _ = (tenant, size, most);
    Ok(())
}

#[test]
fn every_option_reaches_the_policy() {
    assert_eq!(
        AllOptions::policy(),
        Policy {
            queue: "mail".into(),
            priority: 9,
            max_attempts: 7,
            max_crashes: 1,
            backoff: Backoff::Exponential { base: Duration::from_secs(2), max: Duration::from_secs(5400), jitter: false },
            timeout: Some(Duration::from_secs(90)),
            kill_after: Some(Duration::from_millis(500)),
            expires: Some(Duration::from_secs(5400)),
            ack: Ack::Early,
            retention: Retention::For(Duration::from_secs(7 * 86_400)),
            large_result: Oversize::Truncate,
            on_error: OnError::Commit,
            batch: None,
            tags: vec!["a".into(), "b".into()],
            quiet: true,
            concurrency: serde_json::from_value(json!([
                { "key": "tenant:{tenant}", "limit": 4, "cost": "{size}", "on_excess": "keep_newest" },
                { "limit": "{most}" },
                { "key": "account:{tenant}", "limit": 1, "until_ended": true },
            ]))
            .unwrap(),
            rate: serde_json::from_value(json!([{ "key": "api:{tenant}", "limit": "600/h", "burst": 5, "cost": "{size}" }]))
                .unwrap(),
            unique: Some(
                Unique::by("sync:{tenant}".parse().unwrap())
                    .until(Until::For(Duration::from_secs(3600)))
                    .on_conflict(OnConflict::Reject)
            ),
            debounce: None,
        }
    );
    assert_eq!(Ping::policy(), Policy::default());
    assert_eq!(AllOptions::kind().policy, AllOptions::policy());
}

macro_rules! policies {
    ($($test:ident: [$($option:tt)*] => $($field:ident: $value:expr),+;)*) => {$(
        #[test]
        fn $test() {
            #[task(name = "options", $($option)*)]
            async fn one() -> gristmill::Result<()> {
                Ok(())
            }
            assert_eq!(One::policy(), Policy { $($field: $value,)+ ..Policy::default() });
        }
    )*};
}

const NIGHT: &str = "night";
const LONG: Duration = Duration::from_secs(7200);

fn steep() -> Backoff {
    Backoff::Fixed(LONG)
}

policies! {
    a_fixed_backoff: [backoff = fixed("100ms")] => backoff: Backoff::Fixed(Duration::from_millis(100));
    a_list_of_backoffs: [backoff = list("1s", LONG)] => backoff: Backoff::List(vec![Duration::from_secs(1), LONG]);
    an_exponential_backoff_with_defaults: [backoff = exponential("4s")] =>
        backoff: Backoff::Exponential { base: Duration::from_secs(4), max: Duration::from_secs(3600), jitter: true };
    a_computed_backoff: [backoff = self::steep()] => backoff: Backoff::Fixed(LONG);
    no_timeout: [timeout = "none"] => timeout: None;
    no_expiry: [expires = "none", quiet = false] => expires: None;
    no_retention: [retention = "none"] => retention: Retention::None;
    a_unique_key: [unique = "night"] => unique: Some(Unique::by("night".parse().unwrap()));
    one_of_the_type: [unique(until = started)] => unique: Some(Unique::of_type().until(Until::Started));
    one_run_of_all: [unique(on_conflict = collect, key = "a", list = "items")] =>
        unique: Some(Unique::by("a".parse().unwrap()).collect("items"));
    one_more_after_it: [unique(on_conflict = run_after, key = "a")] =>
        unique: Some(Unique::by("a".parse().unwrap()).on_conflict(OnConflict::RunAfter));
    a_rate_of_the_type: [rate = "1000/s"] => rate: vec![Rate::of_type("1000/s".parse().unwrap())];
    a_window: [rate(strategy = sliding_window, limit = "5/30s")] =>
        rate: vec![Rate { strategy: Strategy::SlidingWindow, ..Rate::of_type("5/30s".parse().unwrap()) }];
    computed_rates: [rate = vec![Rate::of("a".parse().unwrap(), "1/s".parse().unwrap())]] =>
        rate: vec![Rate::of("a".parse().unwrap(), "1/s".parse().unwrap())];
    retention_for_ever: [retention = "forever"] => retention: Retention::Forever;
    words_of_the_defaults: [ack = late, large_result = fail, on_error = rollback] =>
        ack: Ack::Late, large_result: Oversize::Fail, on_error: OnError::Rollback;
    expressions: [queue = NIGHT, priority = 4 + 5, timeout = LONG, ack = Ack::Early, retention = Retention::For(LONG), tags = [NIGHT, "b"]] =>
        queue: "night".into(), priority: 9, timeout: Some(LONG), ack: Ack::Early, retention: Retention::For(LONG),
        tags: vec!["night".into(), "b".into()];
}

#[derive(Serialize, Deserialize, JsonSchema, Task)]
#[task(name = "image.resize", state = Mailer, output = u64)]
#[task(queue = "images", timeout = "2m")]
struct Resize {
    image: String,
    #[serde(default)]
    width: Option<u32>,
    #[serde(skip)]
    seen: bool,
}

impl Resize {
    async fn handle(self, cx: &Context<Mailer>) -> gristmill::Result<u64> {
        assert!(!self.seen);
        Ok(self.width.map_or(640, u64::from) + u64::try_from(cx.state.from.len() + self.image.len())?)
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Task)]
#[task(name = "tick")]
struct Tick {}

impl Tick {
    async fn handle(self, _: &Context) -> Result<(), std::io::Error> {
        Err(std::io::Error::other("no tock"))
    }
}

#[tokio::test]
async fn a_struct_is_a_task() {
    assert_eq!(Resize::NAME, "image.resize");
    assert_eq!(Resize::fields(), ["image", "width"]);
    assert_eq!(Resize::policy(), Policy { queue: "images".into(), timeout: Some(Duration::from_secs(120)), ..Policy::default() });
    let client = client().await;
    assert_eq!(client.call(Resize { image: "a".into(), width: None, seen: true }).await.unwrap(), 643);
    assert_eq!(failure(client.call(Tick {}).await).message, "no tock");
}

mod elsewhere {
    pub(crate) use gristmill as mill;

    #[mill::task(name = "elsewhere", crate = mill)]
    pub(crate) async fn go(n: u8) -> mill::Result<u8> {
        Ok(n)
    }

    #[mill::task(name = "elsewhere.quoted", crate = "self::mill")]
    pub(crate) async fn quoted(n: u8) -> mill::Result<u8> {
        Ok(n)
    }
}

#[tokio::test]
async fn the_struct_is_as_visible_as_the_function_and_the_crate_may_have_another_name() {
    assert_eq!(elsewhere::Go { n: 3 }.n, elsewhere::go(3).await.unwrap());
    assert_eq!((elsewhere::Go::NAME, elsewhere::Quoted::NAME), ("elsewhere", "elsewhere.quoted"));
}

macro_rules! tasks_by_macro {
    ($name:literal $function:ident $ty:ty, $timeout:expr) => {
        #[task(name = $name, timeout = $timeout)]
        async fn $function(cx: &Context<$ty>, n: u8) -> gristmill::Result<u8> {
            Ok(n + cx.state)
        }
    };
}
tasks_by_macro!("by.macro" by_macro u8, "3s");

#[test]
fn a_macro_can_write_tasks() {
    assert_eq!((ByMacro::NAME, ByMacro { n: 1 }.n), ("by.macro", 1));
    assert_eq!(ByMacro::policy().timeout, Some(Duration::from_secs(3)));
}

#[task(name = "never")]
#[cfg(any())]
async fn never(missing: DoesNotExist) -> gristmill::Result<()> {}

#[test]
fn mistakes_are_told_in_one_line_at_the_right_place() {
    trybuild::TestCases::new().compile_fail("tests/it/ui/*.rs");
}

/// What another program runs, as one that only enqueues it has it.
mod payload {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Task)]
    #[task(name = "report.build", queue = "reports", output = u64, elsewhere)]
    pub(super) struct BuildReport {
        pub(super) year: u32,
    }
}

#[task(name = "report.build", queue = "reports")]
async fn build_report(year: u32) -> gristmill::Result<u64> {
    Ok(year.into())
}

#[tokio::test]
async fn a_payload_type_needs_no_handler() {
    let store = MemoryStore::new(gristmill::core::Env::system());
    let web = App::new(()).declare::<payload::BuildReport>().with_store(store.clone()).await.unwrap();
    let ordered = web.enqueue(payload::BuildReport { year: 2027 }).await.unwrap();
    assert!(web.worker().start().await.is_err(), "it has nothing to run");
    let other = App::new(()).register::<BuildReport>().with_store(store).await.unwrap();
    let worker = other.worker().queue("reports", 1).drain(true).start().await.unwrap();
    assert_eq!(worker.ended().await.succeeded, 1);
    assert_eq!(ordered.result().await.unwrap(), 2027);
    let error = App::new(()).register::<payload::BuildReport>().mistake().unwrap().to_string();
    assert!(error.contains("its code is in another program") && error.contains("App::declare"), "{error}");
}
