use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::FailureJson;
use super::task::raw;
use crate::workflow::{
    Because, Graph, Member, Needs, Ordered, Retried, Role, StepRecord, StepWord, Tolerance, Tolerated, WorkflowRecord,
    WorkflowState, because,
};
use crate::{State, TaskId, Timestamp, WorkflowId};

/// One run of a workflow.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct WorkflowJson {
    /// Its id.
    pub id: WorkflowId,
    /// What sort of workflow it is.
    pub name: String,
    /// The key that it holds, or held while it went on.
    pub key: Option<String>,
    /// Where it stands.
    pub state: WorkflowState,
    /// How often it was begun.
    pub attempt: u32,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it is cancelled if it has not ended.
    pub deadline: Option<Timestamp>,
    /// Whether it was cancelled for that.
    pub overdue: bool,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Labels.
    pub tags: Vec<String>,
    /// Whether a handler, or what undoes a step, did not succeed, so that a person has to look.
    pub unhandled: bool,
    /// Its steps by their names, in the order in which they were defined. Left out of lists, which do not read them.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "by_name")]
    pub steps: Option<Vec<StepJson>>,
}

/// A step of a workflow.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct StepJson {
    /// Its name, which is the key that it has.
    #[serde(skip)]
    pub name: String,
    /// Where it stands.
    pub state: StepWord,
    /// The task type of its members.
    pub task: String,
    /// How many members it has so far.
    pub tasks: u32,
    /// How many of them succeeded.
    pub succeeded: u32,
    /// How many failed.
    pub failed: u32,
    /// How many were cancelled, or not started in time.
    pub cancelled: u32,
    /// How many have not ended.
    pub waiting: u32,
    /// Whether more members are to come.
    pub open: bool,
    /// What it is there for.
    pub role: RoleWord,
    /// The step that it undoes.
    pub undoes: Option<String>,
    /// The steps that it waits for, and what it needs of each.
    #[serde(serialize_with = "as_map")]
    pub after: Vec<(String, Needs)>,
    /// How many of its members need not succeed: a number, or a text such as `20%`.
    #[serde(serialize_with = "as_count")]
    pub may_fail: Tolerance,
    /// Why it was skipped.
    pub reason: Option<SkipJson>,
}

/// What a step is there for, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleWord {
    /// It is part of the work.
    Work,
    /// It runs when all work was done.
    OnSuccess,
    /// It runs when the work failed.
    OnFailure,
    /// It runs when all work is over.
    Always,
    /// It undoes a step, if the work as a whole was not done.
    Undo,
}

/// Why a step never went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipJson {
    /// This step did not end as it needs.
    After(String),
    /// The workflow was cancelled.
    Cancelled,
    /// The work came out in another way than it is there for, or there was nothing to undo.
    NotNeeded,
}

/// A member of a step: one of its tasks.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct MemberJson {
    /// Its place among those of the step, from 0 on.
    pub place: u32,
    /// The task.
    pub id: TaskId,
    /// Where it stands.
    pub state: State,
    /// The number of its current or last attempt.
    pub attempt: u32,
    /// The result, if it succeeded.
    pub result: Option<Box<RawValue>>,
    /// What went wrong last, if it did not.
    pub error: Option<FailureJson>,
}

/// What became of a cancel, a pause or a resume: `{"id": ..., "outcome": "done", "state": "paused"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OrderedJson {
    /// The workflow.
    pub id: WorkflowId,
    /// `done`, `already_ended` or `not_found`.
    pub outcome: &'static str,
    /// How it stands now, if it was done.
    pub state: Option<WorkflowState>,
}

/// What became of a retry of a whole workflow: `{"id": ..., "outcome": "done", "attempt": 2, "step": null, "holder": null}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetriedJson {
    /// The workflow.
    pub id: WorkflowId,
    /// `done`, `not_ended`, `nothing`, `key_held`, `gone` or `not_found`.
    pub outcome: &'static str,
    /// The attempt that has begun, if it was done.
    pub attempt: Option<u32>,
    /// The step of which members are gone, or soon will be.
    pub step: Option<String>,
    /// The run that holds the key now.
    pub holder: Option<WorkflowId>,
}

/// What became of a change of how many of a step may fail: `{"id": ..., "outcome": "done", "state": "running"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ToleratedJson {
    /// The workflow.
    pub id: WorkflowId,
    /// `done`, `already_ended`, `no_such_step` or `not_found`.
    pub outcome: &'static str,
    /// Where the step stands now, if it was done.
    pub state: Option<StepWord>,
}

impl WorkflowJson {
    /// A workflow of a list, without its steps.
    pub fn of(workflow: WorkflowRecord) -> Self {
        Self {
            id: workflow.id,
            name: workflow.name,
            key: workflow.key,
            state: workflow.state,
            attempt: workflow.attempt,
            created_at: workflow.created_at,
            deadline: workflow.deadline,
            overdue: workflow.overdue,
            finished_at: workflow.finished_at,
            tags: workflow.tags,
            unhandled: workflow.unhandled,
            steps: None,
        }
    }

    /// A workflow with its steps, as [`Workflows::workflow`](crate::workflow::Workflows::workflow) brings it.
    ///
    /// ```
    /// # use gristmill_core::{json::WorkflowJson, workflow::WorkflowRecord};
    /// fn line(workflow: WorkflowRecord) -> serde_json::Result<String> {
    ///     serde_json::to_string(&WorkflowJson::with_steps(workflow))
    /// }
    /// ```
    pub fn with_steps(mut workflow: WorkflowRecord) -> Self {
        let steps = StepJson::all(&std::mem::take(&mut workflow.steps));
        Self { steps: Some(steps), ..Self::of(workflow) }
    }
}

impl StepJson {
    fn all(steps: &[StepRecord]) -> Vec<Self> {
        let name = |number: u32| steps.get(number as usize).map_or_else(|| number.to_string(), |step| step.spec.name.clone());
        let rows: Vec<_> = steps.iter().map(|step| step.row).collect();
        let graph = Graph::of(steps.iter().map(|step| &step.spec));
        let form = |(step, number): (&StepRecord, u32)| {
            let (spec, tally) = (&step.spec, step.row.tally);
            let (role, undoes) = match spec.role {
                Role::Work => (RoleWord::Work, None),
                Role::Handler(Needs::Success) => (RoleWord::OnSuccess, None),
                Role::Handler(Needs::Failure) => (RoleWord::OnFailure, None),
                Role::Handler(Needs::End) => (RoleWord::Always, None),
                Role::Undo(of) => (RoleWord::Undo, Some(name(of))),
            };
            let reason = because(&rows, &graph, number).map(|because| match because {
                Because::Of(from) => SkipJson::After(name(from)),
                Because::Cancelled => SkipJson::Cancelled,
                Because::NotNeeded => SkipJson::NotNeeded,
            });
            Self {
                name: spec.name.clone(),
                state: step.state(),
                task: spec.kind.clone(),
                tasks: tally.members,
                succeeded: tally.succeeded,
                failed: tally.failed,
                cancelled: tally.cancelled,
                waiting: step.open(),
                open: !tally.closed,
                role,
                undoes,
                after: spec.after.iter().map(|(from, needs)| (name(*from), *needs)).collect(),
                may_fail: step.row.tolerance,
                reason,
            }
        };
        steps.iter().zip(0..).map(form).collect()
    }
}

impl From<Member> for MemberJson {
    fn from(member: Member) -> Self {
        Self {
            place: member.place,
            id: member.task,
            state: member.state,
            attempt: member.attempt,
            result: member.result.map(raw),
            error: member.error.map(FailureJson::from),
        }
    }
}

impl OrderedJson {
    /// The answer about a workflow.
    pub const fn of(id: WorkflowId, ordered: Ordered) -> Self {
        let (outcome, state) = match ordered {
            Ordered::Done(state) => ("done", Some(state)),
            Ordered::AlreadyEnded => ("already_ended", None),
            Ordered::NotFound => ("not_found", None),
        };
        Self { id, outcome, state }
    }
}

impl RetriedJson {
    /// The answer about a workflow.
    pub fn of(id: WorkflowId, retried: Retried) -> Self {
        let of = |outcome| Self { id, outcome, attempt: None, step: None, holder: None };
        match retried {
            Retried::Done(attempt) => Self { attempt: Some(attempt), ..of("done") },
            Retried::NotEnded => of("not_ended"),
            Retried::Nothing => of("nothing"),
            Retried::KeyHeld(holder) => Self { holder: Some(holder), ..of("key_held") },
            Retried::Gone(step) => Self { step: Some(step), ..of("gone") },
            Retried::NotFound => of("not_found"),
        }
    }
}

impl ToleratedJson {
    /// The answer about a workflow.
    pub const fn of(id: WorkflowId, tolerated: Tolerated) -> Self {
        let (outcome, state) = match tolerated {
            Tolerated::Done(state) => ("done", Some(state)),
            Tolerated::AlreadyEnded => ("already_ended", None),
            Tolerated::NoSuchStep => ("no_such_step", None),
            Tolerated::NotFound => ("not_found", None),
        };
        Self { id, outcome, state }
    }
}

fn by_name<S: Serializer>(steps: &Option<Vec<StepJson>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(steps.iter().flatten().map(|step| (&step.name, step)))
}

fn as_map<S: Serializer>(after: &[(String, Needs)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(after.len()))?;
    after.iter().try_for_each(|(name, needs)| map.serialize_entry(name, needs))?;
    map.end()
}

fn as_count<S: Serializer>(tolerance: &Tolerance, serializer: S) -> Result<S::Ok, S::Error> {
    match tolerance {
        Tolerance::Count(count) => serializer.serialize_u32(*count),
        Tolerance::Percent(_) => serializer.collect_str(tolerance),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::{StepEnd, StepRow, StepSpec, StepState, Tally};
    use crate::{Failure, FailureReason};

    fn step(name: &str, role: Role, after: &[(u32, Needs)], state: StepState, tally: Tally) -> StepRecord {
        let spec = StepSpec {
            name: name.to_owned(),
            kind: "t".to_owned(),
            role,
            after: after.to_vec(),
            group: false,
            tolerance: Tolerance::NONE,
        };
        StepRecord { spec, row: StepRow { state, tally, ..StepRow::new(role, tally.members) } }
    }

    fn record() -> WorkflowRecord {
        let tally = |members, closed, succeeded, failed| Tally { members, closed, succeeded, failed, cancelled: 0 };
        let mut steps = vec![
            step("z", Role::Work, &[], StepState::Ended(StepEnd::Failed), tally(3, true, 1, 2)),
            step("a", Role::Work, &[(0, Needs::Success)], StepState::Ended(StepEnd::Skipped), tally(1, true, 0, 0)),
            step("u", Role::Undo(0), &[], StepState::Waits, tally(0, false, 0, 0)),
        ];
        steps[0].row.tolerance = Tolerance::Percent(20);
        WorkflowRecord {
            id: "019a0000-0000-7000-8000-000000000001".parse().unwrap(),
            name: "upload".to_owned(),
            key: Some("upload:abc".to_owned()),
            tags: vec!["x".to_owned()],
            state: WorkflowState::Failed,
            unhandled: false,
            attempt: 1,
            created_at: Timestamp::from_millis(1_000),
            deadline: None,
            overdue: false,
            finished_at: None,
            definition: "{}".to_owned(),
            steps,
        }
    }

    #[test]
    fn a_workflow_is_exactly_this_with_its_steps_in_their_order() {
        let expected = concat!(
            r#"{"id":"019a0000-0000-7000-8000-000000000001","name":"upload","key":"upload:abc","state":"failed","attempt":1,"#,
            r#""created_at":"1970-01-01T00:00:01.000Z","deadline":null,"overdue":false,"finished_at":null,"tags":["x"],"unhandled":false,"steps":{"#,
            r#""z":{"state":"failed","task":"t","tasks":3,"succeeded":1,"failed":2,"cancelled":0,"waiting":0,"open":false,"#,
            r#""role":"work","undoes":null,"after":{},"may_fail":"20%","reason":null},"#,
            r#""a":{"state":"skipped","task":"t","tasks":1,"succeeded":0,"failed":0,"cancelled":0,"waiting":1,"open":false,"#,
            r#""role":"work","undoes":null,"after":{"z":"success"},"may_fail":0,"reason":{"after":"z"}},"#,
            r#""u":{"state":"waiting","task":"t","tasks":0,"succeeded":0,"failed":0,"cancelled":0,"waiting":0,"open":true,"#,
            r#""role":"undo","undoes":"z","after":{},"may_fail":0,"reason":null}}}"#,
        );
        assert_eq!(serde_json::to_string(&WorkflowJson::with_steps(record())).unwrap(), expected);
        let listed = serde_json::to_string(&WorkflowJson::of(record())).unwrap();
        assert!(listed.ends_with(r#""unhandled":false}"#), "{listed}");
    }

    #[test]
    fn roles_and_reasons_have_their_words() {
        let mut workflow = record();
        for (step, needs) in workflow.steps.iter_mut().zip([Needs::Success, Needs::Failure, Needs::End]) {
            step.spec.role = Role::Handler(needs);
            step.row.role = step.spec.role;
            step.row.state = StepState::Ended(StepEnd::Skipped);
        }
        let text = serde_json::to_string(&WorkflowJson::with_steps(workflow)).unwrap();
        for word in ["on_success", "on_failure", "always"] {
            assert!(text.contains(&format!(r#""role":"{word}""#)), "{text}");
        }
        assert_eq!(text.matches(r#""reason":"not_needed""#).count(), 3, "{text}");
    }

    #[test]
    fn a_member_and_an_answer_are_exactly_these() {
        let id: TaskId = "019a0000-0000-7000-8000-000000000002".parse().unwrap();
        let error = Some(Failure::new(FailureReason::Timeout, "too long"));
        let member = Member { place: 7, task: id, state: State::Failed, attempt: 2, result: None, error };
        let expected = concat!(
            r#"{"place":7,"id":"019a0000-0000-7000-8000-000000000002","state":"failed","attempt":2,"result":null,"#,
            r#""error":{"reason":"timeout","message":"too long","chain":[],"trace":null}}"#,
        );
        assert_eq!(serde_json::to_string(&MemberJson::from(member)).unwrap(), expected);
        let text = |ordered| serde_json::to_string(&OrderedJson::of(record().id, ordered)).unwrap();
        assert!(text(Ordered::Done(WorkflowState::Paused)).ends_with(r#""outcome":"done","state":"paused"}"#));
        assert!(text(Ordered::AlreadyEnded).ends_with(r#""outcome":"already_ended","state":null}"#));
        let text = |retried| serde_json::to_string(&RetriedJson::of(record().id, retried)).unwrap();
        assert!(text(Retried::Done(2)).ends_with(r#""outcome":"done","attempt":2,"step":null,"holder":null}"#));
        assert!(text(Retried::Gone("g".to_owned())).ends_with(r#""outcome":"gone","attempt":null,"step":"g","holder":null}"#));
        assert!(text(Retried::KeyHeld(record().id)).ends_with(r#""holder":"019a0000-0000-7000-8000-000000000001"}"#));
        let text = |tolerated| serde_json::to_string(&ToleratedJson::of(record().id, tolerated)).unwrap();
        assert!(text(Tolerated::Done(StepWord::Running)).ends_with(r#""outcome":"done","state":"running"}"#));
        assert!(text(Tolerated::NoSuchStep).ends_with(r#""outcome":"no_such_step","state":null}"#));
    }
}
