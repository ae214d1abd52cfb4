//! `limits`: keys of which only so many tasks run at once, or start in a time.

use gristmill::core::concurrency::{Limit, LimitInfo, LimitRecord, Pace};
use gristmill::core::limits::{CONCURRENCY_MAX, PAGE_ITEMS_MAX, check_name};

use super::queues::count;
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::{self, Out};

/// Arguments of `limits`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// List the keys that are in use or were set, by name
    List(List),
    /// Show a key, who holds its slots and who waits
    Show(Show),
    /// Say how many tasks of a key may run at once, or of a rate start in a time, over what they say themselves; 0 lets none start
    Set(Set),
    /// Let hold again what tasks say themselves
    Unset(Unset),
}

/// Arguments of `limits list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Those whose names begin so
    #[arg(value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Those behind this one, the last of an earlier page
    #[arg(long, value_name = "KEY")]
    after: Option<String>,
}

/// Arguments of `limits show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The key
    #[arg(value_name = "KEY")]
    key: String,
}

/// Arguments of `limits set`.
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// The key
    #[arg(value_name = "KEY")]
    key: String,
    /// How many at once, or of a rate how many in a time, such as 10/s or 600/h
    #[arg(value_name = "N")]
    limit: Limit,
    /// Of a rate, how many may start at once after a pause; else what falls into a tenth of a second, and one at least
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(CONCURRENCY_MAX)))]
    burst: Option<u32>,
}

/// Arguments of `limits unset`.
#[derive(Debug, clap::Args)]
pub(crate) struct Unset {
    /// The key
    #[arg(value_name = "KEY")]
    key: String,
}

pub(crate) async fn run<S: Send + Sync + 'static>(args: Args, session: Session<S>, out: &Out) -> Result<(), CliError> {
    match args {
        Args::List(List { prefix, after }) => {
            let limits = session.connect_to_look().await?.limits().list(&prefix, after.as_deref()).await?;
            if limits.len() == PAGE_ITEMS_MAX
                && let Some(last) = limits.last()
            {
                output::note(&format!("there may be more; --after '{}' goes on", output::escape(&last.key)));
            }
            table(&limits, out)
        }
        Args::Show(Show { key }) => {
            let client = session.connect_to_look().await?;
            let Some(record) = client.limits().get(&key).await? else {
                let problem = format!(
                    "nothing is known of the key `{key}`: no task has taken of it or waits for it, and nobody has set it"
                );
                return Err(CliError::failed(problem));
            };
            out.value(&record, text)
        }
        Args::Set(Set { key, limit, burst }) => {
            let limit = match (burst, limit.pace) {
                (Some(most), Some(pace)) => Limit { pace: Some(Pace { most, ..pace }), ..limit },
                (Some(_), None) => return Err(CliError::usage("--burst is of a rate, such as 10/s".to_owned())),
                (None, _) => limit,
            };
            limit.check_for(&key).map_err(|error| CliError::usage(error.to_string()))?;
            change(&key, Some(limit), burst, session, out).await
        }
        Args::Unset(Unset { key }) => change(&key, None, None, session, out).await,
    }
}

/// Sets or unsets a key.
pub(super) async fn change<S: Send + Sync + 'static>(
    key: &str,
    limit: Option<Limit>,
    burst: Option<u32>,
    session: Session<S>,
    out: &Out,
) -> Result<(), CliError> {
    check_name("key", key).map_err(|error| CliError::usage(error.to_string()))?;
    // Where there is no store there is nothing to limit, and mostly a slip.
    let client = session.connect_to_look().await?;
    let known = client.limits().get(key).await?.map(|record| record.info);
    let is_known = known.is_some();
    match limit {
        Some(limit) => {
            // How a rate is counted stays as tasks say, unless a burst is given, which only a token bucket has.
            let is_window = known.and_then(|info| info.declared?.pace).is_some_and(|pace| pace.is_window);
            let limit = match limit.pace {
                Some(pace) if is_window && burst.is_none() => {
                    Limit { pace: Some(Pace { is_window, most: limit.count, ..pace }), ..limit }
                }
                _ => limit,
            };
            if !is_known {
                output::note(&format!("no task has said the key `{key}` so far; the limit holds for those to come"));
            }
            client.limits().set(key, limit).await?;
        }
        None if is_known => client.limits().unset(key).await?,
        None => output::note(&format!("nothing is known of the key `{key}`; nothing has changed")),
    }
    // What nobody holds, awaits or has set there is nothing to say of.
    let is_in_use = |info: &LimitInfo| info.set.is_some() || info.used > 0 || info.waiting > 0;
    let now: Vec<LimitInfo> = client.limits().get(key).await?.into_iter().map(|record| record.info).filter(is_in_use).collect();
    table(&now, out)
}

fn table(limits: &[LimitInfo], out: &Out) -> Result<(), CliError> {
    out.list(limits, &["key", "used", "limit", "set", "waiting"], |limit| {
        vec![
            limit.key.clone(),
            limit.used.to_string(),
            limit.limit.to_string(),
            limit.set.map(|_| "by hand".to_owned()).unwrap_or_default(),
            count(limit.waiting),
        ]
    })
}

fn text(record: &LimitRecord) -> String {
    let LimitRecord { info, holders, line } = record;
    let (key, used) = (output::escape(&info.key), info.used);
    let mut text = match info.limit.pace {
        Some(_) => format!("{key}: {used} of {} used up, {}, {} waiting", info.limit.most(), info.limit, count(info.waiting)),
        None => format!("{key}: {used} of {} taken, {} waiting", info.limit, count(info.waiting)),
    };
    match (info.set, info.declared) {
        (Some(_), Some(declared)) => text += &format!("; set by hand, tasks say {declared}"),
        (Some(_), None) => text += "; set by hand",
        (None, _) => {}
    }
    if let Some(next) = info.next {
        text += &format!("; the next may start at {next}");
    }
    text.push('\n');
    for holder in holders {
        let since = match holder.running_since {
            Some(since) => format!("runs since {since}"),
            None => "does not run at this moment".to_owned(),
        };
        let cost = if holder.cost == 1 { String::new() } else { format!(", takes {}", holder.cost) };
        let what = if info.limit.pace.is_some() { "let in" } else { "held by" };
        text += &format!("  {what} {} ({since}{cost})\n", holder.task);
    }
    for task in line {
        text += &format!("  waits   {task}\n");
    }
    text
}
