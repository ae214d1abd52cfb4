use std::fmt::Write as _;
use std::time::Duration;

use gristmill_core::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::civil::{self, Pattern};
use super::cron::{Cron, Dialect};
use super::describe::describe;
use super::error::RuleError;
use super::every::next_counted;
use super::jitter::jitter;
use super::rule::Rule;
use super::solar::Sun;
use super::timing::{INTERVAL_MAX, INTERVAL_MIN, JITTER_MAX, Timing};
use super::zone;

/// A checked [`Timing`] that computes its ticks. Made by [`Timing::plan`], cheap to clone, and without state.
///
/// A tick's identity is its instant. Jitter moves only the start of its task: see [`starts_at`](Self::starts_at).
#[derive(Clone, Debug)]
pub struct Plan {
    engine: Engine,
    zone: TimeZone,
    start: Timestamp,
    end: Option<Timestamp>,
    jitter: Duration,
    description: String,
}

#[derive(Clone, Debug)]
enum Engine {
    /// Milliseconds: the first tick and the distance.
    Counted {
        first: i64,
        every: i64,
    },
    Local(Pattern),
    Sun(Sun),
    Once(Timestamp),
}

/// A tick to come, for people: what `gristmill schedules next` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upcoming {
    /// The instant.
    pub utc: Timestamp,
    /// The same on the schedule's local clock, with the offset: `2027-03-28T03:00:00+02:00`.
    pub local: String,
    /// What daylight saving did to it, in words.
    pub remark: Option<String>,
}

impl Plan {
    pub(super) fn new(timing: &Timing) -> Result<Self, RuleError> {
        if timing.jitter > JITTER_MAX {
            return Err(RuleError::Jitter { jitter: timing.jitter });
        }
        if let (Some(start), Some(end)) = (timing.start, timing.end)
            && end <= start
        {
            return Err(RuleError::EndBeforeStart { start, end });
        }
        let (zone, engine) = (zone::find(&timing.timezone)?, Engine::new(timing)?);
        let cron = if let Engine::Local(Pattern::Cron(cron)) = &engine { Some(cron) } else { None };
        let plan = Self {
            description: describe(&timing.rule, zone.iana_name().unwrap_or(&timing.timezone), cron),
            engine,
            zone,
            start: timing.start.unwrap_or(Timestamp::MIN),
            end: timing.end,
            jitter: timing.jitter,
        };
        match plan.first() {
            Some(_) => Ok(plan),
            None => Err(RuleError::NeverTicks { what: plan.description.clone(), why: plan.why_never() }),
        }
    }

    /// The first tick after `after`, and never `after` itself; nothing where there is none any more.
    ///
    /// Takes microseconds, whatever the distance. (A solar event that only happens in another season can take a few hundred.)
    ///
    /// ```
    /// use gristmill::schedule::{Rule, Timing};
    ///
    /// let plan = Timing::new(Rule::cron("0 0 29 2 *")).plan()?;
    /// let next = plan.next_after("2097-01-01T00:00:00Z".parse().unwrap());
    /// assert_eq!(next, Some("2104-02-29T00:00:00Z".parse().unwrap()), "2100 is no leap year");
    /// # Ok::<(), gristmill::schedule::RuleError>(())
    /// ```
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let before_start = Timestamp::from_millis(self.start.as_millis() - 1);
        let after = after.max(before_start);
        // An instant cannot be before 1970: a tick on the first instant itself is lost, and nobody waits for it.
        let next = match &self.engine {
            Engine::Counted { first, every } => next_counted(*first, *every, after.as_millis()).map(Timestamp::from_millis),
            Engine::Local(pattern) => pattern.next_after(&self.zone, after),
            Engine::Sun(sun) => sun.next_after(after),
            Engine::Once(at) => Some(*at),
        }?;
        (next > after && self.end.is_none_or(|end| next < end)).then_some(next)
    }

    /// The last tick at or before `at`, however long ago: after years off, the one that counts is found without walking
    /// through the missed ones.
    pub fn last_until(&self, at: Timestamp) -> Option<Timestamp> {
        // `next_after` never falls as its argument grows. So look back in growing steps until a tick lies within, then halve
        // the distance: some eighty computations for any rule, and no second search that could differ from the first.
        let until = |from: i64| self.next_after(Timestamp::from_millis(from)).filter(|next| *next <= at);
        let (at_ms, mut back) = (at.as_millis(), 1_000);
        let mut found = loop {
            if let Some(tick) = until(at_ms - back) {
                break tick;
            }
            if back > at_ms {
                return None;
            }
            back *= 2;
        };
        let (mut low, mut high) = (found.as_millis(), at_ms);
        while low < high {
            let middle = low + (high - low) / 2;
            match until(middle) {
                Some(tick) => (found, low) = (tick, tick.as_millis()),
                None => high = middle,
            }
        }
        Some(found)
    }

    /// The ticks after `after`, up to and with `until`, at most `max` of them.
    pub fn ticks(&self, after: Timestamp, until: Timestamp, max: usize) -> Vec<Timestamp> {
        self.ticks_after(after).take_while(|tick| *tick <= until).take(max).collect()
    }

    /// The ticks after `after`, one by one, as long as there are any.
    pub fn ticks_after(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next_after(after), |tick| self.next_after(*tick))
    }

    /// The next `count` ticks after `after`, as people read them.
    pub fn preview(&self, after: Timestamp, count: usize) -> Vec<Upcoming> {
        self.ticks_after(after).take(count).map(|tick| self.upcoming(tick)).collect()
    }

    /// One tick as people read it.
    pub fn upcoming(&self, tick: Timestamp) -> Upcoming {
        let pattern = if let Engine::Local(pattern) = &self.engine { Some(pattern) } else { None };
        Upcoming { utc: tick, local: self.local(tick), remark: civil::remark(pattern, &self.zone, tick) }
    }

    /// When the task of a tick of the schedule `name` starts: the tick and its share of the jitter. Every process computes
    /// the same for the same name and tick.
    pub fn starts_at(&self, name: &str, tick: Timestamp) -> Timestamp {
        tick.saturating_add(jitter(name, tick, self.jitter))
    }

    /// The rule and its zone in words, for lists: `at 03:00 from Monday to Friday, Europe/Rome`.
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// What other programs would make of the same expression, where that is not what is made of it here: a line that was copied
    /// from a crontab would change its meaning without a word.
    pub fn notice(&self) -> Option<&'static str> {
        match &self.engine {
            Engine::Local(Pattern::Cron(cron)) if cron.days.starred => Some(
                "either of its days suffices; cron on Debian and elsewhere takes a field that begins with `*` for no restriction, \
                 and would want both",
            ),
            _ => None,
        }
    }

    fn first(&self) -> Option<Timestamp> {
        self.next_after(Timestamp::MIN)
    }

    fn why_never(&self) -> String {
        match (&self.engine, self.end) {
            (Engine::Once(_), _) => "its instant is outside the start and the end".to_owned(),
            (_, Some(end)) => format!("there is none between the start and {end}"),
            (Engine::Sun(sun), None) => sun.why_never(),
            (_, None) => "there is none before the year 10000".to_owned(),
        }
    }

    fn local(&self, tick: Timestamp) -> String {
        let Some(instant) = civil::instant(tick) else { return tick.to_string() };
        let local = instant.to_zoned(self.zone.clone());
        let precision = if tick.as_millis() % 1_000 == 0 { 0 } else { 3 };
        let seconds = local.offset().seconds();
        let mut text = format!("{:.precision$}", local.datetime());
        let (sign, seconds) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
        // Writing to a String cannot fail.
        let _ = write!(text, "{sign}{:02}:{:02}", seconds / 3_600, seconds / 60 % 60);
        text
    }
}

impl Engine {
    fn new(timing: &Timing) -> Result<Self, RuleError> {
        Ok(match &timing.rule {
            Rule::Every { every, .. } if !(INTERVAL_MIN..=INTERVAL_MAX).contains(every) => {
                return Err(RuleError::Interval { every: *every });
            }
            Rule::Every { every, aligned, at_once } => {
                let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
                match (aligned, timing.start, timing.anchor.unwrap_or(Timestamp::MIN).as_millis()) {
                    (true, _, _) => Self::Local(Pattern::Aligned(every)),
                    (false, Some(start), _) => Self::Counted { first: start.as_millis(), every },
                    (false, None, anchor) if *at_once => Self::Counted { first: anchor, every },
                    (false, None, anchor) => Self::Counted { first: anchor.saturating_add(every), every },
                }
            }
            Rule::Cron { expr } => Self::Local(Pattern::Cron(Cron::parse(expr, Dialect::Cron)?)),
            Rule::Crontab { expr } => Self::Local(Pattern::Cron(Cron::parse(expr, Dialect::Celery)?)),
            Rule::Solar { event, latitude, longitude } => Self::Sun(Sun::new(*event, *latitude, *longitude)?),
            Rule::On { at } => Self::Once(*at),
        })
    }
}
