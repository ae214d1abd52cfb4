use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize, Serializer};

use super::{Pace, PerTime, RATE, Rate, Ruled, Spent, Strategy, takes};
use crate::kit::encode::to_json;
use crate::limits::CONCURRENCY_MAX;
use crate::{InvalidInput, StoreError, TaskId, Timestamp};

/// How many a key lets run at once, or, with a pace, begin in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many; with 0 nobody begins.
    pub count: u32,
    /// In which time, if it is a rate.
    pub pace: Option<Pace>,
}

impl Limit {
    /// So many at once.
    pub const fn of(count: u32) -> Self {
        Self { count, pace: None }
    }

    /// As a rate.
    pub fn ruled(self) -> Option<Ruled> {
        self.pace.map(|pace| Ruled { count: self.count, pace })
    }

    /// How much there is of it at once.
    pub fn most(self) -> u32 {
        match self.pace {
            Some(pace) if !pace.is_window && self.count > 0 => pace.most,
            _ => self.count,
        }
    }

    /// Checks whether a key may have it: one of a rate has a pace, unless nobody may begin, and no other has one.
    ///
    /// # Errors
    /// What the key may have.
    pub fn check_for(self, key: &str) -> Result<(), InvalidInput> {
        let problem = match (key.starts_with(RATE), self.pace) {
            (true, None) if self.count > 0 => {
                "is of a rate: say in which time, such as 10/s, or 0 alone, with which nobody begins"
            }
            (false, Some(_)) => "is of no rate, whose keys begin with `rate:`: say how many at once, such as 4",
            _ => return Ok(()),
        };
        Err(InvalidInput::new("limit", format!("{key:?} {problem}")))
    }

    /// The rate as it is written.
    fn per_time(self) -> Option<PerTime> {
        let pace = self.pace.filter(|_| self.count > 0)?;
        Some(PerTime { count: self.count, period: Duration::from_millis(pace.per_ms) })
    }
}

/// A rate as a store keeps it with its key.
#[derive(Serialize, Deserialize)]
struct Kept {
    count: u32,
    #[serde(flatten)]
    pace: Option<Pace>,
}

impl Limit {
    /// As a store keeps the limit of a key with a rate: its number too, so that the column in which those of other keys stand may say to programs that
    /// know no rates that nobody may begin.
    pub fn kept_of_rate(self) -> String {
        to_json(&Kept { count: self.count, pace: self.pace })
    }

    /// What was kept so; `None` if it can't be read.
    pub fn of_rate_kept(text: &str) -> Option<Self> {
        let Kept { count, pace } = serde_json::from_str(text).ok()?;
        Some(Self { count, pace }).filter(|limit| limit.count == 0 || limit.pace.is_some())
    }
}

impl From<u32> for Limit {
    fn from(count: u32) -> Self {
        Self::of(count)
    }
}

impl From<PerTime> for Limit {
    /// A rate, with the burst that it has if nobody says one.
    fn from(rate: PerTime) -> Self {
        Rate::of_type(rate).limit()
    }
}

impl FromStr for Limit {
    type Err = InvalidInput;

    /// `4` or `10/s`.
    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        if text.contains('/') {
            return Ok(text.parse::<PerTime>()?.into());
        }
        let count = text.parse().ok().filter(|count| *count <= CONCURRENCY_MAX).ok_or_else(|| {
            InvalidInput::new(
                "limit",
                format!("{text:?} is no whole number from 0 to {CONCURRENCY_MAX}, and no rate such as 10/s"),
            )
        })?;
        Ok(Self::of(count))
    }
}

impl fmt::Display for Limit {
    /// `4`, or of a rate `10/s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per_time() {
            Some(rate) => rate.fmt(f),
            None => self.count.fmt(f),
        }
    }
}

impl Serialize for Limit {
    /// A number, or of a rate a text such as `"10/s"`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.per_time() {
            Some(rate) => rate.serialize(serializer),
            None => serializer.serialize_u32(self.count),
        }
    }
}

/// What operators see of keys with a limit, and change.
#[async_trait]
pub trait KeyLimits: Send + Sync {
    /// The keys whose names begin so, by name: those that tasks hold slots of or wait for, and those that an operator has set. `after` is the last
    /// name of the page before. At most [`PAGE_ITEMS_MAX`](crate::limits::PAGE_ITEMS_MAX) a page.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn list_limits(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<LimitInfo>, StoreError>;

    /// One key, with at most so many of those who hold its slots, and of those who wait in its line; `None` if nobody knows of it.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn get_limit(&self, key: &str, most: usize) -> Result<Option<LimitRecord>, StoreError>;

    /// Says how many slots a key has, whatever tasks say, until it is said otherwise; 0 admits nobody; with `None` what tasks say holds again. What
    /// runs goes on, though it be more than that. The key need not be known yet.
    ///
    /// # Errors
    /// If the store can't be written.
    async fn set_limit(&self, key: &str, limit: Option<Limit>) -> Result<(), StoreError>;

    /// A far side has said that it takes only so much more of a key with a rate within this time, whoever asks it. What it said before counts no more.
    ///
    /// # Errors
    /// If the store can't be written.
    async fn set_remaining(&self, key: &str, left: u32, within: Duration) -> Result<(), StoreError>;

    /// Where a task waits for slots; `None` if it does not.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn stands_by(&self, id: TaskId) -> Result<Option<Standby>, StoreError>;
}

/// A key with a limit. Counts stop at [`COUNT_MAX`](crate::limits::COUNT_MAX).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitInfo {
    /// The key.
    pub key: String,
    /// How many slots it has now, or how many may begin in a time.
    pub limit: Limit,
    /// How many it would have if no operator had set it: what the newest task says. `None` if no task has said it yet.
    pub declared: Option<Limit>,
    /// What an operator has set.
    pub set: Option<Limit>,
    /// How many slots are taken; more than there are, if there were more before. Of a rate, how much of what may begin at once is used up now.
    pub used: u64,
    /// How many tasks wait in its line.
    pub waiting: u64,
    /// Of a rate by token bucket, how many may begin at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Of a rate, how it is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Of a rate that somebody waits for, when the next may begin; none where that waits for those that were let in and are not claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
}

/// What a store keeps of a key.
#[derive(Clone, Debug, Default)]
pub struct KeyState {
    /// What the newest task says.
    pub declared: Option<Limit>,
    /// What an operator says.
    pub set: Option<Limit>,
    /// How many slots are taken; of a rate, by those who have not begun.
    pub taken: u64,
    /// What is spent of a rate.
    pub spent: Spent,
    /// When its line is looked at again.
    pub next: Option<Timestamp>,
}

impl KeyState {
    /// The limit that holds.
    pub fn limit(&self) -> Option<Limit> {
        self.set.or(self.declared)
    }

    /// By what rule it is counted what begins of a rate, also while an operator lets nobody begin.
    pub fn rule(&self) -> Option<Ruled> {
        let of = |limit: Limit| limit.ruled().filter(|rule| rule.count > 0);
        self.set.and_then(of).or_else(|| self.declared.and_then(of))
    }

    /// What has to be kept of what is spent, and until when.
    pub fn kept(&self, now: Timestamp) -> (Spent, Option<Timestamp>) {
        match self.rule() {
            Some(rule) => (self.spent.clone().pruned(rule, now), self.spent.matters_until(rule, now)),
            None => (self.spent.clone(), self.spent.told_until()),
        }
    }

    fn used(&self, now: Timestamp) -> u64 {
        match self.limit().filter(|limit| limit.count > 0).and_then(Limit::ruled) {
            Some(rule) => u64::from(self.limit().map_or(0, Limit::most)).saturating_sub(self.spent.free(rule, now, self.taken)),
            None => self.taken,
        }
    }

    /// As operators see it.
    pub fn info(&self, key: String, waiting: u64, now: Timestamp) -> LimitInfo {
        let (declared, set) = (self.declared, self.set);
        let (limit, used) = (self.limit().unwrap_or(Limit::of(0)), self.used(now));
        // One that is over says nothing: who was let in then is still to be claimed.
        let next = self.next.filter(|next| waiting > 0 && *next > now);
        let pace = limit.pace;
        let burst = pace.filter(|pace| !pace.is_window).map(|pace| pace.most);
        let strategy = pace.map(|pace| if pace.is_window { Strategy::SlidingWindow } else { Strategy::TokenBucket });
        LimitInfo { key, limit, declared, set, used, waiting, burst, strategy, next }
    }

    /// As a task sees it that waits there.
    pub fn standby(&self, key: String, cost: u32, before: u64, holders: Vec<TaskId>, now: Timestamp) -> Standby {
        let (limit, used) = (self.limit().unwrap_or(Limit::of(0)), self.used(now));
        let expected = limit.ruled().filter(|rule| rule.count > 0).map(|rule| {
            let first = self.spent.next(rule, now, self.taken, cost);
            // As if those before it cost as much.
            first.saturating_add(takes(rule, before.saturating_mul(cost.into())))
        });
        Standby { key, cost, limit, used, expected, before, holders }
    }
}

/// A key with who holds its slots, and who waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitRecord {
    /// The key.
    #[serde(flatten)]
    pub info: LimitInfo,
    /// Who holds its slots: those that run, and those that may.
    pub holders: Vec<Holder>,
    /// The first of its line.
    pub line: Vec<TaskId>,
}

/// A task that holds slots of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The task.
    pub task: TaskId,
    /// How many.
    pub cost: u32,
    /// Since when it runs; `None` if it waits for a worker, or for its next attempt.
    pub running_since: Option<Timestamp>,
}

/// Where a task waits for slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standby {
    /// The key in whose line it stands.
    pub key: String,
    /// How many slots of it the task needs.
    pub cost: u32,
    /// How many slots the key has, or how many may begin in a time.
    pub limit: Limit,
    /// How many are taken.
    pub used: u64,
    /// Of a rate, when it is expected to begin, if nothing else holds it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Timestamp>,
    /// How many stand before it, at most [`COUNT_MAX`](crate::limits::COUNT_MAX).
    pub before: u64,
    /// Some of those who hold the key's slots.
    pub holders: Vec<TaskId>,
}

impl Standby {
    /// So many holders are named.
    pub const HOLDERS_MAX: usize = 5;
}
