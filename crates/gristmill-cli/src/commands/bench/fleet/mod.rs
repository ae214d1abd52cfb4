//! `bench --fleet`: what many workers, days and services cost one another. Each scenario has its baseline in the same run, and a
//! place of its own, so that none finds what another left.

mod across;
mod beside;
mod caller;
mod days;
mod delayed;
mod enqueue;
mod figure;
mod idle;
mod member;
mod place;
mod processes;
mod punctual;
mod shared;
mod tasks;
mod usage;
mod window;

use std::time::Duration;

use clap::ValueEnum;

use super::measure::Result;
use crate::commands::values::duration;
use crate::output::{Out, note};
use figure::Figure;
use place::Place;

pub(super) use member::be_one;

/// How large the fleet is, and what of it is measured.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Size {
    /// Measure what a fleet costs, each thing against its own baseline, and say which goals are kept
    #[arg(long, conflicts_with_all = ["lists", "raw"])]
    pub(super) fleet: bool,
    /// With --fleet: only these scenarios
    #[arg(long, value_delimiter = ',', value_name = "SCENARIO,...", requires = "fleet")]
    only: Vec<Scenario>,
    /// With --fleet: how many idle workers stand by while one task after another is enqueued; the first is the baseline
    #[arg(long, value_delimiter = ',', value_name = "N,...", default_value = "1,10,50", requires = "fleet",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    workers: Vec<u32>,
    /// With --fleet: how long is counted at a time
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, requires = "fleet")]
    window: Duration,
    /// With --fleet: tasks of another service that wait in the same queue
    #[arg(long, value_name = "N", default_value_t = 1_000_000, requires = "fleet",
          value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    others: u64,
    /// With --fleet: days of history that are kept
    #[arg(long, value_name = "N", default_value_t = 365, requires = "fleet",
          value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// With --fleet: how many worker processes share a store; the first is the baseline
    #[arg(long, value_delimiter = ',', value_name = "N,...", default_value = "1,2,4", requires = "fleet",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: Vec<u32>,
    /// Be one worker process of the fleet, for these queues
    #[arg(long, hide = true, value_delimiter = ',')]
    pub(super) member_of: Vec<String>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Statements and server time of an enqueue beside idle workers
    Enqueue,
    /// Statements of a delayed enqueue beside ten idle workers
    Delayed,
    /// Latency beside another service's tasks in the same queue
    Shared,
    /// Locks and drain with many days kept
    Days,
    /// A busy queue beside idle ones
    Beside,
    /// Processor time of an idle worker
    Idle,
    /// How late scheduled tasks start
    Punctual,
    /// Several worker processes on one store
    Processes,
    /// A caller's transaction with one enqueue
    Caller,
    /// Pick-up latency of a worker in another process
    Across,
}

impl Scenario {
    /// What a store must be to have it: a server, whose statements, locks and processes can be counted.
    const fn wants_server(self) -> bool {
        matches!(self, Self::Enqueue | Self::Delayed | Self::Days | Self::Caller)
    }

    async fn measure(self, place: &Place, bench: &super::Args) -> Result<Vec<Figure>> {
        match self {
            Self::Enqueue => enqueue::measure(place, bench).await,
            Self::Delayed => delayed::measure(place, bench).await,
            Self::Shared => shared::measure(place, bench).await,
            Self::Days => days::measure(place, bench).await,
            Self::Beside => beside::measure(place, bench).await,
            Self::Idle => idle::measure(place, bench).await,
            Self::Punctual => punctual::measure(place, bench).await,
            Self::Processes => processes::measure(place, bench).await,
            Self::Caller => caller::measure(place, bench).await,
            Self::Across => across::measure(place, bench).await,
        }
    }
}

/// Measures beside the store that `url` names, or on files in the current folder.
pub(super) async fn run(url: Option<&str>, bench: &super::Args, out: &Out) -> Result<()> {
    let wanted = |scenario: &Scenario| bench.fleet.only.is_empty() || bench.fleet.only.contains(scenario);
    let mut figures = Vec::new();
    for scenario in Scenario::value_variants().iter().copied().filter(wanted) {
        let name = scenario.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let place = Place::new(url, &name);
        if scenario.wants_server() && !place.is_server() {
            continue;
        }
        note(&format!("measuring {name} in {}", place.shown()));
        let measured = scenario.measure(&place, bench).await;
        // Whatever came of it, as what was enqueued is of use to nobody.
        place.remove().await?;
        figures.extend(measured?.into_iter().map(|figure| figure.of(&name)));
    }
    figure::show(&figures, out)
}
