use std::path::Path;

use gristmill::core::{Finding, Severity};

use super::schedules;
use crate::connect::{Program, Session};
use crate::exit::CliError;
use crate::output::Out;

pub(crate) async fn run<S: Send + Sync + 'static>(session: Session<S>, out: &Out) -> Result<(), CliError> {
    let mut findings: Vec<Finding> = session.programs.iter().filter_map(missing_program).collect();
    // The usual hint is to ask the doctor.
    let here = |error: CliError| error.with_hint("the store is --store, GRISTMILL_STORE, or `store` in gristmill.toml");
    let client = session.connect_to_look().await.map_err(here)?;
    findings.extend(client.store().check().await.map_err(|error| here(error.into()))?);
    findings.extend(schedules::check(&client).await.map_err(|error| here(error.into()))?);
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
        errors => Err(CliError::failed(format!("the doctor found {errors} errors"))),
    }
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
