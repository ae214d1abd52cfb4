use gristmill::core::limits::PAGE_ITEMS_MAX;
use gristmill::core::workflow::{Member, StepState, WorkflowFilter, WorkflowRecord, WorkflowState};
use gristmill::core::{Finding, Severity, WorkflowId};
use gristmill::record::{Reason, State};
use gristmill::{Client, TaskId};
use serde::Serialize;

use crate::exit::CliError;
use crate::output::{Out, number_of};

/// So many tasks of one workflow are asked why they do not run: of many that wait for the same, a few tell it.
const ASKED_MAX: usize = 3;
/// So many tasks of one step are looked through for these.
const LOOKED_MAX: usize = 10_000;
/// What the store finds that concerns workflows.
const CODES: [&str; 3] = ["step_count", "workflow", "orphan_step"];

/// Arguments of `workflows doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// How many of those that go on are looked at, newest first
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=PAGE_ITEMS_MAX as i64))]
    limit: u16,
}

/// Something that keeps a workflow from going on.
#[derive(Serialize)]
struct Held {
    severity: Severity,
    workflow: Option<WorkflowId>,
    name: Option<String>,
    step: Option<String>,
    task: Option<TaskId>,
    code: String,
    text: String,
}

pub(super) async fn run(args: &Doctor, client: &Client, out: &Out) -> Result<(), CliError> {
    let mut held: Vec<Held> = client.store().check().await?.into_iter().filter_map(broken).collect();
    let states = WorkflowState::ALL.into_iter().filter(|state| !state.is_final()).collect();
    let filter = WorkflowFilter { states, ..WorkflowFilter::default() };
    let page = client.workflows().list(&filter, None, args.limit.into()).await?;
    let more = page.next.is_some();
    for workflow in page.items {
        // With its steps; one that has ended meanwhile has none that waits.
        if let Some(workflow) = client.workflows().get(workflow.id).await? {
            look(&workflow, client, &mut held).await?;
        }
    }
    out.list(&held, &["severity", "workflow", "step", "task", "what"], |held| {
        vec![
            match held.severity {
                Severity::Ok => "ok",
                Severity::Warning => "warning",
                Severity::Error => "error",
            }
            .to_owned(),
            held.name.clone().into_iter().chain(held.workflow.map(|id| id.to_string())).collect::<Vec<_>>().join(" "),
            held.step.clone().unwrap_or_default(),
            held.task.map(|task| task.to_string()).unwrap_or_default(),
            held.text.clone(),
        ]
    })?;
    if more {
        crate::output::note(&format!("there are more workflows that go on; --limit {} looks at more of them", PAGE_ITEMS_MAX));
    }
    match held.iter().filter(|held| held.severity == Severity::Error).count() {
        0 => Ok(()),
        errors => Err(CliError::failed(format!("the doctor found {}", number_of(errors as u64, "error")))),
    }
}

fn broken(finding: Finding) -> Option<Held> {
    let Finding { severity, code, message, hint } = finding;
    (severity != Severity::Ok && CODES.contains(&code.as_str())).then(|| Held {
        severity,
        workflow: None,
        name: None,
        step: None,
        task: None,
        code,
        text: if hint.is_empty() { message } else { format!("{message}; {hint}") },
    })
}

/// What the tasks of its steps that have begun wait for, other than their turn.
async fn look(workflow: &WorkflowRecord, client: &Client, all: &mut Vec<Held>) -> Result<(), CliError> {
    let held = |severity, step: Option<&str>, task, code: &str, text| Held {
        severity,
        workflow: Some(workflow.id),
        name: Some(workflow.name.clone()),
        step: step.map(str::to_owned),
        task,
        code: code.to_owned(),
        text,
    };
    if workflow.state == WorkflowState::Paused {
        let text = format!("it is paused; `workflows resume {}` lets it go on", workflow.id);
        all.push(held(Severity::Warning, None, None, "paused", text));
    }
    for step in workflow.steps.iter().filter(|step| !matches!(step.row.state, StepState::Ended(_))) {
        let name = step.spec.name.as_str();
        if !step.row.tally.closed && step.row.tally.members == step.row.tally.ended() {
            let text = format!(
                "it is open, and waits for members that whoever started it has to add, or to be closed; should nobody do so any more, as its start \
                 was interrupted, `workflows cancel {}` ends it",
                workflow.id
            );
            all.push(held(Severity::Warning, Some(name), None, "open", text));
        }
        for member in waiting(client, workflow.id, name).await? {
            let Some(why) = client.tasks().why(member.task).await? else { continue };
            for reason in &why.reasons {
                // That one is looked at by itself, if it goes on.
                if let Reason::AwaitsWorkflow { workflow, .. } = reason
                    && client.workflows().get(*workflow).await?.is_some_and(|of| !of.state.is_final())
                {
                    continue;
                }
                let code = serde_json::to_value(reason).ok().and_then(|json| Some(json.get("code")?.as_str()?.to_owned()));
                let code = code.unwrap_or_default();
                let severity = match code.as_str() {
                    // It comes to its turn by itself.
                    "next" | "busy" | "due" | "sleeps" | "limited" => continue,
                    "stands_still" => Severity::Error,
                    _ => Severity::Warning,
                };
                all.push(held(severity, Some(name), Some(member.task), &code, reason.to_string()));
            }
        }
    }
    Ok(())
}

/// The first tasks of a step that wait. Those before them may have ended long ago, however many they are.
async fn waiting(client: &Client, workflow: WorkflowId, step: &str) -> Result<Vec<Member>, CliError> {
    let waits = |member: &Member| !member.state.is_final() && !matches!(member.state, State::Running | State::Blocked);
    let (mut found, mut looked, mut after) = (Vec::new(), 0, None);
    while looked < LOOKED_MAX && found.len() < ASKED_MAX {
        let page = client.workflows().members(workflow, step, after, PAGE_ITEMS_MAX).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.place);
        looked += page.len();
        found.extend(page.into_iter().filter(waits));
    }
    found.truncate(ASKED_MAX);
    Ok(found)
}
