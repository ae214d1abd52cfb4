//! `names`: what completions offer. Hidden, as people have the lists.

use clap::ValueEnum;
use gristmill::core::limits::PAGE_ITEMS_MAX;

use crate::connect::Session;
use crate::exit::CliError;
use crate::output::Out;
use crate::visible::is_hidden;

/// Arguments of `names`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_enum)]
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Of {
    Queues,
    Kinds,
    Schedules,
    Workers,
}

impl Of {
    /// As it is called by the scripts.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Queues => "queues",
            Self::Kinds => "kinds",
            Self::Schedules => "schedules",
            Self::Workers => "workers",
        }
    }
}

/// A line a name. Names that a shell could not type are left out.
pub(crate) async fn run<S: Send + Sync + 'static>(args: Args, session: Session<S>, out: &Out) -> Result<(), CliError> {
    let client = session.connect_to_look().await?;
    let mut names: Vec<String> = match args.of {
        Of::Queues => client.queues().list().await?.into_iter().map(|queue| queue.name).collect(),
        Of::Kinds => client.kinds().list().await?.into_iter().map(|kind| kind.name).collect(),
        Of::Schedules => {
            let page = client.schedules().list(None, None, PAGE_ITEMS_MAX).await?;
            page.into_iter().map(|schedule| schedule.name).collect()
        }
        Of::Workers => {
            client.workers().list().await?.into_iter().filter(|worker| worker.alive).map(|worker| worker.name).collect()
        }
    };
    names.retain(|name| !name.contains(|c: char| c.is_whitespace() || is_hidden(c) || "\"'`$\\;&|<>(){}*?[]~!#".contains(c)));
    names.sort();
    out.raw(&names.into_iter().map(|name| name + "\n").collect::<String>())
}
