//! What durable steps go through on a server beyond what every store promises: open transactions, both orders of a race, crashes, damage.

use std::time::Duration;

use gristmill_core::durable::{
    Checkpoint, Due, Durable as _, Kept, MISMATCH_AT, Memory, Mismatch, NewEvent, Resume, Resumed, Sent,
};
use gristmill_core::workflow::{Started, WorkflowState, Workflows as _};
use gristmill_core::{
    CancelOutcome, Ending, Env, Failure, FailureReason, LeaseRef, NewTask, Overrides, Retention, Settled, Settlement, Severity,
    Source, State, Store, StoreErrorKind, TaskId, Wake, WorkflowId,
};
use gristmill_postgres::PostgresStore;

use crate::common::{Schema, client, step, task, workflow};
use crate::workflows::{House, STILL, cancels, claim, enter, within};

/// Far beyond what anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn event(name: &str) -> NewEvent {
    NewEvent::new(name, "7").unwrap()
}

pub(crate) fn remembers(kept: Kept) -> Memory {
    Memory { position: 0, name: "w".to_owned(), occurrence: 0, kept }
}

pub(crate) fn awaits(name: &str) -> Memory {
    remembers(Kept::Event { name: name.to_owned(), until: None })
}

pub(crate) fn to_wait(lease: LeaseRef, memory: Memory) -> Checkpoint {
    Checkpoint { memories: vec![memory], suspend: Some(Due::Never), ..Checkpoint::new(lease) }
}

impl House {
    pub(crate) async fn claimed(&self, over: Overrides) -> LeaseRef {
        let new = task(&self.env, "mail", over);
        self.store.enqueue(vec![new.clone()]).await.unwrap();
        // Whatever else is there is claimed with it.
        let claimed = self.claim(100).await;
        claimed.iter().map(|claimed| claimed.lease).find(|lease| lease.id == new.id).unwrap()
    }

    pub(crate) async fn waits_for(&self, name: &str) -> TaskId {
        let lease = self.claimed(Overrides::default()).await;
        let settled = within(self.store.checkpoint(to_wait(lease, awaits(name)))).await.unwrap();
        assert_eq!(settled, Settled::Done(State::Scheduled));
        lease.id
    }

    /// A task that waits for a workflow of one member, which is ready.
    pub(crate) async fn waits_for_workflow(&self) -> (TaskId, WorkflowId) {
        let new = workflow(&self.env, None, vec![step("a", 1, &[])]);
        let of = new.id;
        let lease = self.claimed(Overrides::default()).await;
        let checkpoint = Checkpoint { workflow: Some(Box::new(new)), ..to_wait(lease, remembers(Kept::Workflow(of))) };
        assert_eq!(self.store.checkpoint(checkpoint).await.unwrap(), Settled::Done(State::Scheduled));
        (lease.id, of)
    }

    pub(crate) async fn state(&self, id: TaskId) -> State {
        self.store.get(id).await.unwrap().unwrap().state
    }

    pub(crate) async fn kept(&self, id: TaskId) -> Vec<Kept> {
        self.store.memories(id).await.unwrap().kept.into_iter().map(|memory| memory.kept).collect()
    }

    pub(crate) async fn count(&self, from: &str) -> i64 {
        self.sql.query_one(&format!("SELECT count(*) FROM {from}"), &[]).await.unwrap().get(0)
    }
}

pub(crate) fn value() -> Vec<Kept> {
    vec![Kept::Value("7".to_owned())]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_in_an_open_transaction_holds_up_nobody_and_arrives_at_the_commit() {
    let house = House::new().await;
    let first = house.waits_for("go").await;
    let sender = house.open("SELECT send_event('go', '7')").await;
    // Who comes to wait, who is cancelled, other events, and the housekeeping.
    let second = house.waits_for("go").await;
    let third = house.waits_for("go").await;
    assert_eq!(within(house.store.cancel(&[third])).await.unwrap(), [CancelOutcome::Cancelled]);
    assert_eq!(within(house.store.send_event(event("other"))).await.unwrap(), Sent::Stored);
    house.sweep().await;
    assert_eq!([house.state(first).await, house.state(second).await], [State::Scheduled; 2], "nothing is committed");
    sender.batch_execute("COMMIT").await.unwrap();
    house.sweep().await;
    for id in [first, second] {
        assert_eq!((house.state(id).await, house.kept(id).await), (State::Ready, value()));
    }
    assert_eq!(house.state(third).await, State::Cancelled);
    assert_eq!(house.count("event WHERE NOT told").await, 0, "it is not looked at again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_rolled_back_arrives_never() {
    let house = House::new().await;
    let id = house.waits_for("go").await;
    let sender = house.open("SELECT send_event('go', '7')").await;
    sender.batch_execute("ROLLBACK").await.unwrap();
    house.sweep().await;
    assert_eq!(house.state(id).await, State::Scheduled);
    assert_eq!(house.store.send_event(event("go")).await.unwrap(), Sent::Stored, "there is none yet");
    assert_eq!((house.state(id).await, house.kept(id).await), (State::Ready, value()));
}

/// Only who needs the very same name waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_senders_at_once_the_second_learns_who_was_first() {
    let house = House::new().await;
    for (end, answer) in [("COMMIT", "exists"), ("ROLLBACK", "stored")] {
        let name = format!("go {end}");
        let first = house.open(&format!("SELECT send_event('{name}', '1')")).await;
        let second = client().await;
        second.batch_execute(&format!("SET search_path = {}", house.schema.0)).await.unwrap();
        let pid: i32 = second.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        let sent = tokio::spawn(async move {
            second.query_one("SELECT send_event($1, '2')", &[&name]).await.map(|row| row.get::<_, String>(0))
        });
        waits_for_a_lock(&house, pid).await;
        first.batch_execute(end).await.unwrap();
        assert_eq!(within(sent).await.unwrap().unwrap(), answer);
    }
}

async fn waits_for_a_lock(house: &House, pid: i32) {
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock')";
    within(async { while !house.sql.query_one(waits, &[&pid]).await.unwrap().get::<_, bool>(0) {} }).await;
}

/// A suspension that has looked already, and is not committed yet: it waits for the body of its task, which it writes after the look.
struct Held {
    holder: tokio_postgres::Client,
    suspends: tokio::task::JoinHandle<Settled>,
    id: TaskId,
}

impl Held {
    async fn new(house: &House, lease: LeaseRef, memory: Memory) -> Self {
        let id = lease.id.as_uuid();
        let holder = house.open(&format!("SELECT FROM task WHERE id = '{id}' FOR UPDATE")).await;
        let (store, schema) = (house.store.clone(), house.schema.0.clone());
        let suspends = tokio::spawn(async move { store.checkpoint(to_wait(lease, memory)).await.unwrap() });
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND strpos(query, $1) > 0
                       AND strpos(query, 'SET expires_at = NULL') > 0)";
        within(async { while !house.sql.query_one(waits, &[&schema]).await.unwrap().get::<_, bool>(0) {} }).await;
        Self { holder, suspends, id: lease.id }
    }

    async fn go_on(self) -> TaskId {
        self.holder.batch_execute("ROLLBACK").await.unwrap();
        assert!(matches!(within(self.suspends).await.unwrap(), Settled::Done(_)));
        self.id
    }
}

fn expires() -> Overrides {
    Overrides { expires: Some(Duration::from_secs(3_600)), ..Overrides::default() }
}

/// Nobody sweeps: whoever comes to wait looks once more after his commit.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_between_a_look_and_its_commit_is_found() {
    let house = House::new().await;
    let lease = house.claimed(expires()).await;
    let held = Held::new(&house, lease, awaits("go")).await;
    assert_eq!(within(house.store.send_event(event("go"))).await.unwrap(), Sent::Stored);
    assert_eq!(house.count("event WHERE told").await, 1, "nobody was seen who waits");
    let id = held.go_on().await;
    assert_eq!((house.state(id).await, house.kept(id).await), (State::Ready, value()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_ends_between_a_look_and_its_commit_is_found() {
    let house = House::new().await;
    let lease = house.claimed(expires()).await;
    let new = workflow(&house.env, None, vec![step("a", 1, &[])]);
    assert_eq!(house.store.start_workflow(new.clone()).await.unwrap(), Started::Created);
    let held = Held::new(&house, lease, remembers(Kept::Workflow(new.id))).await;
    house.succeed(house.claim(1).await).await;
    assert_eq!(house.store.workflow(new.id).await.unwrap().unwrap().state, WorkflowState::Succeeded);
    let id = held.go_on().await;
    assert_eq!(house.state(id).await, State::Ready);
}

/// As when a process dies between its commit and what follows from it, and whatever else loses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_makes_good_a_wake_up_that_was_lost() {
    let house = House::new().await;
    let event = house.waits_for("go").await;
    house.run("INSERT INTO event(name, payload, sent_at, keep_until, told) VALUES ('go', '7', 0, 9000000000000, true)").await;
    let (ended, _) = house.waits_for_workflow().await;
    house.run("UPDATE workflow SET ended = 1, finished_at = 0").await;
    house.sweep().await;
    assert_eq!((house.state(event).await, house.kept(event).await), (State::Ready, value()));
    assert_eq!(house.state(ended).await, State::Ready);
    let (gone, _) = house.waits_for_workflow().await;
    house.run("DELETE FROM workflow").await;
    house.sweep().await;
    assert_eq!(house.state(gone).await, State::Ready);
    // What is damaged stands in nobody's way.
    let (damaged, behind) = (house.waits_for("damaged").await, house.waits_for("other").await);
    house.run("UPDATE memory SET awaits = 'a' WHERE awaits = 'event:damaged'").await;
    house.run("INSERT INTO event(name, payload, sent_at, keep_until, told) VALUES ('other', '7', 0, 9000000000000, true)").await;
    house.sweep().await;
    assert_eq!((house.state(damaged).await, house.state(behind).await), (State::Scheduled, State::Ready));
}

/// A program that is slow to come back to its task after it was told of the end would else be told again and again, and not wait between its
/// attempts.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_workflow_is_told_once() {
    let house = House::new().await;
    let (id, _) = house.waits_for_workflow().await;
    let member = house.claim(1).await;
    house.succeed(member).await;
    let again = house.claim(1).await;
    assert_eq!(again[0].lease.id, id);
    let retry = Settlement::new(again[0].lease, Ending::Retry { delay: Duration::from_secs(600) });
    assert_eq!(house.store.settle(vec![retry]).await.unwrap(), [Settled::Done(State::Scheduled)]);
    house.sweep().await;
    assert_eq!(house.state(id).await, State::Scheduled, "it waits for its time");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whom_somebody_has_in_hand_holds_up_no_other_who_waits() {
    let house = House::new().await;
    let (held, free) = (house.waits_for("go").await, house.waits_for("go").await);
    let somebody = house.open(&cancels(held)).await;
    assert_eq!(within(house.store.send_event(event("go"))).await.unwrap(), Sent::Stored);
    assert_eq!((house.state(held).await, house.state(free).await), (State::Scheduled, State::Ready));
    house.sweep().await;
    somebody.batch_execute("ROLLBACK").await.unwrap();
    house.sweep().await;
    assert_eq!((house.state(held).await, house.kept(held).await), (State::Ready, value()));
    assert_eq!(house.count("event WHERE NOT told").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_who_wait_for_one_event_all_go_on() {
    const MANY: i64 = 6_500;
    let house = House::new().await;
    let one = house.waits_for("go").await;
    // As many more, of which nothing else is there.
    let more = "WITH ids AS (SELECT gen_random_uuid() AS id, n FROM generate_series(1, $1::bigint) AS n), rows AS (
                  INSERT INTO scheduled(id, seq, queue, kind, attempt, claim_no, crashes, priority, flags, run_at)
                  SELECT i.id, 100000 + i.n, s.queue, s.kind, 0, 1, 0, 4, 0, s.run_at FROM ids i CROSS JOIN scheduled s)
                INSERT INTO memory(task, seq, claim_no, position, occurrence, code, name, text, awaits)
                SELECT i.id, 100000 + i.n, 1, 0, 0, 4, m.name, m.text, m.awaits FROM ids i CROSS JOIN memory m";
    house.sql.execute(more, &[&(MANY - 1)]).await.unwrap();
    assert_eq!(within(house.store.send_event(event("go"))).await.unwrap(), Sent::Stored);
    // The last of them apart from the sender.
    within(async { while house.count("memory WHERE awaits IS NOT NULL").await > 0 {} }).await;
    assert_eq!(house.state(one).await, State::Ready);
    assert_eq!((house.count("scheduled").await, house.count("ready").await), (0, MANY));
}

/// Cancelled once, and not again when it is retried.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_ended_waits_no_longer() {
    let house = House::new().await;
    let waits = house.waits_for("go").await;
    let (id, of) = house.waits_for_workflow().await;
    house.store.cancel(&[id, waits]).await.unwrap();
    house.sweep().await;
    assert_eq!(house.store.workflow(of).await.unwrap().unwrap().state, WorkflowState::Cancelled);
    assert_eq!(house.count("memory WHERE awaits IS NOT NULL").await, 0);
    // It still remembers it, and waits for it if it comes to that again.
    house.store.retry(&[waits]).await.unwrap();
    let lease = house.claim(1).await[0].lease;
    let settled = house.store.checkpoint(to_wait(lease, awaits("go"))).await.unwrap();
    assert_eq!(settled, Settled::Done(State::Scheduled));
    assert_eq!(house.store.send_event(event("go")).await.unwrap(), Sent::Stored);
    assert_eq!(house.state(waits).await, State::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_read_is_said_with_its_task_and_step() {
    let house = House::new().await;
    let id = house.waits_for("go").await;
    for damage in ["code = 99", "code = 1, text = '{'", "code = 6, text = 'no id'", "code = 3, until = NULL"] {
        house.run(&format!("UPDATE memory SET {damage}")).await;
        let error = house.store.memories(id).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(&id.to_string()) && error.to_string().contains("step 0"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_kept_is_refused() {
    let house = House::new().await;
    let lease = house.claimed(Overrides::default()).await;
    for memory in [Memory { name: "a\0".to_owned(), ..awaits("go") }, awaits("g\0")] {
        let checkpoint = Checkpoint { memories: vec![memory], ..Checkpoint::new(lease) };
        let error = house.store.checkpoint(checkpoint).await.unwrap_err();
        assert!(error.kind() == StoreErrorKind::Invalid && error.to_string().contains("NUL"), "{error}");
    }
    assert!(house.store.list_events(Some("a\0"), None, 1).await.unwrap().items.is_empty());
    assert!(house.store.list_waiters(Some("a\0"), 1).await.unwrap().is_empty());
    let escaped = NewEvent::new("escaped", r#""a\u0000b""#).unwrap();
    assert_eq!(house.store.send_event(escaped).await.unwrap(), Sent::Stored);
    let kept = house.store.list_events(Some("escaped"), None, 1).await.unwrap();
    assert_eq!(kept.items[0].payload, r#""a\u0000b""#, "as it was sent");
}

/// As with a key that is an id, and nothing kept of what succeeded.
#[tokio::test(flavor = "multi_thread")]
async fn another_task_with_the_same_id_remembers_nothing_of_the_one_before() {
    let house = House::new().await;
    let new = NewTask { retention: Retention::None, ..task(&house.env, "mail", Overrides::default()) };
    for _ in 0..2 {
        house.store.enqueue(vec![new.clone()]).await.unwrap();
        let claimed = house.claim(1).await;
        assert_eq!(house.kept(new.id).await, []);
        let memories = vec![remembers(Kept::Value("1".to_owned()))];
        house.store.checkpoint(Checkpoint { memories, ..Checkpoint::new(claimed[0].lease) }).await.unwrap();
        house.succeed(claimed).await;
    }
    let kept = house.waits_for("go").await;
    for _ in 0..3 {
        house.time.advance(STILL);
        house.store.prune(1_000).await.unwrap();
    }
    assert_eq!(house.count("memory").await, 1, "what is left of those that are gone goes");
    assert_eq!(house.store.delete(&[kept]).await.unwrap(), [gristmill_core::DeleteOutcome::NotEnded]);
    assert_eq!(house.kept(kept).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_deleted_when_their_time_is_over() {
    let house = House::new().await;
    house.store.send_event(event("short").kept_for(Duration::from_secs(5))).await.unwrap();
    house.store.send_event(event("long")).await.unwrap();
    house.time.advance(STILL);
    house.store.prune(1_000).await.unwrap();
    let names = house.store.list_events(None, None, 10).await.unwrap().items.into_iter().map(|event| event.name);
    assert_eq!(names.collect::<Vec<_>>(), ["long"]);
    assert_eq!(house.count("event").await, 1);
}

/// A request to stop it is written while its handler has the lease in hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_kept_while_somebody_is_about_to_cancel_its_task() {
    let house = House::new().await;
    let lease = house.claimed(Overrides::default()).await;
    let somebody = house.open(&cancels(lease.id)).await;
    let memories = vec![remembers(Kept::Value("1".to_owned()))];
    let kept = within(house.store.checkpoint(Checkpoint { memories, ..Checkpoint::new(lease) })).await.unwrap();
    assert_eq!(kept, Settled::Done(State::Running));
    somebody.batch_execute("COMMIT").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_of_those_who_were_not_told() {
    let house = House::new().await;
    let told = async || {
        let findings = house.store.check().await.unwrap();
        findings.into_iter().find(|finding| finding.code == "waits").unwrap()
    };
    house.waits_for_workflow().await;
    assert_eq!(told().await.severity, Severity::Ok);
    let now = house.env.now().as_millis();
    house.run(&format!("INSERT INTO event(name, payload, sent_at, keep_until) VALUES ('go', '7', {now}, 9000000000000)")).await;
    house.run(&format!("UPDATE workflow SET ended = 1, finished_at = {now}")).await;
    assert_eq!(told().await.severity, Severity::Ok, "that is soon enough");
    house.time.advance(2 * STILL);
    let finding = told().await;
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.message.starts_with("1 events were sent, and 1 workflows"), "{}", finding.message);
    house.sweep().await;
    assert_eq!(told().await.severity, Severity::Ok);
}

fn at(position: u32, kept: Kept) -> Memory {
    Memory { position, name: format!("step {position}"), occurrence: 0, kept }
}

/// What has ended is left in its memory where a handler went on without it: it would go on again and again, and never wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_waits_for_what_it_brings_alone() {
    let house = House::new().await;
    let (id, _) = house.waits_for_workflow().await;
    house.succeed(house.claim(1).await).await;
    let lease = house.claim(1).await[0].lease;
    assert_eq!(lease.id, id);
    let settled = house.store.checkpoint(to_wait(lease, at(1, awaits("go").kept))).await.unwrap();
    assert_eq!(settled, Settled::Done(State::Scheduled));
    house.sweep().await;
    assert_eq!(house.state(id).await, State::Scheduled);
    house.store.send_event(event("go")).await.unwrap();
    assert_eq!(house.state(id).await, State::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_its_task_waits_for_no_longer_is_cancelled_with_it() {
    let house = House::new().await;
    let new = workflow(&house.env, None, vec![step("a", 1, &[])]);
    let of = new.id;
    let lease = house.claimed(Overrides::default()).await;
    let begun =
        Checkpoint { memories: vec![remembers(Kept::Workflow(of))], workflow: Some(Box::new(new)), ..Checkpoint::new(lease) };
    assert_eq!(house.store.checkpoint(begun).await.unwrap(), Settled::Done(State::Running));
    house.store.checkpoint(to_wait(lease, at(1, awaits("go").kept))).await.unwrap();
    house.sweep().await;
    assert_eq!(house.store.workflow(of).await.unwrap().unwrap().state, WorkflowState::Running);
    house.store.cancel(&[lease.id]).await.unwrap();
    house.sweep().await;
    assert_eq!(house.store.workflow(of).await.unwrap().unwrap().state, WorkflowState::Cancelled);
    assert_eq!(house.count("memory WHERE child OR awaits IS NOT NULL").await, 0, "it was seen to");
}

/// What code did because of a failure is not done again, nor looked for at the wrong place.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_task_tries_again_when_it_is_retried_by_hand() {
    let house = House::new().await;
    let failed = || Kept::Failed(Failure::new(FailureReason::Error, "no"));
    let child = || {
        let new = workflow(&house.env, None, vec![step("a", 1, &[])]);
        (new.id, new)
    };
    for (ending, goes_on) in [(Ending::Failed, true), (Ending::Failed, false), (Ending::Succeeded, true)] {
        let succeeds = ending == Ending::Succeeded;
        let lease = house.claimed(Overrides::default()).await;
        let (of, new) = child();
        let memories = vec![
            at(0, failed()),
            at(1, Kept::Value("1".to_owned())),
            at(2, failed()),
            at(3, Kept::TimedOut),
            at(4, Kept::Workflow(of)),
            at(5, Kept::Patched),
        ];
        house.store.checkpoint(Checkpoint { memories, workflow: Some(Box::new(new)), ..Checkpoint::new(lease) }).await.unwrap();
        house.store.settle(vec![Settlement::new(lease, ending)]).await.unwrap();
        if !goes_on {
            house.store.order_workflow(of, gristmill_core::workflow::Order::Cancel).await.unwrap();
        }
        house.store.retry(&[lease.id]).await.unwrap();
        let mut left = vec![failed(), Kept::Value("1".to_owned()), Kept::Workflow(of), Kept::Patched];
        if !goes_on {
            left.remove(2);
        }
        assert_eq!(house.kept(lease.id).await, if succeeds { Vec::new() } else { left });
    }
}

/// As it is sent in time, and told late: nobody tells here.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_sent_in_time_has_not_timed_out() {
    let house = House::new().await;
    let until = house.env.now();
    let lease = house.claimed(Overrides::default()).await;
    let kept = Kept::Event { name: "go".to_owned(), until: Some(until) };
    house.store.checkpoint(to_wait(lease, remembers(kept.clone()))).await.unwrap();
    let sent = until.as_millis();
    house.time.advance(Duration::from_secs(1));
    house
        .run(&format!("INSERT INTO event(name, payload, sent_at, keep_until) VALUES ('go', '7', {sent} + 1, 9000000000000)"))
        .await;
    assert_eq!(house.kept(lease.id).await, [kept]);
    house.run(&format!("UPDATE event SET sent_at = {sent}")).await;
    assert_eq!(house.kept(lease.id).await, value());
    house.sweep().await;
    house.claim(1).await;
    assert_eq!(house.kept(lease.id).await, value(), "it has come");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_to_wait_does_not_forget_what_he_was_told() {
    let house = House::new().await;
    let id = house.waits_for("go").await;
    house.store.send_event(event("go").kept_for(Duration::ZERO)).await.unwrap();
    house.run("DELETE FROM event").await;
    house.run("UPDATE memory SET code = 0, text = '7', awaits = NULL").await;
    house.run("UPDATE scheduled SET run_at = 0").await;
    house.sweep().await;
    let lease = house.claim(1).await[0].lease;
    assert_eq!(house.store.checkpoint(to_wait(lease, awaits("go"))).await.unwrap(), Settled::Done(State::Ready));
    assert_eq!(house.kept(id).await, value());
    // Another step at its place is another step.
    let lease = house.claim(1).await[0].lease;
    let other = Memory { name: "other".to_owned(), ..awaits("go") };
    assert_eq!(house.store.checkpoint(to_wait(lease, other.clone())).await.unwrap(), Settled::Done(State::Scheduled));
    assert_eq!(house.kept(id).await, [other.kept]);
}

/// The answer was lost, and what came with it is over and gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_is_repeated_brings_nothing_again() {
    let house = House::new().await;
    let lease = house.claimed(Overrides::default()).await;
    let child = NewTask { retention: Retention::None, ..task(&house.env, "mail", Overrides::default()) };
    let memories = vec![remembers(Kept::Value("1".to_owned()))];
    let checkpoint = Checkpoint { memories, children: vec![child].into(), ..Checkpoint::new(lease) };
    for _ in 0..2 {
        assert_eq!(house.store.checkpoint(checkpoint.clone()).await.unwrap(), Settled::Done(State::Running));
        house.succeed(house.claim(1).await).await;
    }
    assert_eq!(house.count("task").await, 1, "it ran once");
    assert_eq!(house.count("ready").await, 0);
    // What was not remembered is something else.
    let memories = vec![at(1, Kept::Value("1".to_owned()))];
    house.store.checkpoint(Checkpoint { memories, ..checkpoint }).await.unwrap();
    assert_eq!(house.count("ready").await, 1);
}

fn mismatch(position: u32) -> Memory {
    let mismatch = Mismatch { position, expected: "a".to_owned(), found: None, fails: false };
    Memory { position: MISMATCH_AT, name: "mismatch".to_owned(), occurrence: 0, kept: Kept::Mismatch(mismatch) }
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_that_a_task_is_to_forget_are_cancelled() {
    let house = House::new().await;
    let mut of = Vec::new();
    let lease = house.claimed(Overrides::default()).await;
    for position in 0..3 {
        let new = workflow(&house.env, None, vec![step("a", 1, &[])]);
        of.push(new.id);
        let memories = vec![at(position, Kept::Workflow(new.id))];
        house.store.checkpoint(Checkpoint { memories, workflow: Some(Box::new(new)), ..Checkpoint::new(lease) }).await.unwrap();
    }
    // One that can't be read stands in nobody's way.
    house.sql.execute("UPDATE step SET spec = '{}' WHERE workflow = $1", &[&of[2].as_uuid()]).await.unwrap();
    house.store.checkpoint(to_wait(lease, mismatch(1))).await.unwrap();
    assert_eq!(house.store.resume_task(lease.id, Resume::Forget).await.unwrap(), Resumed::Done);
    house.sweep().await;
    for (id, state) in of.iter().zip([WorkflowState::Running, WorkflowState::Cancelled]) {
        assert_eq!(house.store.workflow(*id).await.unwrap().unwrap().state, state);
    }
    assert_eq!(house.kept(lease.id).await, [Kept::Workflow(of[0])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_task_that_stands_still_is_resumed() {
    let house = House::new().await;
    let lease = house.claimed(Overrides::default()).await;
    let resume = async || house.store.resume_task(lease.id, Resume::Forget).await.unwrap();
    house.store.checkpoint(to_wait(lease, mismatch(0))).await.unwrap();
    assert_eq!(house.store.resume_task(lease.id, Resume::Fail).await.unwrap(), Resumed::Done);
    assert_eq!(resume().await, Resumed::NotPaused, "it is ready");
    let claimed = house.claim(1).await[0].lease;
    assert_eq!(resume().await, Resumed::NotPaused, "it runs");
    let retry = Settlement::new(claimed, Ending::Retry { delay: Duration::from_secs(600) });
    house.store.settle(vec![retry]).await.unwrap();
    assert_eq!(resume().await, Resumed::NotPaused, "it is to try again later");
    house.store.cancel(&[lease.id]).await.unwrap();
    assert_eq!(resume().await, Resumed::NotPaused, "it has ended");
    assert_eq!(house.kept(lease.id).await.len(), 1, "nothing was forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_does_not_cut_short_the_wait_before_another_attempt() {
    let house = House::new().await;
    let id = house.waits_for("go").await;
    house.run("UPDATE scheduled SET run_at = 0").await;
    house.sweep().await;
    let retry = Settlement::new(house.claim(1).await[0].lease, Ending::Retry { delay: Duration::from_secs(600) });
    house.store.settle(vec![retry]).await.unwrap();
    house.store.send_event(event("go")).await.unwrap();
    house.sweep().await;
    assert_eq!((house.state(id).await, house.kept(id).await), (State::Scheduled, value()));
    assert_eq!(house.count("event WHERE NOT told").await, 0);
}

/// Nobody sweeps or promotes: whoever waits for something to do sees the commit, directly and behind a pooler.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_from_sql_is_told_by_whoever_waits_for_tasks() {
    for pooled in [false, true] {
        let (schema, env) = (Schema::new(), Env::system());
        let url = if pooled { schema.pooled_url("&pgbouncer=true") } else { schema.url("") };
        let store = PostgresStore::connect(&url, env.clone()).await.unwrap();
        let worker = enter(&*store, &env).await;
        store.enqueue(vec![task(&env, "mail", Overrides::default())]).await.unwrap();
        let lease = claim(&*store, &env, worker, 1).await[0].lease;
        assert_eq!(store.checkpoint(to_wait(lease, awaits("go"))).await.unwrap(), Settled::Done(State::Scheduled));
        assert!(claim(&*store, &env, worker, 1).await.is_empty());
        let sql = client().await;
        let told = async {
            let mut sent = false;
            loop {
                if let Some(claimed) = claim(&*store, &env, worker, 1).await.pop() {
                    return claimed;
                }
                if !std::mem::replace(&mut sent, true) {
                    sql.batch_execute(&format!("SELECT {}.send_event('go', '7')", schema.0)).await.unwrap();
                }
                store.wait(Wake::Ready, DEADLINE).await;
            }
        };
        assert_eq!(within(told).await.lease.id, lease.id);
    }
}

/// However many wait, and for whatever else.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_found_by_an_index() {
    let house = House::new().await;
    house
        .run(
            "INSERT INTO memory(task, seq, claim_no, position, occurrence, code, child, name, text, awaits)
               SELECT gen_random_uuid(), n, 1, 0, 0, CASE WHEN n % 10 = 0 THEN 4 ELSE 0 END, n % 10 = 1, 'w', n::text,
                 CASE WHEN n % 10 = 0 THEN 'event:' || n END FROM generate_series(1, 5000) AS n",
        )
        .await;
    house.run("INSERT INTO event(name, payload, sent_at, keep_until, told) SELECT n::text, '1', 0, n, true FROM generate_series(1, 5000) AS n")
        .await;
    house
        .sql
        .batch_execute(
            "ANALYZE memory; ANALYZE event; SET enable_seqscan = off; SET enable_sort = off;
                             SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off",
        )
        .await
        .unwrap();
    let nil = "'00000000-0000-0000-0000-000000000000'";
    let plans = [
        (include_str!("../../queries/wait_look.sql"), "text[]", "ARRAY['event:10']".to_owned(), "memory_awaits"),
        (
            include_str!("../../queries/wait_heard.sql"),
            "text[], uuid[], bigint",
            format!("ARRAY['event:10'], ARRAY[{nil}::uuid], 10"),
            "memory_awaits",
        ),
        (
            include_str!("../../queries/wait_walk.sql"),
            "text, uuid, text, bigint",
            format!("'', {nil}, 'workflow:', 10"),
            "memory_awaits",
        ),
        (include_str!("../../queries/child_walk.sql"), "uuid, integer, bigint", format!("{nil}, 0, 10"), "memory_child"),
        (
            include_str!("../../queries/waiter_list.sql"),
            "text, text, uuid, bigint",
            format!("'event;', '', {nil}, 10"),
            "memory_awaits",
        ),
        (
            include_str!("../../queries/memory_told.sql"),
            "bigint, text[], text[], uuid[]",
            format!("1, ARRAY['event:10'], ARRAY['10'], ARRAY[{nil}::uuid]"),
            "memory_awaits",
        ),
        (
            include_str!("../../queries/memory_disarm.sql"),
            "text[], uuid[]",
            format!("ARRAY['event:10'], ARRAY[{nil}::uuid]"),
            "memory_awaits",
        ),
        (include_str!("../../queries/memory_tasks.sql"), "uuid, bigint", format!("{nil}, 10"), "memory_pkey"),
        (
            include_str!("../../queries/wait_came.sql"),
            "bigint, text[], uuid[]",
            format!("1, ARRAY['10'], ARRAY[{nil}::uuid]"),
            "event_name_key",
        ),
        (
            include_str!("../../queries/event_told.sql"),
            "text[], text[]",
            "ARRAY['event:10'], ARRAY['10']".to_owned(),
            "event_name_key",
        ),
        (include_str!("../../queries/event_untold.sql"), "bigint, bigint", "0, 10".to_owned(), "event_untold"),
        (include_str!("../../queries/event_prune.sql"), "bigint, bigint", "1, 10".to_owned(), "event_keep"),
    ];
    for (n, (text, types, params, index)) in plans.into_iter().enumerate() {
        let body: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
        let body = body.join("\n").replace("{s}", &house.schema.0).replace("{now}", "$1");
        house
            .sql
            .batch_execute(&format!("SET plan_cache_mode = force_generic_plan; PREPARE q{n}({types}) AS {body}"))
            .await
            .unwrap();
        let rows = house.sql.query(&format!("EXPLAIN EXECUTE q{n}({params})"), &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{text}\n{plan}");
    }
}
