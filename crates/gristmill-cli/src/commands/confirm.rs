//! What is asked before something is done to many at once.

use std::io::{self, BufRead, IsTerminal};

use crate::exit::CliError;
use crate::output;

#[derive(Debug, clap::Args)]
pub(super) struct Confirm {
    /// Do it without asking; without a terminal nobody can be asked
    #[arg(long)]
    yes: bool,
    /// Only show what it would be done to
    #[arg(long, conflicts_with = "yes")]
    pub(super) dry_run: bool,
}

impl Confirm {
    /// Refuses what could not be asked, before anything is looked for.
    ///
    /// # Errors
    /// Neither a terminal nor --yes nor --dry-run.
    pub(super) fn check(&self, what: &str) -> Result<(), CliError> {
        if self.yes || self.dry_run || io::stdin().is_terminal() {
            return Ok(());
        }
        Err(CliError::usage(format!("{what} needs --yes where nobody can be asked")).with_hint("--dry-run shows which they are"))
    }

    /// Asks, unless that was said already.
    ///
    /// # Errors
    /// No for an answer.
    pub(super) fn ask(&self, question: &str) -> Result<(), CliError> {
        if self.yes {
            return Ok(());
        }
        output::ask(&format!("{question} [y/N] "));
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map_err(|error| CliError::failed(format!("no answer: {error}")))?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(CliError::failed("nothing was done")),
        }
    }

    /// Whether anybody has to see first what it is about.
    pub(super) fn wants_preview(&self) -> bool {
        !self.yes
    }
}
