//! Which tasks a list or an operation is about.

use std::str::FromStr;
use std::time::Duration;

use gristmill::Timestamp;
use gristmill::core::{Env, Query};
use gristmill::error::TimestampError;
use gristmill::record::{Filter, State};

use crate::commands::ids::IdText;
use crate::commands::values::duration;
use crate::exit::CliError;

/// Which tasks.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Which tasks")]
pub(super) struct Which {
    /// Those that match, such as 'state:failed kind:email* age:>1h args.user:42 -tag:test'
    #[arg(long, value_name = "QUERY")]
    query: Option<String>,
    /// In this state; may be given more than once
    #[arg(long, value_name = "STATE")]
    state: Vec<State>,
    /// In this queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Of this task type
    #[arg(long, value_name = "NAME")]
    kind: Option<String>,
    /// With this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Enqueued at this moment or later (RFC 3339, a day such as 2027-01-31, or a duration ago such as 2h)
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    since: Option<Moment>,
    /// Enqueued before this moment
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    until: Option<Moment>,
    /// Enqueued by the task with this id, or its beginning
    #[arg(long, value_name = "ID")]
    pub(super) parent: Option<IdText>,
    /// With exactly this title
    #[arg(long, value_name = "TITLE")]
    title: Option<String>,
    /// Made by this schedule
    #[arg(long, value_name = "NAME")]
    schedule: Option<String>,
    /// That run on the worker of this name, or ran there last
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// With these words in title, task type or tags
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
}

/// A moment, as it is typed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    At(Timestamp),
    Ago(Duration),
}

impl Which {
    /// The filter, checked before a store is asked. `words` are a query, too, as they stand on the command line.
    ///
    /// # Errors
    /// What can't match anything, or can't be read.
    pub(super) fn filter(&self, words: &[String]) -> Result<Filter, CliError> {
        let which = self.clone();
        // Only to count back from; what a store shows is by its own clock.
        let now = Env::system().now();
        let query = match (which.query, words) {
            (Some(_), [_, ..]) => {
                return Err(CliError::usage("there are two queries, --query and the one without it; join them by parentheses"));
            }
            (Some(text), []) => Some(text),
            (None, []) => None,
            (None, words) => Some(words.join(" ")),
        };
        let query = query.map(|text| Query::parse(&text, now)).transpose()?;
        let filter = Filter {
            states: which.state,
            queue: which.queue,
            kind: which.kind,
            tag: which.tag,
            from: which.since.map(|moment| moment.before(now)),
            until: which.until.map(|moment| moment.before(now)),
            // Its beginning is looked for where there is a store.
            parent: None,
            title: which.title,
            schedule: which.schedule,
            worker: which.worker,
            text: which.text,
            query,
        };
        filter.check().map_err(|error| CliError::usage(format!("--{error}")))?;
        Ok(filter)
    }
}

impl Moment {
    fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(duration) => now.saturating_sub(duration),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ago) = duration(text) {
            return Ok(Self::Ago(ago));
        }
        // A day alone is its beginning.
        let at = text.parse().or_else(|error| format!("{text}T00:00:00Z").parse().map_err(|_| error));
        at.map(Self::At).map_err(|error: TimestampError| match format!("{text}Z").parse::<Timestamp>() {
            Ok(_) => error.to_string(),
            Err(_) => format!(
                "`{text}` is neither a moment such as 2027-01-31T09:00:00Z, nor a day such as 2027-01-31, nor a duration ago such as 2h"
            ),
        })
    }
}
