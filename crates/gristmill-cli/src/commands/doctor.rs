use gristmill::core::{Finding, Severity};

use super::schedules;
use crate::connect::Session;
use crate::exit::CliError;
use crate::kinds::Program;
use crate::output::{self, Format, Out, number_of};
use crate::stores;

pub(crate) async fn run<S: Send + Sync + 'static>(session: Session<S>, out: &Out) -> Result<(), CliError> {
    let mut findings: Vec<Finding> = session.programs.iter().filter_map(missing_program).collect();
    // The usual hint is to ask the doctor.
    let here = |error: CliError| error.with_hint("the store is --store, GRISTMILL_STORE, or `store` in the configuration");
    let store = session.store.clone();
    match look(session).await {
        Ok(found) => findings.extend(found),
        // That it is damaged is what the doctor is there to find.
        Err(error) => match stores::damage(&store).ok().flatten() {
            Some(found) => findings.push(found),
            None => return Err(here(error)),
        },
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    if output::is_quiet() {
        findings.retain(|finding| finding.severity != Severity::Ok);
        // Whoever is told of output only, as by cron, wants none.
        if findings.is_empty() && out.format == Format::Table {
            return Ok(());
        }
    }
    out.list(&findings, &["severity", "code", "message", "hint"], |finding| {
        let severity = match finding.severity {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        vec![severity.to_owned(), finding.code.clone(), finding.message.clone(), finding.hint.clone()]
    })?;
    match errors {
        0 => Ok(()),
        errors => Err(CliError::failed(format!("the doctor found {}", number_of(errors as u64, "error")))),
    }
}

/// What the store finds by itself, and what of its schedules hurts.
async fn look<S: Send + Sync + 'static>(session: Session<S>) -> Result<Vec<Finding>, CliError> {
    let client = session.connect_to_look().await?;
    let mut findings = client.store().check().await?;
    match schedules::check(&client).await {
        Ok(found) => findings.extend(found),
        // Nothing more can be read of a file whose damage is told already.
        Err(_) if findings.iter().any(|finding| finding.code == "integrity" && finding.severity == Severity::Error) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(findings)
}

/// A warning only: the worker may run on another machine, which has it.
fn missing_program((task, program): &(String, Program)) -> Option<Finding> {
    let lack = program.lack()?;
    let message = format!("task type `{task}`: {}", lack.why);
    Some(Finding::warning("missing_program", message, "install it, correct `command` or `cwd`, or set PATH in `set_env`"))
}
