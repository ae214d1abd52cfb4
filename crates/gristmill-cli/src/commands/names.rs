//! `names`: what completions offer. Hidden, as people have the lists.

use clap::ValueEnum;
use gristmill::Client;
use gristmill::core::limits::PAGE_ITEMS_MAX;
use gristmill::core::workflow::{WorkflowFilter, WorkflowState};

use super::typed::Typed;
use crate::cli::Global;
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::Out;
use crate::visible::is_hidden;

/// Arguments of `names`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_enum)]
    of: Of,
    /// The command line that is being typed, whose store is asked
    #[arg(long, value_name = "LINE", default_value = "", allow_hyphen_values = true)]
    line: String,
}

impl Args {
    /// What the line says of the store and the configuration wins over what holds otherwise.
    ///
    /// # Errors
    /// That only a shell could say which they are.
    pub(crate) fn tell(&self, global: &mut Global) -> Result<(), CliError> {
        let typed = Typed::read(&self.line).ok_or_else(|| CliError::usage("only the shell knows which store is meant"))?;
        global.store = typed.store.or(global.store.take());
        global.config = typed.config.map(Into::into).or(global.config.take());
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Of {
    Queues,
    Kinds,
    Schedules,
    Workers,
    Workflows,
}

impl Of {
    /// As it is called by the scripts.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Queues => "queues",
            Self::Kinds => "kinds",
            Self::Schedules => "schedules",
            Self::Workers => "workers",
            Self::Workflows => "workflows",
        }
    }
}

/// A line a name. Names that a shell could not type are left out. A key that is pressed makes no store and changes none.
pub(crate) async fn run<S: Send + Sync + 'static>(args: Args, session: Session<S>, out: &Out) -> Result<(), CliError> {
    let mut names: Vec<String> = match args.of {
        // What the program has is there without a store, too.
        Of::Kinds => session.kinds().into_iter().map(|kind| kind.name).collect(),
        Of::Queues | Of::Schedules | Of::Workers | Of::Workflows => Vec::new(),
    };
    if let Some(client) = session.connect_untouched().await? {
        names.extend(kept(args.of, &client).await?);
    }
    names.retain(|name| !name.contains(|c: char| c.is_whitespace() || is_hidden(c) || "\"'`$\\;&|<>(){}*?[]~!#".contains(c)));
    names.sort();
    names.dedup();
    out.raw(&names.into_iter().map(|name| name + "\n").collect::<String>())
}

/// Those that the store has.
async fn kept(of: Of, client: &Client) -> Result<Vec<String>, CliError> {
    Ok(match of {
        Of::Queues => client.queues().list().await?.into_iter().map(|queue| queue.name).collect(),
        Of::Kinds => client.kinds().list().await?.into_iter().map(|kind| kind.name).collect(),
        Of::Schedules => {
            let page = client.schedules().list(None, None, PAGE_ITEMS_MAX).await?;
            page.into_iter().map(|schedule| schedule.name).collect()
        }
        // Those that go on: nobody types the id of one that has ended without having read it.
        Of::Workflows => {
            let states = WorkflowState::ALL.into_iter().filter(|state| !state.is_final()).collect();
            let filter = WorkflowFilter { states, ..WorkflowFilter::default() };
            let page = client.workflows().list(&filter, None, PAGE_ITEMS_MAX).await?;
            page.items.into_iter().map(|workflow| workflow.id.to_string()).collect()
        }
        Of::Workers => {
            client.workers().list().await?.into_iter().filter(|worker| worker.alive).map(|worker| worker.name).collect()
        }
    })
}
