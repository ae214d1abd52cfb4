use std::collections::BTreeMap;

use super::*;
use crate::concurrency::{Limit, Pace};
use crate::workflow::{Needs, StepEnd, StepRecord, StepRow, StepSpec, StepState, Tolerance};
use crate::{AttemptRecord, Env, TaskMeta};

fn task(state: State) -> TaskRecord {
    let at = Timestamp::from_millis(1_000);
    TaskRecord {
        id: Env::system().task_id(),
        kind: "mail.send".to_owned(),
        queue: "mail".to_owned(),
        state,
        attempt: 0,
        max_attempts: 1,
        max_crashes: 1,
        crashes: 0,
        priority: 5,
        args: "{}".to_owned(),
        result: None,
        error: None,
        created_at: at,
        run_at: at,
        ended_at: state.is_final().then_some(at),
        cancel_requested: false,
        meta: TaskMeta::default(),
        attempts: Vec::new(),
    }
}

fn after(state: AttemptState, mut task: TaskRecord) -> TaskRecord {
    task.attempts.push(AttemptRecord {
        attempt: 1,
        claim_no: 1,
        state,
        started_at: Some(task.created_at),
        finished_at: None,
        worker: Some("host:1".to_owned()),
        error: None,
        logs: None,
        progress: None,
    });
    task
}

fn queue(paused: bool, ready: u64, running: u64) -> QueueInfo {
    QueueInfo {
        name: "mail".to_owned(),
        paused,
        ready,
        scheduled: 0,
        blocked: 0,
        waiting: 0,
        running,
        buffered: 0,
        unserved: 0,
        oldest_ready_at: None,
    }
}

fn worker(alive: bool, queue: &str, kind: &str) -> WorkerInfo {
    WorkerInfo {
        id: "w".to_owned(),
        name: "host:1".to_owned(),
        version: String::new(),
        alive,
        drain: None,
        started_at: Timestamp::from_millis(0),
        expires_at: Timestamp::from_millis(0),
        queues: BTreeMap::from([(queue.to_owned(), 2)]),
        kinds: vec![kind.to_owned()],
        running: 0,
        buffered: 0,
    }
}

fn texts(task: &TaskRecord, queue: QueueInfo, workers: &[WorkerInfo]) -> String {
    Why::of(task, None, &[], &[queue], workers).reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join(" | ")
}

#[test]
fn every_state_has_its_reason() {
    let (here, living) = (|| queue(false, 1, 0), [worker(true, "mail", "mail.send")]);
    for state in State::ALL {
        let said = texts(&task(state), here(), &living);
        let expected = match state {
            State::Blocked => "it waits for other tasks",
            State::Scheduled => "it is due at 1970-01-01T00:00:01.000Z",
            State::Waiting => "it waits for a slot of its limit",
            State::Ready => "nothing holds it back: 1 task is ready",
            State::Running => "it runs",
            State::Succeeded | State::Failed | State::Cancelled | State::Expired => "it has ended",
        };
        assert!(said.starts_with(expected) && !said.contains('|'), "{state}: {said}");
    }
    let failed = after(AttemptState::Failed, task(State::Scheduled));
    assert!(texts(&failed, here(), &living).starts_with("its last attempt failed, and the next is due at"));
    let running = after(AttemptState::Running, task(State::Running));
    assert_eq!(texts(&running, here(), &living), "it runs on host:1 since 1970-01-01T00:00:01.000Z");
    let mut gathered = Why::of(&running, None, &[], &[here()], &living);
    gathered.in_batches(&Batching::new(10, std::time::Duration::from_secs(1)));
    let text = gathered.reasons[0].to_string();
    assert!(
        text.ends_with("Z, in a batch: its worker gathers up to 10 tasks, for up to 1s, and runs them in one call"),
        "{text}"
    );
    assert!(texts(&running, here(), &[worker(false, "mail", "mail.send")]).starts_with("its worker host:1 lives no more"));
}

#[test]
fn what_stands_in_the_way_is_said_in_its_order() {
    let ready = task(State::Ready);
    let living = [worker(true, "mail", "mail.send")];
    assert!(texts(&ready, queue(true, 1, 0), &living).starts_with("the queue `mail` is paused"));
    let two = texts(&task(State::Scheduled), queue(true, 0, 0), &[]);
    assert_eq!(two.split(" | ").map(|text| &text[..9]).collect::<Vec<_>>(), ["it is due", "the queue", "no worker"]);
    assert!(texts(&ready, queue(false, 1, 0), &[worker(false, "mail", "mail.send")]).starts_with("no worker lives"));
    let leaves = WorkerInfo { drain: Some(Drain::Heard), ..worker(true, "mail", "mail.send") };
    assert!(texts(&ready, queue(false, 1, 0), &[leaves]).starts_with("no worker lives"));
    let elsewhere = [worker(true, "other", "mail.send")];
    assert!(texts(&ready, queue(false, 1, 0), &elsewhere).starts_with("no living worker serves the queue `mail`"));
    let apart = [worker(true, "other", "mail.send"), worker(true, "mail", "other")];
    let said = texts(&ready, queue(false, 1, 0), &apart);
    assert!(said.starts_with("of 2 living workers, 1 serve the queue `mail` and 1 the task type `mail.send`, but none both"));
    let said = texts(&ready, queue(false, 7, 2), &living);
    assert_eq!(said, "all of 2 slots for the queue `mail` are taken, and 7 tasks are ready there");
}

#[test]
fn who_waits_for_slots_is_told_where_he_stands() {
    let task = task(State::Waiting);
    let standby = |before, cost, holders| {
        let limit = Limit::of(4);
        Standby { key: "openstack:7".to_owned(), cost, limit, used: 4, before, holders, expected: None }
    };
    let here = [worker(true, "mail", "mail.send")];
    let why = |standby: Option<&Standby>| Why::of(&task, None, &[], &[queue(false, 1, 0)], &here).with_standby(standby.cloned());
    let told = |standby: Option<&Standby>| why(standby).reasons[0].to_string();
    assert_eq!(told(None), "it waits for a slot of its limit");
    assert_eq!(
        told(Some(&standby(2, 1, vec![task.id]))),
        format!(
            "it waits for a slot of the key `openstack:7`, of which 4 of 4 are taken; 2 stand before it; held by {}; `limits show \
             openstack:7` tells more, `limits set openstack:7 N` changes it",
            task.id
        )
    );
    assert!(
        told(Some(&standby(0, 3, Vec::new())))
            .starts_with("it waits for 3 slots of the key `openstack:7`, of which 4 of 4 are taken; it is the next; `")
    );
    let limit = Limit { count: 600, pace: Some(Pace { per_ms: 3_600_000, most: 1, is_window: false }) };
    let expected = Some(Timestamp::from_millis(1_000));
    let rated = Standby { key: "rate:api".to_owned(), limit, expected, ..standby(3, 1, Vec::new()) };
    assert_eq!(
        told(Some(&rated)),
        "it waits for its turn by the rate `rate:api`, 600/h; 3 stand before it; it may begin at 1970-01-01T00:00:01.000Z at the soonest; `limits show \
         rate:api` tells more, `limits set rate:api N/s` changes it"
    );
    let json = serde_json::to_value(why(Some(&standby(2, 1, Vec::new())))).unwrap();
    assert_eq!((&json["reasons"][0]["code"], &json["reasons"][0]["key"]), (&"limited".into(), &"openstack:7".into()));
    assert_eq!(json["reasons"][0]["before"], 2);
}

#[test]
fn as_json_a_reason_has_its_code_and_its_text() {
    let json =
        serde_json::to_value(Why::of(&task(State::Ready), None, &[], &[queue(true, 1, 0)], &[worker(true, "mail", "mail.send")]));
    let json = json.unwrap();
    assert_eq!((&json["state"], &json["reasons"][0]["code"]), (&"ready".into(), &"queue_paused".into()));
    assert_eq!(json["reasons"][0]["queue"], "mail");
    assert!(json["reasons"][0]["text"].as_str().unwrap().contains("queues resume mail"), "{json}");
}

#[test]
fn a_paused_type_is_told_of_what_waits_and_of_nothing_else() {
    let codes = |state, paused, workers: &[WorkerInfo]| {
        let why = Why::of(&task(state), None, &[], &[queue(paused, 1, 0)], workers).with_paused_kind("mail.send");
        let json = serde_json::to_value(&why).unwrap();
        json["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let served = [worker(true, "mail", "mail.send")];
    assert_eq!(codes(State::Ready, false, &served), ["kind_paused"], "it is not the next, then");
    assert_eq!(codes(State::Ready, true, &served), ["queue_paused", "kind_paused"]);
    assert_eq!(codes(State::Ready, false, &[]), ["kind_paused", "no_worker"]);
    assert_eq!(codes(State::Scheduled, false, &served), ["due", "kind_paused"]);
    assert!(!codes(State::Running, false, &served).contains(&"kind_paused".to_owned()));
    assert_eq!(codes(State::Succeeded, false, &served), ["ended"]);
}

/// `process` (0), `merge` after it (1), and a handler of failures (2); a task of one of them.
fn member(number: u32, state: State, states: [StepState; 3], workflow: WorkflowState) -> Vec<Reason> {
    member_of(number, state, states, workflow, false)
}

fn member_of(number: u32, state: State, states: [StepState; 3], workflow: WorkflowState, overdue: bool) -> Vec<Reason> {
    let step = |(name, role, after): (&str, Role, &[u32]), state| {
        let after = after.iter().map(|from| (*from, Needs::Success)).collect();
        let spec =
            StepSpec { name: name.to_owned(), kind: "t".to_owned(), role, after, group: false, tolerance: Tolerance::NONE };
        StepRecord { spec, row: StepRow { state, ..StepRow::new(role, 1) } }
    };
    let specs: [(&str, Role, &[u32]); 3] =
        [("process", Role::Work, &[]), ("merge", Role::Work, &[0]), ("flag", Role::Handler(Needs::Failure), &[])];
    let id = WorkflowId::from_uuid(Env::system().task_id().as_uuid());
    let mut task = task(state);
    let step_name = specs[number as usize].0.to_owned();
    task.meta.member = Some(Membership { workflow: id, number, step: step_name, place: 0, refers: false });
    let workflow = WorkflowRecord {
        id,
        name: "w".to_owned(),
        key: None,
        tags: Vec::new(),
        state: workflow,
        unhandled: false,
        attempt: 1,
        created_at: task.created_at,
        deadline: Some(task.created_at),
        overdue,
        finished_at: None,
        definition: String::new(),
        steps: specs.into_iter().zip(states).map(|(spec, state)| step(spec, state)).collect(),
    };
    let member = WhyMember { workflow: &workflow, culprit: Some(task.id) };
    Why::of(&task, Some(member), &[], &[queue(false, 1, 0)], &[worker(true, "mail", "mail.send")]).reasons
}

#[test]
fn a_member_says_which_steps_it_waits_for_and_that_its_workflow_stands_still() {
    use StepState::{Ended, Goes, Waits};
    let steps = |reasons: &[Reason]| match &reasons[0] {
        Reason::Blocked { workflow: Some(_), steps } => steps.join(" "),
        other => panic!("{other:?}"),
    };
    let waits = member(1, State::Blocked, [Goes, Waits, Waits], WorkflowState::Running);
    assert_eq!((steps(&waits).as_str(), waits.len()), ("process", 1));
    assert!(waits[0].to_string().starts_with("it waits for the step `process` of the workflow "), "{}", waits[0]);
    let handler = member(2, State::Blocked, [Goes, Waits, Waits], WorkflowState::Paused);
    assert_eq!(steps(&handler), "process merge");
    assert!(matches!(handler[1], Reason::WorkflowPaused { .. }) && handler[1].to_string().contains("workflows resume "));
    let begun = [Ended(StepEnd::Succeeded), Goes, Waits];
    let going = member(1, State::Blocked, begun, WorkflowState::Running);
    assert!(steps(&going).is_empty() && going[0].to_string().ends_with("it goes on within moments"), "{going:?}");
    let cancelling = member(1, State::Blocked, begun, WorkflowState::Cancelling);
    assert!(matches!(cancelling[..], [Reason::WorkflowCancelled { .. }]), "{cancelling:?}");
    let handler = member(2, State::Blocked, [Goes, Waits, Waits], WorkflowState::Cancelling);
    assert_eq!((steps(&handler).as_str(), handler.len()), ("process merge", 1), "it runs when the rest is over");
    let overdue = member_of(1, State::Blocked, begun, WorkflowState::Cancelling, true);
    assert!(
        matches!(overdue[..], [Reason::WorkflowOverdue { .. }]) && overdue[0].to_string().contains("its deadline"),
        "{overdue:?}"
    );
    let skipped = [Ended(StepEnd::Failed), Ended(StepEnd::Skipped), Waits];
    let reasons = member(1, State::Blocked, skipped, WorkflowState::Running);
    assert!(matches!(reasons[..], [Reason::StepSkipped { .. }]), "{reasons:?}");
}

#[test]
fn a_member_of_a_skipped_step_says_what_it_began_with() {
    use StepState::Ended;
    let states = [Ended(StepEnd::Failed), Ended(StepEnd::Skipped), Ended(StepEnd::Succeeded)];
    let reasons = member(1, State::Cancelled, states, WorkflowState::Failed);
    let [Reason::Ended { .. }, Reason::StepSkipped { after, ended: StepWord::Failed, task: Some(task), .. }] = &reasons[..]
    else {
        panic!("{reasons:?}");
    };
    assert_eq!(after, "process");
    let said = reasons[1].to_string();
    let expected =
        format!("its step `merge` was skipped, as the step `process` failed; `tasks show {task}` tells of a task of that");
    assert_eq!(said, expected);
    assert_eq!(member(0, State::Cancelled, states, WorkflowState::Failed).len(), 1, "its own step was not skipped");
    assert_eq!(member(1, State::Succeeded, states, WorkflowState::Failed).len(), 1);
    let states = [Ended(StepEnd::Cancelled), Ended(StepEnd::Skipped), Ended(StepEnd::Succeeded)];
    let overdue = member_of(0, State::Cancelled, states, WorkflowState::Cancelled, true);
    assert!(matches!(overdue[..], [Reason::Ended { .. }, Reason::WorkflowOverdue { .. }]), "{overdue:?}");
}

#[test]
fn what_waits_by_its_steps_says_for_what() {
    use crate::durable::{Kept, MISMATCH_AT, Mismatch, NEVER};
    let memory = |position, kept| Memory { position, name: "n".to_owned(), occurrence: 0, kept };
    let said = |run_at: Timestamp, memories: &[Memory]| {
        let task = after(AttemptState::Failed, TaskRecord { run_at, ..task(State::Scheduled) });
        let why = Why::of(&task, None, memories, &[queue(false, 1, 0)], &[worker(true, "mail", "mail.send")]);
        why.reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join(" | ")
    };
    let then = Timestamp::from_millis(60_000);
    let never = Timestamp::from_millis(2_000).saturating_add(NEVER);
    let sleeps = memory(1, Kept::Sleeps(then));
    let event = |until| memory(2, Kept::Event { name: "paid".to_owned(), until });
    assert_eq!(said(then, std::slice::from_ref(&sleeps)), "it sleeps as its step 2 until 1970-01-01T00:01:00.000Z");
    assert_eq!(
        said(then, &[sleeps.clone(), event(None)]),
        "it sleeps as its step 2 until 1970-01-01T00:01:00.000Z | it awaits the event `paid` as its step 3; `events send paid` sends it"
    );
    assert!(said(then, &[event(Some(then))]).contains("until 1970-01-01T00:01:00.000Z at most"));
    let workflow = WorkflowId::from_uuid(Env::system().task_id().as_uuid());
    assert!(said(never, &[memory(0, Kept::Workflow(workflow))]).starts_with("it awaits the end of the workflow"));
    let replaced = memory(0, Kept::Replaced { by: workflow, result: None });
    assert!(said(never, &[replaced]).starts_with("it has become the workflow"));
    // What is left of a wait that is over is not what a retry waits for.
    let retry = Timestamp::from_millis(600_000);
    assert!(said(retry, &[sleeps, event(None)]).starts_with("its last attempt failed"));
    let mismatch = Mismatch { position: 3, expected: "charge".to_owned(), found: Some("check".to_owned()), fails: false };
    let stands = said(never, &[memory(MISMATCH_AT, Kept::Mismatch(mismatch)), event(None)]);
    assert!(
        stands.starts_with("it stands still: as its step 4 it remembers `charge`, and its code asks for `check`; `tasks resume ")
            && stands.contains("--forget")
            && !stands.contains('|'),
        "{stands}"
    );
}
