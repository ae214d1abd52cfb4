//! How many tasks with one key may run at once. What a task type declares ([`Concurrency`]) becomes, once, at the enqueue, what one task needs
//! ([`Need`]): slots of keys. A task that needs some waits until [`admission`] gives it all of them, and holds them until its attempt is over.

pub mod admission;
mod excess;
pub mod fair;
mod limit;
mod rate;
mod spent;

use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub use excess::{OnExcess, evict};
pub use fair::FairBy;
pub use limit::{Holder, KeyLimits, KeyState, Limit, LimitInfo, LimitRecord, Standby};
pub use rate::{Pace, PerTime, Rate, Rates, Strategy};
pub use spent::{Ruled, Spent, takes};

use crate::limits::{CONCURRENCY_MAX, NAME_BYTES_MAX};
use crate::{InvalidInput, Template};

/// The most rules that a task type may have.
pub const RULES_MAX: usize = 8;
/// What stands before the key of a sequence, so that no limit has it.
pub const SEQUENCE: &str = "sequence:";
/// What stands before a task type and a key, of tasks that run after one another by their [unique key](crate::unique::OnConflict::RunAfter).
pub const AFTER: &str = "after:";
/// What stands before the name of a task type, where that is the key of all of its tasks.
pub const OF_TYPE: &str = "type:";

/// What stands before the name of a queue, where that is the key of all of its tasks.
pub const OF_QUEUE: &str = "queue:";
/// What stands before the key of a rate, or before [`OF_TYPE`] where that is of a task type.
pub const RATE: &str = "rate:";

/// What stands before the key by which a queue is fair: behind it the priority, and the queue's name.
pub const FAIR: &str = "fair:";

/// A rule of a task type: how many of its tasks with one key may run at once, in all workers together. Types whose rules name the same key share
/// its slots.
///
/// In configuration and as JSON: `{ "key": "openstack:{settings_id}", "limit": 4 }`, with `cost` beside if tasks take more than one slot, and `on_excess`
/// if those that find none are not to wait.
///
/// ```
/// use gristmill_core::concurrency::Concurrency;
/// use serde_json::json;
///
/// let rule: Concurrency = serde_json::from_value(json!({ "key": "openstack:{settings_id}", "limit": 4 }))?;
/// let needs = Concurrency::needs(&[rule], &[], "provision", &json!({ "settings_id": 7 }))?;
/// assert_eq!((needs[0].key.as_str(), needs[0].limit, needs[0].cost), ("openstack:7", 4, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// Whose slots it takes, with values of the arguments in braces. `None`: all tasks of the type take those of one key, [`OF_TYPE`] with its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Template>,
    /// How many slots the key has: a number, or an argument's in braces, so that each tenant may bring his own. What the newest task says
    /// holds for all of the key, unless an operator says otherwise.
    pub limit: Quantity,
    /// How many slots a task takes: a number, or an argument's in braces.
    #[serde(default, skip_serializing_if = "Quantity::is_one")]
    pub cost: Quantity,
    /// Whether it holds them until the task has ended, also while it waits for its next attempt; else an attempt at a time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_ended: bool,
    /// What becomes of a task for which there is no slot; see [`OnExcess`].
    #[serde(default, skip_serializing_if = "OnExcess::is_wait")]
    pub on_excess: OnExcess,
}

/// Rules as they are written: `4`, for all tasks of a type together; one as a [`Concurrency`] is written; or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules(pub Vec<Concurrency>);

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, as an untagged choice forgets what was wrong with the one that was meant.
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Rules;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a rule such as { key = \"{tenant}\", limit = 4 }, or a list of rules")
            }

            fn visit_u64<E: Error>(self, limit: u64) -> Result<Rules, E> {
                let limit = u32::try_from(limit).unwrap_or(u32::MAX);
                Ok(Rules(vec![Concurrency::of_type(limit)]))
            }

            fn visit_i64<E: Error>(self, limit: i64) -> Result<Rules, E> {
                // What is below 0 is as little a limit as that.
                self.visit_u64(u64::try_from(limit).unwrap_or_default())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rules, A::Error> {
                limits(vec![Concurrency::deserialize(MapAccessDeserializer::new(map))?])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Rules, A::Error> {
                limits(Vec::deserialize(SeqAccessDeserializer::new(list))?)
            }
        }
        fn limits<E: Error>(rules: Vec<Concurrency>) -> Result<Rules, E> {
            if rules.iter().any(|rule| rule.until_ended) {
                return Err(E::custom("what is held until a task has ended is a sequence; say `sequence` with its key"));
            }
            Ok(Rules(rules))
        }
        deserializer.deserialize_any(Look)
    }
}

/// A number that a rule gives, or takes from the arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Quantity {
    /// Itself.
    Number(u32),
    /// What the template says once it is filled.
    Of(Template),
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl Visitor<'_> for Look {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from 1 to {CONCURRENCY_MAX}, or an argument in braces such as \"{{size}}\"")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Quantity, E> {
                // Whatever is too large is as little a number of slots as the largest.
                Ok(Quantity::Number(u32::try_from(number).unwrap_or(u32::MAX)))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Quantity, E> {
                self.visit_u64(u64::try_from(number).unwrap_or_default())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Quantity, E> {
                let template: Template = text.parse().map_err(E::custom)?;
                // A number in quotes is one; any other text without an argument never will be.
                if template.fields().next().is_some() {
                    return Ok(Quantity::Of(template));
                }
                text.parse().map(Quantity::Number).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Look)
    }
}

impl Default for Quantity {
    /// One.
    fn default() -> Self {
        Self::Number(1)
    }
}

impl From<u32> for Quantity {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

impl From<Template> for Quantity {
    fn from(template: Template) -> Self {
        Self::Of(template)
    }
}

impl Quantity {
    fn is_one(&self) -> bool {
        *self == Self::Number(1)
    }

    fn template(&self) -> Option<&Template> {
        match self {
            Self::Of(template) => Some(template),
            Self::Number(_) => None,
        }
    }

    fn of(&self, field: &'static str, args: &Value) -> Result<u32, InvalidInput> {
        let number = match self {
            Self::Number(number) => Some(*number),
            Self::Of(template) => template.fill(|name| args.get(name))?.parse().ok(),
        };
        number.filter(|number| (1..=CONCURRENCY_MAX).contains(number)).ok_or_else(|| {
            let of = match self {
                Self::Number(_) => String::new(),
                Self::Of(template) => format!("`{template}` "),
            };
            InvalidInput::new(field, format!("{of}is no whole number from 1 to {CONCURRENCY_MAX}"))
        })
    }
}

/// What one task needs to run: slots of a key. It goes along with the task, so that it is the same after each attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The key.
    pub key: String,
    /// How many slots it has, as the task says.
    pub limit: u32,
    /// How many it takes.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub cost: u32,
    /// Whether it holds them until it has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_ended: bool,
    /// In which time there are so many, if that is a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// What becomes of it where there is no slot.
    #[serde(default, skip_serializing_if = "OnExcess::is_wait", deserialize_with = "OnExcess::known")]
    pub on_excess: OnExcess,
}

impl Need {
    /// One slot of a key that has so many, for an attempt at a time.
    pub fn of(key: impl Into<String>, limit: u32) -> Self {
        Self { key: key.into(), limit, cost: 1, until_ended: false, pace: None, on_excess: OnExcess::Wait }
    }

    /// In which order the needs of a task come. It waits in the line of the first until that has room, and then of another that has none: of a fair queue one
    /// of each key is to wait elsewhere, and a rule of those for which there is no slot is to be seen, and not only once the others have room.
    pub(crate) fn in_order(&self) -> (bool, bool, &str) {
        (!self.is_turn(), self.on_excess.is_wait(), &self.key)
    }

    /// Whether it is a turn in a fair queue, of which there is always one.
    pub fn is_turn(&self) -> bool {
        self.key.starts_with(FAIR)
    }

    /// Whether it is one in this line: a task that was moved to another queue takes none there.
    pub fn is_turn_in(&self, queue: &str, priority: i64) -> bool {
        let of_line =
            || self.key.strip_prefix(FAIR)?.strip_prefix(&format!("{priority}:"))?.strip_prefix(queue)?.strip_prefix(':');
        of_line().is_some()
    }

    /// The limit of its key, as the task says.
    pub const fn limit(&self) -> Limit {
        Limit { count: self.limit, pace: self.pace }
    }
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
const fn is_one(cost: &u32) -> bool {
    *cost == 1
}

impl Concurrency {
    /// At most so many of all tasks of the type at once.
    pub fn of_type(limit: u32) -> Self {
        let limit = Quantity::Number(limit);
        Self { key: None, limit, cost: Quantity::default(), until_ended: false, on_excess: OnExcess::Wait }
    }

    /// At most so many with a key at once.
    pub fn of(key: Template, limit: u32) -> Self {
        Self { key: Some(key), ..Self::of_type(limit) }
    }

    /// One after the other: the next with the key starts when the one before has ended, whatever its attempts were.
    pub fn sequence(key: Template) -> Self {
        Self { until_ended: true, ..Self::of(key, 1) }
    }

    /// At most so many of all tasks of a queue at once: what each of them needs.
    pub(crate) fn need_of_queue(queue: &str, limit: u32) -> Result<Need, InvalidInput> {
        let key = format!("{OF_QUEUE}{queue}");
        if key.len() > NAME_BYTES_MAX {
            let problem =
                format!("with a concurrency of its own has at most {} bytes in its name", NAME_BYTES_MAX - OF_QUEUE.len());
            return Err(InvalidInput::new("queue", problem));
        }
        let limit = Quantity::Number(limit).of("concurrency of the queue", &Value::Null)?;
        Ok(Need::of(key, limit))
    }

    /// The names of the arguments that it takes, with the ways to their parts.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        [self.key.as_ref(), self.limit.template(), self.cost.template()].into_iter().flatten().flat_map(Template::fields)
    }

    /// Checks what can be checked without arguments.
    ///
    /// # Errors
    /// A limit or a cost of 0 or above [`CONCURRENCY_MAX`], a cost above the limit, more than [`RULES_MAX`] rules.
    pub fn check(rules: &[Self], rates: &[Rate]) -> Result<(), InvalidInput> {
        let count = rules.len() + rates.len();
        if count > RULES_MAX {
            return Err(InvalidInput::new("concurrency", format!("has {count} rules; at most {RULES_MAX} are allowed")));
        }
        rates.iter().try_for_each(Rate::check)?;
        if rules.iter().any(|rule| rule.until_ended) && rules.iter().any(|rule| !rule.on_excess.is_wait()) {
            return Err(OnExcess::beside_turns());
        }
        let twin = |(nth, rate): &(usize, &Rate)| rates[..*nth].iter().any(|other| other.key == rate.key);
        if let Some((_, twin)) = rates.iter().enumerate().find(twin) {
            let of =
                twin.key.as_ref().map_or_else(|| "without a key".to_owned(), |key| format!("with the key {:?}", key.to_string()));
            let problem =
                format!("has two rules {of}; give each a key of its own, such as `api:{{host}}:s` and `api:{{host}}:m`");
            return Err(InvalidInput::new("rate", problem));
        }
        for rule in rules {
            let of = |field, quantity: &Quantity| match quantity {
                Quantity::Number(_) => quantity.of(field, &Value::Null).map(Some),
                Quantity::Of(_) => Ok(None),
            };
            let (limit, cost) = (of("concurrency limit", &rule.limit)?, of("concurrency cost", &rule.cost)?);
            if let (Some(limit), Some(cost)) = (limit, cost) {
                fits("concurrency cost", cost, "limit", limit)?;
            }
            if let Some(key) = rule.key.as_ref().filter(|_| !rule.until_ended) {
                is_of_limits("concurrency key", &key.to_string())?;
            }
        }
        Ok(())
    }

    /// What a task of a type with these rules needs: those first with a rule for those for which there is no slot, and each part in the order of the keys.
    ///
    /// # Errors
    /// As [`check`](Self::check); a key that names an argument which is missing, null, a list or an object, or that is longer than a name may
    /// be; a number that is none; one key twice.
    pub fn needs(rules: &[Self], rates: &[Rate], kind: &str, args: &Value) -> Result<Vec<Need>, InvalidInput> {
        Self::check(rules, rates)?;
        let of_rates = rates.iter().map(|rate| rate.need(kind, args));
        let mut needs = rules.iter().map(|rule| rule.need(kind, args)).chain(of_rates).collect::<Result<Vec<_>, _>>()?;
        needs.sort_by(|one, other| one.in_order().cmp(&other.in_order()));
        let mut keys = BTreeSet::new();
        match needs.iter().find(|need| !keys.insert(&need.key)) {
            Some(twice) => Err(InvalidInput::new(
                "concurrency",
                format!("takes slots of the key {:?} by two rules; give one of them a key of its own", twice.key),
            )),
            None => Ok(needs),
        }
    }

    fn need(&self, kind: &str, args: &Value) -> Result<Need, InvalidInput> {
        let filled = self.key.as_ref().map(|key| key.fill(|name| args.get(name))).transpose()?;
        let key = match filled {
            None => format!("{OF_TYPE}{kind}"),
            Some(key) if self.until_ended => format!("{SEQUENCE}{key}"),
            Some(key) => {
                is_of_limits("concurrency key", &key)?;
                key
            }
        };
        if key.len() > NAME_BYTES_MAX {
            return Err(InvalidInput::new(
                "concurrency key",
                format!("has {} bytes; at most {NAME_BYTES_MAX} are allowed", key.len()),
            ));
        }
        let limit = self.limit.of("concurrency limit", args)?;
        let cost = self.cost.of("concurrency cost", args)?;
        fits("concurrency cost", cost, "limit", limit)?;
        Ok(Need { cost, until_ended: self.until_ended, on_excess: self.on_excess, ..Need::of(key, limit) })
    }
}

/// An argument may say anything, and is not to lift the limit of others.
fn is_of_limits(field: &'static str, key: &str) -> Result<(), InvalidInput> {
    if [SEQUENCE, AFTER, OF_TYPE, OF_QUEUE, RATE, FAIR].iter().any(|own| key.starts_with(own)) {
        let problem = format!(
            "begins with `{SEQUENCE}`, `{AFTER}`, `{OF_TYPE}`, `{OF_QUEUE}`, `{RATE}` or `{FAIR}`, as those of sequences, unique keys, whole task \
             types, queues, rates and fair queues do"
        );
        return Err(InvalidInput::new(field, problem));
    }
    Ok(())
}

fn fits(field: &'static str, cost: u32, of: &str, limit: u32) -> Result<(), InvalidInput> {
    if cost > limit {
        let problem = format!("is {cost}, and the {of} is {limit}: such a task could never start");
        return Err(InvalidInput::new(field, problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(rules: Value) -> Result<Vec<Concurrency>, String> {
        serde_json::from_value(rules).map_err(|error| error.to_string())
    }

    fn needs(given: Value, args: &Value) -> Result<Vec<Need>, String> {
        Concurrency::needs(&rules(given)?, &[], "mail.send", args).map_err(|error| error.to_string())
    }

    #[test]
    fn needs_come_from_rules_and_arguments_in_the_order_of_their_keys() {
        let args = json!({ "tenant": "z", "max": 3, "size": "2", "account": 7 });
        let given = json!([
            { "key": "t:{tenant}", "limit": "{max}", "cost": "{size}" },
            { "limit": 10 },
            { "key": "account:{account}", "limit": 1, "until_ended": true },
        ]);
        let need = |key: &str, limit, cost, until_ended| Need { cost, until_ended, ..Need::of(key, limit) };
        let expected =
            vec![need("sequence:account:7", 1, 1, true), need("t:z", 3, 2, false), need("type:mail.send", 10, 1, false)];
        assert_eq!(needs(given.clone(), &args), Ok(expected.clone()));
        assert_eq!(serde_json::to_value(rules(given.clone()).unwrap()).unwrap(), given);
        assert_eq!(
            serde_json::to_value(&expected[0]).unwrap(),
            json!({ "key": "sequence:account:7", "limit": 1, "until_ended": true })
        );
        assert_eq!(serde_json::from_value::<Vec<Need>>(serde_json::to_value(&expected).unwrap()).unwrap(), expected);
    }

    #[test]
    fn what_could_never_run_is_refused() {
        let args = json!({
            "zero": 0, "many": 5, "text": "x", "list": [1], "long": "x".repeat(250), "less": -1, "half": 1.5,
            "kind": "type:a", "seq": "sequence:a",
        });
        for (given, says) in [
            (json!([{ "key": "k", "limit": 0 }]), "concurrency limit: is no whole number from 1 to 100000"),
            (json!([{ "key": "k", "limit": -1 }]), "concurrency limit: is no whole number from 1"),
            (json!([{ "key": "k", "limit": u64::MAX }]), "concurrency limit: is no whole number from 1"),
            (json!([{ "key": "k", "limit": 100_001 }]), "concurrency limit: is no whole number from 1"),
            (json!([{ "key": "k", "limit": 4, "cost": 0 }]), "concurrency cost: is no whole number from 1"),
            (
                json!([{ "key": "k", "limit": 4, "cost": 5 }]),
                "concurrency cost: is 5, and the limit is 4: such a task could never start",
            ),
            (json!([{ "key": "k", "limit": 4, "cost": "{many}" }]), "concurrency cost: is 5, and the limit is 4"),
            (json!([{ "key": "k", "limit": "{zero}" }]), "concurrency limit: `{zero}` is no whole number"),
            (json!([{ "key": "k", "limit": "{less}" }]), "`{less}` is no whole number"),
            (json!([{ "key": "k", "limit": "{half}" }]), "`{half}` is no whole number"),
            (json!([{ "key": "k", "limit": "{text}" }]), "`{text}` is no whole number"),
            (
                json!([{ "key": "{kind}x", "limit": 1 }]),
                "concurrency key: begins with `sequence:`, `after:`, `type:`, `queue:`, `rate:` or `fair:`",
            ),
            (
                json!([{ "key": "{seq}", "limit": 1 }]),
                "concurrency key: begins with `sequence:`, `after:`, `type:`, `queue:`, `rate:` or `fair:`",
            ),
            (json!([{ "key": "{nobody}", "limit": 1 }]), "takes `nobody`, which is not there"),
            (json!([{ "key": "{list}", "limit": 1 }]), "a list or an object"),
            (json!([{ "key": "{long}{text}", "limit": 1, "until_ended": true }]), "concurrency key: has 260 bytes"),
            (json!([{ "key": "a", "limit": 1 }, { "key": "a", "limit": 2 }]), "the key \"a\" by two rules"),
            (json!(vec![json!({ "limit": 1 }); 9]), "has 9 rules; at most 8"),
            (
                json!([{ "key": "s", "limit": 1, "until_ended": true }, { "key": "a", "limit": 1, "on_excess": "drop" }]),
                "on_excess: ends what would wait",
            ),
        ] {
            let error = needs(given.clone(), &args).unwrap_err();
            assert!(error.contains(says), "{given}: {error}");
        }
        let order = json!([{ "key": "a", "limit": 1 }, { "key": "b", "limit": 1, "on_excess": "drop" }]);
        assert_eq!(needs(order, &args).unwrap()[0].key, "b", "its rule is seen first");
        for given in [
            json!([{ "key": "k" }]),
            json!([{ "key": "k", "limit": "many" }]),
            json!([{ "key": "k", "limit": 1.5 }]),
            json!([{ "key": "", "limit": 1 }]),
            json!([{ "limt": 1 }]),
        ] {
            assert!(rules(given.clone()).is_err(), "{given}");
        }
    }
}
