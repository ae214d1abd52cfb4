use std::path::Path;

use gristmill::core::{Finding, Severity};

use super::schedules;
use crate::connect::{Program, Session};
use crate::exit::CliError;
use crate::output::{Out, number_of};
use crate::stores;

pub(crate) async fn run<S: Send + Sync + 'static>(session: Session<S>, out: &Out) -> Result<(), CliError> {
    let mut findings: Vec<Finding> = session.programs.iter().filter_map(missing_program).collect();
    // The usual hint is to ask the doctor.
    let here = |error: CliError| error.with_hint("the store is --store, GRISTMILL_STORE, or `store` in gristmill.toml");
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
    out.list(&findings, &["severity", "code", "message", "hint"], |finding| {
        let severity = match finding.severity {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        vec![severity.to_owned(), finding.code.clone(), finding.message.clone(), finding.hint.clone()]
    })?;
    match findings.iter().filter(|finding| finding.severity == Severity::Error).count() {
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
fn missing_program(program: &Program) -> Option<Finding> {
    let cwd = program.cwd.as_deref().unwrap_or(Path::new("."));
    let found = if program.program.contains('/') {
        cwd.join(&program.program).exists()
    } else {
        program
            .path
            .as_ref()
            .is_some_and(|path| std::env::split_paths(path).any(|dir| cwd.join(dir).join(&program.program).exists()))
    };
    (!found).then(|| {
        let message = format!("the program `{}` of task type `{}` is not there", program.program, program.task);
        Finding::warning("missing_program", message, "install it, correct `command`, or set PATH in `set_env`")
    })
}
