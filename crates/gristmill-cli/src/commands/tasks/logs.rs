//! The log of a task's attempts, and what is added to it.

use std::time::Duration;

use gristmill::core::{AttemptRecord, Wake};
use gristmill::record::TaskRecord;
use gristmill::{Client, TaskId};
use serde::Serialize;

use super::none_such;
use crate::commands::ids::IdText;
use crate::exit::CliError;
use crate::output::{Format, Out, escape, note};

/// A worker hands over what was logged about so often.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Arguments of `tasks logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// The task's id, or its beginning
    #[arg(value_name = "ID")]
    pub(super) id: IdText,
    /// Go on with what is logged from now on, until the task has ended
    #[arg(short, long)]
    follow: bool,
    /// Only this attempt
    #[arg(long, value_name = "N", conflicts_with = "follow")]
    attempt: Option<u32>,
}

#[derive(Serialize)]
struct Log<'a> {
    attempt: u32,
    claim: u32,
    /// `null` if nothing was logged.
    logs: Option<&'a str>,
}

#[derive(Serialize)]
struct Line<'a> {
    attempt: u32,
    claim: u32,
    line: &'a str,
}

pub(super) async fn run(args: &Logs, client: &Client, out: &Out) -> Result<(), CliError> {
    if args.follow && out.format == Format::Json {
        return Err(CliError::usage("--follow has no end that could close a JSON value; use -o jsonl"));
    }
    let id = args.id.find(client).await?;
    if args.follow {
        return follow(id, client, out).await;
    }
    let task = client.tasks().get(id).await?.ok_or_else(|| none_such(id))?;
    let wanted = |attempt: &&AttemptRecord| args.attempt.is_none_or(|number| attempt.attempt == number);
    let attempts: Vec<_> = task.attempts.iter().filter(wanted).collect();
    if let (Some(number), []) = (args.attempt, attempts.as_slice()) {
        return Err(CliError::failed(format!("task {id} has no attempt {number}")).with_hint("`tasks show` lists them"));
    }
    match out.format {
        Format::Json => {
            let all: Vec<_> = attempts.iter().map(|attempt| log(attempt)).collect();
            out.list(&all, &[], |_| Vec::new())
        }
        _ => attempts.iter().try_for_each(|attempt| Printer::new(attempt, attempts.len() > 1).more(attempt, out)),
    }
}

fn log(attempt: &AttemptRecord) -> Log<'_> {
    Log { attempt: attempt.attempt, claim: attempt.claim_no, logs: attempt.logs.as_deref() }
}

async fn follow(id: TaskId, client: &Client, out: &Out) -> Result<(), CliError> {
    let mut printer: Option<Printer> = None;
    let mut is_known = false;
    loop {
        let Some(task) = client.tasks().get(id).await? else {
            if is_known {
                note(&format!("task {id} has ended, and nothing of it is kept"));
                return Ok(());
            }
            return Err(none_such(id));
        };
        is_known = true;
        print_new(&task, &mut printer, out)?;
        if task.state.is_final() {
            note(&format!("task {id} is {}", task.state));
            return Ok(());
        }
        client.store().wait(Wake::Ended(id), LOOK_AGAIN).await;
    }
}

/// Prints what came since the last look, in the attempt of that time and in later ones.
fn print_new(task: &TaskRecord, printer: &mut Option<Printer>, out: &Out) -> Result<(), CliError> {
    let seen = printer.as_ref().map_or(0, |printer| printer.claim);
    for attempt in task.attempts.iter().filter(|attempt| attempt.claim_no >= seen) {
        let is_same = printer.as_ref().is_some_and(|printer| printer.claim == attempt.claim_no);
        if !is_same {
            *printer = Some(Printer::new(attempt, attempt.claim_no > 1));
        }
        if let Some(printer) = printer {
            printer.more(attempt, out)?;
        }
    }
    Ok(())
}

/// Prints one attempt's log, as far as it has not been printed.
struct Printer {
    claim: u32,
    /// Whether the attempt's number is to be told before its first line.
    heads: bool,
    printed: String,
}

impl Printer {
    fn new(attempt: &AttemptRecord, heads: bool) -> Self {
        Self { claim: attempt.claim_no, heads, printed: String::new() }
    }

    fn more(&mut self, attempt: &AttemptRecord, out: &Out) -> Result<(), CliError> {
        let logs = attempt.logs.as_deref().unwrap_or_default();
        let new = unseen(&self.printed, logs);
        if new.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.heads) && out.format == Format::Table {
            note(&format!("attempt {}", attempt.attempt));
        }
        let lines = new.lines();
        match out.format {
            Format::Table => out.raw(&lines.map(|line| escape(line) + "\n").collect::<String>())?,
            _ => {
                let line = |line| Line { attempt: attempt.attempt, claim: attempt.claim_no, line };
                out.lines(&lines.map(line).collect::<Vec<_>>())?;
            }
        }
        logs.clone_into(&mut self.printed);
        Ok(())
    }
}

/// What of a log was not in it before. Its oldest lines may have given way since, to a line that says so.
fn unseen<'a>(before: &str, now: &'a str) -> &'a str {
    if let Some(new) = now.strip_prefix(before) {
        return new;
    }
    let kept = now.split_once('\n').map_or(now, |(_, kept)| kept);
    let Some((oldest, _)) = kept.split_once('\n') else { return now };
    // The end of what was printed that begins with the oldest line which is left is followed by what is new.
    let ends = before.match_indices('\n').map(|(end, _)| &before[end + 1..]).filter(|end| end.starts_with(oldest));
    ends.into_iter().find_map(|end| kept.strip_prefix(end)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_printed() {
        assert_eq!(unseen("", "a\nb\n"), "a\nb\n");
        assert_eq!(unseen("a\n", "a\nb\n"), "b\n");
        assert_eq!(unseen("a\nb\n", "a\nb\n"), "");
        assert_eq!(unseen("a\nb\nc\n", "[cut]\nb\nc\nd\n"), "d\n");
        assert_eq!(unseen("a\n", "x\ny\n"), "x\ny\n");
        assert_eq!(unseen("a\nb\nc\n", "[cut]\nc\nd\n"), "d\n");
        assert_eq!(unseen("9\n10\n", "[cut]\n110\n111\n"), "[cut]\n110\n111\n", "a line that ends like one that was printed");
        assert_eq!(unseen("a\nb\nb\n", "[cut]\nb\nb\nc\n"), "c\n");
    }
}
