//! `schedules`: what an operator sees of schedules, and changes while they run.

mod args;
mod change;
mod check;
mod show;
mod view;

use gristmill::Client;
use gristmill::beat::{ScheduleError, ScheduleRecord};
use gristmill::core::{Cursor, limits};

use self::args::Said;
pub(crate) use self::check::check;
use crate::commands::confirm::Confirm;
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::Out;
use gristmill::near::near;

/// Arguments of `schedules`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// List the schedules, by name
    List(List),
    /// Show one schedule with all that is set
    Show(Name),
    /// Show the instants of the ticks to come, in local time and in UTC
    Next(Next),
    /// Show what became of a schedule's ticks, the latest first
    History(History),
    /// Make a schedule
    Add(Box<Add>),
    /// Change what is given, and nothing else; its next tick is computed anew
    Edit(Box<Edit>),
    /// Stop its ticks until it is resumed; no start of a program undoes that
    Pause(Name),
    /// Let it tick again; what fell due meanwhile is not made up for
    Resume(Name),
    /// Let it count from now, as if it had just been made: for one that waits for a time to which the clock was set by mistake
    Reset(Reset),
    /// Make its task now, out of turn
    RunNow(Name),
    /// Delete it; its tasks and its history stay
    Delete(Name),
}

/// Arguments of `schedules list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Those of this configuration file or program
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,
    /// How many
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=limits::PAGE_ITEMS_MAX as i64))]
    limit: u16,
    /// Go on where an earlier list ended: its `next`
    #[arg(long, value_name = "NAME")]
    cursor: Option<String>,
}

/// Which schedule.
#[derive(Debug, clap::Args)]
pub(crate) struct Name {
    /// The schedule
    #[arg(value_name = "NAME")]
    name: String,
}

/// Arguments of `schedules reset`.
#[derive(Debug, clap::Args)]
pub(crate) struct Reset {
    /// The schedule
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with_all = ["all", "dry_run"])]
    name: Option<String>,
    /// All schedules
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    confirm: Confirm,
}

/// Arguments of `schedules next`.
#[derive(Debug, clap::Args)]
pub(crate) struct Next {
    #[command(flatten)]
    which: Name,
    /// How many
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
}

/// Arguments of `schedules history`.
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    #[command(flatten)]
    which: Name,
    /// How many
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=limits::PAGE_ITEMS_MAX as i64))]
    limit: u16,
    /// Go on where an earlier page ended: its `next`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<Cursor>,
}

/// Arguments of `schedules add`.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    #[command(flatten)]
    which: Name,
    /// The task type of its tasks
    #[arg(long, value_name = "TASK")]
    task: String,
    #[command(flatten)]
    said: Said,
}

/// Arguments of `schedules edit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Edit {
    #[command(flatten)]
    which: Name,
    /// The task type of its tasks
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    #[command(flatten)]
    said: Said,
}

pub(crate) async fn run<S: Send + Sync + 'static>(args: Args, mut session: Session<S>, out: &Out) -> Result<(), CliError> {
    // Of a store that is not there, only a new schedule makes one.
    match &args {
        Args::Add(args) => change::check_new(args, &mut session)?,
        _ => session.make_no_store()?,
    }
    let client = session.connect_to_enqueue().await?;
    match args {
        Args::List(args) => show::list(&args, &client, out).await,
        Args::Show(which) => show::one(&which.name, &client, out).await,
        Args::Next(args) => show::next(&args.which.name, args.count.into(), &client, out).await,
        Args::History(args) => show::history(&args, &client, out).await,
        Args::Add(args) => change::add(*args, &client, out).await,
        Args::Edit(args) => change::edit(*args, &client, out).await,
        Args::Pause(which) => change::pause(&which.name, true, &client, out).await,
        Args::Resume(which) => change::pause(&which.name, false, &client, out).await,
        Args::Reset(args) => change::reset(args, &client, out).await,
        Args::RunNow(which) => change::run_now(&which.name, &client, out).await,
        Args::Delete(which) => change::delete(&which.name, &client, out).await,
    }
}

/// The schedule of this name.
async fn find(name: &str, client: &Client) -> Result<ScheduleRecord, CliError> {
    match client.schedules().get(name).await? {
        Some(record) => Ok(record),
        None => Err(explain(ScheduleError::NotFound { name: name.to_owned() }, name, client).await),
    }
}

/// An error, with a name like the one that there is none of.
async fn explain(error: ScheduleError, name: &str, client: &Client) -> CliError {
    let is_missing = matches!(error, ScheduleError::NotFound { .. });
    let error = CliError::from(error);
    if !is_missing {
        return error;
    }
    // Only for the hint: a store that fails now says so at the next command.
    let known = client.schedules().list(None, None, limits::PAGE_ITEMS_MAX).await.unwrap_or_default();
    match near(name, known.iter().map(|known| known.name.as_str())) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error.with_hint("`schedules list` lists them"),
    }
}
