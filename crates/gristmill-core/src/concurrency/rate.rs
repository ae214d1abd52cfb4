//! How many tasks with one key may start in a time. A rule ([`Rate`]) becomes, at the enqueue, a [`Need`] with a [`Pace`]. Such a
//! task is admitted like one that needs slots; what it takes is not given back at its end, but comes back with time, from the moment on at which
//! its attempt has begun.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{Limit, Need, OF_TYPE, Quantity, RATE, fits, is_of_limits};
use crate::limits::{CONCURRENCY_MAX, DURATION_MAX, NAME_BYTES_MAX};
use crate::{InvalidInput, Template, time};

/// What falls into so long may start at once, if a rule says nothing else: no clock and no look is more exact.
const BURST_MS: u64 = 100;

/// How many tasks may start in a time, of all workers together.
///
/// ```
/// use gristmill_core::concurrency::Rate;
///
/// let rule: Rate = serde_json::from_str(r#"{ "key": "api:{host}", "limit": "10/s", "burst": 5 }"#)?;
/// assert_eq!(rule.limit.to_string(), "10/s");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Whose starts are counted together: the arguments in braces make it, and all task types that make the same key share it. `None`: all tasks of
    /// the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Template>,
    /// How many in which time.
    pub limit: PerTime,
    /// How many may start at once after a pause; by default what falls into a tenth of a second, and one at least. With
    /// [`Strategy::SlidingWindow`] there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// How much of it one task takes.
    #[serde(default, skip_serializing_if = "Quantity::is_one")]
    pub cost: Quantity,
    /// How it is counted.
    #[serde(default, skip_serializing_if = "Strategy::is_default")]
    pub strategy: Strategy,
}

/// How a rate is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Strategy {
    /// In any time at most what the rate gives in it, and the burst: starts are spread.
    #[default]
    TokenBucket,
    /// In any time as long as the rate's at most as many as it says, as far sides count who say "600 an hour": all of them may start
    /// at once, and then none for long.
    SlidingWindow,
}

impl Strategy {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    const fn is_default(&self) -> bool {
        matches!(self, Self::TokenBucket)
    }
}

/// A number in a time, written `"10/s"`, `"600/h"` or `"5/1m30s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerTime {
    /// How many, from 1 to [`CONCURRENCY_MAX`].
    pub count: u32,
    /// In which time: a millisecond at least, a day at most.
    pub period: Duration,
}

/// No rate counts over more than that.
const PERIOD_MAX: Duration = Duration::from_secs(86_400);

impl PerTime {
    fn check(self) -> Result<(), InvalidInput> {
        let is_ok = (1..=CONCURRENCY_MAX).contains(&self.count)
            && (Duration::from_millis(1)..=PERIOD_MAX.min(DURATION_MAX)).contains(&self.period);
        if is_ok { Ok(()) } else { Err(wrong(&self.to_string())) }
    }

    fn period_ms(self) -> u64 {
        u64::try_from(self.period.as_millis()).unwrap_or(u64::MAX)
    }
}

fn wrong(text: &str) -> InvalidInput {
    InvalidInput::new(
        "rate limit",
        format!(
            "{text:?} is no rate: write a whole number from 1 to {CONCURRENCY_MAX} and a time up to a day, such as \"10/s\", \"600/h\" or \"5/30s\"; 0 alone lets nobody begin"
        ),
    )
}

impl FromStr for PerTime {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let (count, period) = text.split_once('/').ok_or_else(|| wrong(text))?;
        let count = count.trim().parse().map_err(|_| wrong(text))?;
        let period = period.trim();
        // "10/s" is in one second.
        let one = if period.starts_with(|first: char| first.is_ascii_digit()) { period.to_owned() } else { format!("1{period}") };
        let rate = Self { count, period: time::parse_duration(&one).map_err(|_| wrong(text))? };
        rate.check().map_err(|_| wrong(text))?;
        Ok(rate)
    }
}

impl fmt::Display for PerTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = time::format_duration(self.period);
        let unit = period.strip_prefix('1').filter(|unit| unit.chars().all(|c| c.is_ascii_alphabetic())).unwrap_or(&period);
        write!(f, "{}/{unit}", self.count)
    }
}

impl Serialize for PerTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PerTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Rate {
    /// At most so many of all tasks of the type in a time.
    pub fn of_type(limit: PerTime) -> Self {
        Self { key: None, limit, burst: None, cost: Quantity::default(), strategy: Strategy::default() }
    }

    /// At most so many with a key in a time.
    pub fn of(key: Template, limit: PerTime) -> Self {
        Self { key: Some(key), ..Self::of_type(limit) }
    }

    /// The names of the arguments that it takes, with the ways to their parts.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        [self.key.as_ref(), self.cost.template()].into_iter().flatten().flat_map(Template::fields)
    }

    /// How many may start at once.
    fn most(&self) -> u32 {
        match (self.strategy, self.burst) {
            (Strategy::SlidingWindow, _) => self.limit.count,
            (Strategy::TokenBucket, Some(burst)) => burst,
            (Strategy::TokenBucket, None) => {
                let most = u64::from(self.limit.count) * BURST_MS / self.limit.period_ms().max(1);
                // What one task costs must not be more than ever comes together.
                let cost = match self.cost {
                    Quantity::Number(cost) => cost.min(self.limit.count),
                    Quantity::Of(_) => 1,
                };
                u32::try_from(most).unwrap_or(u32::MAX).clamp(1, CONCURRENCY_MAX).max(cost)
            }
        }
    }

    /// The limit that it gives its key.
    pub fn limit(&self) -> Limit {
        let is_window = self.strategy == Strategy::SlidingWindow;
        let pace = Pace { per_ms: self.limit.period_ms(), most: self.most(), is_window };
        Limit { count: self.limit.count, pace: Some(pace) }
    }

    /// Checks what can be checked without arguments.
    pub(super) fn check(&self) -> Result<(), InvalidInput> {
        self.limit.check()?;
        if self.burst.is_some() && self.strategy == Strategy::SlidingWindow {
            return Err(InvalidInput::new(
                "rate burst",
                "is of a token bucket; a sliding window lets all that it has room for start at once",
            ));
        }
        if self.burst.is_some_and(|burst| !(1..=CONCURRENCY_MAX).contains(&burst)) {
            return Err(InvalidInput::new("rate burst", format!("is no whole number from 1 to {CONCURRENCY_MAX}")));
        }
        if self.burst.is_none() && self.strategy == Strategy::TokenBucket && self.cost.template().is_some() {
            let problem = "is missing: where an argument says what a task costs, it says how much of that there is at once";
            return Err(InvalidInput::new("rate burst", problem));
        }
        if let Quantity::Number(_) = self.cost {
            let cost = self.cost.of("rate cost", &Value::Null)?;
            fits("rate cost", cost, "burst", self.most())?;
        }
        self.key.as_ref().map_or(Ok(()), |key| is_of_limits("rate key", &key.to_string()))
    }

    /// What a task of a type with this rule needs.
    pub(super) fn need(&self, kind: &str, args: &Value) -> Result<Need, InvalidInput> {
        let key = match &self.key {
            None => format!("{RATE}{OF_TYPE}{kind}"),
            Some(key) => {
                let key = key.fill(|name| args.get(name))?;
                is_of_limits("rate key", &key)?;
                format!("{RATE}{key}")
            }
        };
        if key.len() > NAME_BYTES_MAX {
            return Err(InvalidInput::new(
                "rate key",
                format!("has {} bytes with `{RATE}`; at most {NAME_BYTES_MAX} are allowed", key.len()),
            ));
        }
        let cost = self.cost.of("rate cost", args)?;
        fits("rate cost", cost, "burst", self.most())?;
        let Limit { count, pace } = self.limit();
        Ok(Need { cost, pace, ..Need::of(key, count) })
    }
}

/// Rates as they are written: `"10/s"`, for all tasks of a type together; one as a [`Rate`] is written; or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates(pub Vec<Rate>);

impl<'de> Deserialize<'de> for Rates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, as an untagged choice forgets what was wrong with the one that was meant.
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Rates;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate such as \"10/s\" or { key = \"api:{host}\", limit = \"10/s\" }, or a list of rates")
            }

            fn visit_str<E: Error>(self, limit: &str) -> Result<Rates, E> {
                Ok(Rates(vec![Rate::of_type(limit.parse().map_err(E::custom)?)]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rates, A::Error> {
                Ok(Rates(vec![Rate::deserialize(MapAccessDeserializer::new(map))?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Rates, A::Error> {
                let all: Vec<Rates> = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(Rates(all.into_iter().flat_map(|rates| rates.0).collect()))
            }
        }
        deserializer.deserialize_any(Look)
    }
}

/// In which time a key gives what it has, and how much of it at once: what makes the limit of a [`Need`] a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// The time.
    pub per_ms: u64,
    /// How much may start at once.
    pub most: u32,
    /// Whether no time as long as that has more than the limit.
    #[serde(default, rename = "window", skip_serializing_if = "std::ops::Not::not")]
    pub is_window: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Concurrency;
    use super::*;

    fn needs(rates: Value, args: &Value) -> Result<Vec<Need>, String> {
        let rates: Vec<Rate> = serde_json::from_value(rates).map_err(|error| error.to_string())?;
        Concurrency::needs(&[], &rates, "mail.send", args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rate_is_written_as_people_say_it() {
        for (text, count, ms, again) in [
            ("10/s", 10, 1_000, "10/s"),
            ("600/h", 600, 3_600_000, "600/h"),
            ("5/30s", 5, 30_000, "5/30s"),
            ("1 / m", 1, 60_000, "1/m"),
            ("7/90s", 7, 90_000, "7/90s"),
            ("100000/d", 100_000, 86_400_000, "100000/d"),
            ("3/500ms", 3, 500, "3/500ms"),
        ] {
            let rate: PerTime = text.parse().unwrap();
            assert_eq!((rate.count, rate.period, rate.to_string().as_str()), (count, Duration::from_millis(ms), again), "{text}");
            assert_eq!(rate.to_string().parse::<PerTime>(), Ok(rate));
        }
        for text in
            ["", "10", "/s", "10/", "0/s", "-1/s", "1.5/s", "100001/s", "10/2d", "10/s/s", "ten/s", "10/sec", "1/0s", "10/\u{0}"]
        {
            let error = text.parse::<PerTime>().unwrap_err().to_string();
            assert!(error.contains("is no rate: write a whole number"), "{text}: {error}");
        }
    }

    #[test]
    fn needs_of_rates_have_their_pace_and_a_key_of_their_own() {
        let args = json!({ "host": "h", "size": 3 });
        let given = json!([{ "limit": "1000/s" }, { "key": "api:{host}", "limit": "600/h", "burst": 5, "cost": "{size}" }]);
        let found = needs(given.clone(), &args).unwrap();
        assert_eq!(
            serde_json::to_value(&found).unwrap(),
            json!([
                { "key": "rate:api:h", "limit": 600, "cost": 3, "pace": { "per_ms": 3_600_000, "most": 5 } },
                { "key": "rate:type:mail.send", "limit": 1_000, "pace": { "per_ms": 1_000, "most": 100 } },
            ])
        );
        assert_eq!(serde_json::to_value(serde_json::from_value::<Vec<Rate>>(given.clone()).unwrap()).unwrap(), given);
        let window = needs(json!([{ "key": "w", "limit": "600/h", "strategy": "sliding_window" }]), &args).unwrap();
        assert_eq!(window[0].pace, Some(Pace { per_ms: 3_600_000, most: 600, is_window: true }));
        // What costs more than a tenth of a second gives can come together all the same.
        let sized = needs(json!([{ "key": "s", "limit": "10/s", "cost": 3 }]), &args).unwrap();
        assert_eq!(sized[0].pace.unwrap().most, 3);
    }

    #[test]
    fn what_could_never_begin_is_refused() {
        let args = json!({ "size": 6, "key": "rate:x", "list": [], "long": "x".repeat(251) });
        for (given, says) in [
            (json!([{ "limit": "10/s", "burst": 0 }]), "rate burst: is no whole number from 1"),
            (
                json!([{ "limit": "10/s", "burst": 5, "cost": 6 }]),
                "rate cost: is 6, and the burst is 5: such a task could never start",
            ),
            (json!([{ "limit": "10/s", "burst": 5, "cost": "{size}" }]), "rate cost: is 6, and the burst is 5"),
            (json!([{ "limit": "10/s", "cost": "{size}" }]), "rate burst: is missing: where an argument says what a task costs"),
            (json!([{ "limit": "10/s" }, { "limit": "20/m" }]), "rate: has two rules without a key; give each a key of its own"),
            (json!([{ "limit": "10/s", "cost": 0 }]), "rate cost: is no whole number"),
            (json!([{ "limit": "10/s", "cost": 11 }]), "rate cost: is 11, and the burst is 10"),
            (json!([{ "limit": "10/s", "burst": 5, "strategy": "sliding_window" }]), "rate burst: is of a token bucket"),
            (json!([{ "limit": "5/s", "strategy": "sliding_window", "cost": 6 }]), "rate cost: is 6, and the burst is 5"),
            (json!([{ "key": "{key}", "limit": "5/s" }]), "rate key: begins with"),
            (json!([{ "key": "{list}", "limit": "5/s" }]), "a list or an object"),
            (json!([{ "key": "{nobody}", "limit": "5/s" }]), "takes `nobody`, which is not there"),
            (json!([{ "key": "{long}", "limit": "5/s" }]), "rate key: has 256 bytes with `rate:`"),
            (json!([{ "key": "a", "limit": "5/s" }, { "key": "a", "limit": "6/s" }]), "rate: has two rules with the key \"a\""),
            (json!([{ "key": "{size}", "limit": "7/s" }, { "key": "6", "limit": "7/s" }]), "the key \"rate:6\" by two rules"),
            (json!((0..9).map(|n| json!({ "key": n.to_string(), "limit": "1/s" })).collect::<Vec<_>>()), "has 9 rules"),
            (json!([{ "limit": "often" }]), "is no rate"),
            (json!([{ "limit": "5/s", "brust": 1 }]), "unknown field `brust`"),
        ] {
            let error = needs(given.clone(), &args).unwrap_err();
            assert!(error.contains(says), "{given}: {error}");
        }
    }
}
