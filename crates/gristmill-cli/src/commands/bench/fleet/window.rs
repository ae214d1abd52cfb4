use std::collections::HashMap;
use std::time::Instant;

use gristmill::postgres::raw::{Counts, Server};

use super::super::measure::Result;
use super::place::{Place, application_name};
use super::usage::cpu_nanos_of;
use crate::output::note;

/// Counts what the server does for the connections of one name, and for the database.
pub(super) struct Counter {
    server: Server,
    name: String,
    by_statement: bool,
}

/// What was counted between two looks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    pub(super) seconds: f64,
    /// Statements, or transactions where the server counts no statements.
    pub(super) statements: f64,
    pub(super) claims: Option<f64>,
    /// Processor time of the server's processes for these connections if they are on this machine, else the time of statements.
    pub(super) server_ms: Option<f64>,
}

struct Look {
    at: Instant,
    counts: Counts,
    /// By process.
    cpu: Option<HashMap<u32, u64>>,
}

impl Counter {
    /// For the connections that a place's URL gives this name.
    pub(super) async fn new(place: &Place, who: &str) -> Result<Self> {
        let server = place.server().await?;
        let by_statement = server.count_statements().await?;
        if !by_statement {
            note("the server has not loaded pg_stat_statements: its transactions are counted instead, and no claims");
        }
        Ok(Self { server, name: application_name(who), by_statement })
    }

    /// Counts while something is done; nobody else may work in the database meanwhile.
    pub(super) async fn over<T>(&self, work: impl Future<Output = Result<T>>) -> Result<(Window, T)> {
        let before = self.look().await?;
        let done = work.await?;
        let after = self.look().await?;
        Ok((before.until(&after), done))
    }

    async fn look(&self) -> Result<Look> {
        if !self.by_statement {
            // Each process of the server tells what it did at most once a second.
            tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
        }
        let counts = self.server.counts(self.by_statement).await?;
        let pids = self.server.backends(&self.name).await?;
        let pids: Vec<_> = pids.into_iter().filter_map(|pid| u32::try_from(pid).ok()).collect();
        let cpu: HashMap<_, _> = pids.iter().filter_map(|pid| Some((*pid, cpu_nanos_of(*pid)?))).collect();
        // Those of a server elsewhere are not here, or only by chance.
        let cpu = (!pids.is_empty() && cpu.len() == pids.len()).then_some(cpu);
        Ok(Look { at: Instant::now(), counts, cpu })
    }
}

impl Look {
    fn until(&self, after: &Self) -> Window {
        let cpu_ms = self.cpu.as_ref().zip(after.cpu.as_ref()).map(|(before, after)| {
            // One that came meanwhile did all of its work meanwhile.
            let nanos = |(pid, at): (&u32, &u64)| at.saturating_sub(before.get(pid).copied().unwrap_or_default());
            after.iter().map(nanos).sum::<u64>() as f64 / 1e6
        });
        let statements_ms = self.counts.ms.zip(after.counts.ms).map(|(before, after)| after - before);
        Window {
            seconds: after.at.duration_since(self.at).as_secs_f64(),
            statements: (after.counts.statements - self.counts.statements) as f64,
            claims: self.counts.claims.zip(after.counts.claims).map(|(before, after)| (after - before) as f64),
            server_ms: cpu_ms.or(statements_ms),
        }
    }
}

impl Window {
    /// What one of `count` things cost beyond what is spent anyway, as `idle` shows it.
    pub(super) fn each(&self, idle: &Self, count: u64) -> Self {
        let share = self.seconds / idle.seconds;
        let each = |busy: f64, idle: f64| (busy - idle * share).max(0.0) / count.max(1) as f64;
        Self {
            seconds: self.seconds / count.max(1) as f64,
            statements: each(self.statements, idle.statements),
            claims: self.claims.zip(idle.claims).map(|(busy, idle)| each(busy, idle)),
            server_ms: self.server_ms.zip(idle.server_ms).map(|(busy, idle)| each(busy, idle)),
        }
    }

    /// Percent of a core that the server spent.
    pub(super) fn server_percent(&self) -> Option<f64> {
        Some(self.server_ms? / 10.0 / self.seconds)
    }
}
