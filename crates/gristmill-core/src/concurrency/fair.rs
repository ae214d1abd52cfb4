//! Fairness between the keys of a queue: whose tasks stand where in its line. Pure: a store reads where the line begins and ends, asks this, and writes
//! what it says. Nothing is held back by it; what is in line runs as soon as somebody is free.
//!
//! It is start-time fair queueing (Goyal, Vin and Cheng, 1996): each key has a clock of its own, which goes on by a step with each of its tasks, and tasks
//! stand in the line by these clocks. A key that had nothing to do begins with the clock of whoever is first in line, so that it is served next, and has
//! saved nothing up.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{FAIR, Need, Quantity};
use crate::kit::fnv;
use crate::limits::{CONCURRENCY_MAX, NAME_BYTES_MAX};
use crate::{InvalidInput, Template};

/// The largest weight of a key.
pub const WEIGHT_MAX: u32 = 10;
/// A step of a key of weight 1, which all weights divide.
pub const STEP: u32 = 2_520;
/// A turn and a task's own number in one, so that no two tasks have one place in line: so many bits are the number's. Two would meet of which the second comes 67 million
/// arrivals after the first and has its turn.
const NUMBER_BITS: u32 = 26;
/// Of a place less is kept of the turn: a twelfth of a step.
const COARSE: i64 = 210;
/// Above the places of all that come by their arrival, and below each that is a turn.
pub const PLACE_MIN: i64 = 1 << 50;
const TURN_MIN: i64 = (PLACE_MIN >> NUMBER_BITS) * COARSE;
/// 10 billion tasks of one key; a line that is empty then begins anew, and one that never is goes on in the order of arrival.
const TURN_MAX: i64 = (i64::MAX >> NUMBER_BITS) * COARSE;
/// A line that is empty and has come so far begins anew.
pub const TURN_LAST: i64 = TURN_MAX / 2;
/// So long the clock of a key is remembered, if none of its tasks comes.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How a queue is fair: between which keys, and which of them is served how much more often.
///
/// In configuration and as JSON: `"{tenant}"`, or `{ "key": "{tenant}", "weight": "{weight}" }`.
///
/// ```
/// use gristmill_core::concurrency::FairBy;
///
/// let rule: FairBy = serde_json::from_str(r#"{"key": "{tenant}", "weight": 3}"#)?;
/// assert_eq!(rule, FairBy::by("{tenant}".parse()?).weight(3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FairBy {
    /// Made of the arguments, at the enqueue. Tasks of which it can't be made, as they have no such argument, have one key together.
    pub key: Template,
    /// How often it is served where another key is served once: a whole number from 1 to [`WEIGHT_MAX`], or an argument's in braces.
    #[serde(skip_serializing_if = "Quantity::is_one")]
    pub weight: Quantity,
}

impl<'de> Deserialize<'de> for FairBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            key: Template,
            #[serde(default)]
            weight: Quantity,
        }
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = FairBy;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a key such as \"{tenant}\", or { key = \"{tenant}\", weight = \"{weight}\" }")
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<FairBy, E> {
                key.parse().map(FairBy::by).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FairBy, A::Error> {
                let Written { key, weight } = Written::deserialize(MapAccessDeserializer::new(map))?;
                Ok(FairBy { key, weight })
            }
        }
        deserializer.deserialize_any(Look)
    }
}

impl FairBy {
    /// Each key as often as any other.
    pub fn by(key: Template) -> Self {
        Self { key, weight: Quantity::default() }
    }

    /// See [`FairBy::weight`].
    #[must_use]
    pub fn weight(self, weight: impl Into<Quantity>) -> Self {
        Self { weight: weight.into(), ..self }
    }

    /// Checks what does not depend on arguments.
    ///
    /// # Errors
    /// A key that is the same for all tasks, a weight that is out of range.
    pub fn check(&self) -> Result<(), InvalidInput> {
        if self.key.fields().next().is_none() {
            let problem = "names no argument, so that all tasks would have one key; write it in braces, as in \"{tenant}\"";
            return Err(InvalidInput::new("fair_by", problem));
        }
        if let Quantity::Number(_) = &self.weight {
            self.weight_of(&Value::Null)?;
        }
        Ok(())
    }

    fn weight_of(&self, args: &Value) -> Result<u32, InvalidInput> {
        let field = "the weight of fair_by";
        let weight = self.weight.of(field, args).ok().filter(|weight| *weight <= WEIGHT_MAX);
        weight.ok_or_else(|| InvalidInput::new(field, format!("is no whole number; it is from 1 to {WEIGHT_MAX}")))
    }

    /// What a task of a queue needs to take its turn there.
    ///
    /// # Errors
    /// As [`check`](Self::check); a weight of the arguments that is none; a key that is too long with the queue's name.
    pub(crate) fn need(&self, queue: &str, priority: u8, args: &Value) -> Result<Need, InvalidInput> {
        self.check()?;
        let own = self.key.fill(|name| args.get(name)).unwrap_or_default();
        let key = format!("{FAIR}{priority}:{queue}:{own}");
        if key.len() > NAME_BYTES_MAX {
            let problem = format!(
                "has {} bytes with the name of the queue and what stands before it; at most {NAME_BYTES_MAX} are allowed",
                key.len()
            );
            return Err(InvalidInput::new("the key of fair_by", problem));
        }
        // Programs that know no fairness read it as a limit, of a few dozen at once.
        Ok(Need { cost: STEP / self.weight_of(args)?, ..Need::of(key, CONCURRENCY_MAX) })
    }
}

/// The line of a queue with one priority, or of whatever a store has lines of.
pub type Line = (i64, i64);

/// Whose turn it is, in some lines.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    lines: BTreeMap<Line, Bounds>,
    keys: BTreeMap<String, Clock>,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Whose turn it is.
    now: i64,
    /// The highest turn that was ever given.
    highest: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    /// The turn of its last task.
    last: Option<i64>,
    is_changed: bool,
}

impl Turns {
    /// The place of the first of those in a line that stand there by their turns, none if it is empty; and the highest turn that was ever given there, if that is
    /// remembered: a line that was empty goes on behind it, or the keys that had the last turns would wait for all others to come as far.
    pub fn look(&mut self, line: Line, first: Option<i64>, highest: Option<i64>) {
        let highest = highest.unwrap_or(TURN_MIN).clamp(TURN_MIN, TURN_MAX);
        let turn = |place: i64| (place >> NUMBER_BITS).saturating_mul(COARSE).clamp(TURN_MIN, TURN_MAX);
        let bounds = match first {
            Some(place) => Bounds { now: turn(place), highest },
            // Of the keys that were there before, nobody remembers more than this line has.
            None if highest > TURN_LAST => Bounds { now: TURN_MIN, highest: TURN_MIN },
            None => Bounds { now: highest, highest },
        };
        self.lines.insert(line, bounds);
    }

    /// The turn of the last task of a key, if it is remembered.
    pub fn remember(&mut self, key: &str, last: Option<i64>) {
        self.keys.insert(key.to_owned(), Clock { last, is_changed: false });
    }

    /// The place of the next task of a key in a line, which was looked at; of a task with this number. It stands behind all others of its key.
    pub fn next(&mut self, line: Line, need: &Need, number: i64) -> i64 {
        place(self.turn(line, need), number)
    }

    /// The same without the task's number.
    pub fn turn(&mut self, line: Line, need: &Need) -> i64 {
        let bounds = self.lines.entry(line).or_insert(Bounds { now: TURN_MIN, highest: TURN_MIN });
        let clock = self.keys.entry(need.key.clone()).or_default();
        let step = i64::from(need.cost.clamp(1, STEP));
        let turn = match clock.last.filter(|last| *last <= bounds.highest).map(|last| last.saturating_add(step)) {
            Some(turn) if turn > bounds.now => turn,
            // Those that begin together do so one after the other, and not all with the first.
            _ => bounds
                .now
                .saturating_add(COARSE + i64::try_from(fnv(need.key.bytes()) % 1_000).unwrap_or_default() * step / 1_100),
        };
        let turn = turn.clamp(TURN_MIN, TURN_MAX);
        bounds.highest = bounds.highest.max(turn);
        *clock = Clock { last: Some(turn), is_changed: true };
        turn
    }

    /// The lines that were looked at: where each begins, and the highest turn that was ever given there.
    pub fn lines(&self) -> impl Iterator<Item = (Line, i64, i64)> {
        self.lines.iter().map(|(line, bounds)| (*line, place(bounds.now, 0), bounds.highest))
    }

    /// The keys of which tasks were given a turn, with the last.
    pub fn given(&self) -> impl Iterator<Item = (&str, i64)> {
        self.keys.iter().filter(|(_, clock)| clock.is_changed).filter_map(|(key, clock)| Some((key.as_str(), clock.last?)))
    }
}

/// The key by which a store remembers the highest turn of a line; no task has it.
pub fn key_of((queue, priority): Line) -> String {
    format!("{FAIR}{priority}:#{queue}")
}

/// The place in line of a turn, for the task with this number.
pub const fn place(turn: i64, number: i64) -> i64 {
    (of_place(turn) << NUMBER_BITS) | (number & ((1 << NUMBER_BITS) - 1))
}

/// What of a turn stands in a place, above the bits of the number.
pub const fn of_place(turn: i64) -> i64 {
    turn / COARSE
}

/// How many bits of a place are of the task's number.
pub const fn number_bits() -> u32 {
    NUMBER_BITS
}

/// Whether a place in line is one by a turn, and not by the arrival.
pub const fn is_by_turn(place: i64) -> bool {
    place >= PLACE_MIN
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LINE: Line = (1, 5);

    fn need(key: &str, weight: u32) -> Need {
        let rule = FairBy::by("{tenant}".parse().unwrap()).weight(weight);
        rule.need("q", 5, &json!({ "tenant": key })).unwrap()
    }

    fn turns() -> Turns {
        let mut turns = Turns::default();
        turns.look(LINE, None, None);
        turns
    }

    /// Who is served in which order, of tasks that come in this order.
    fn served(tasks: &[(&str, u32)]) -> String {
        let mut turns = turns();
        let mut line: Vec<(i64, &str)> =
            tasks.iter().enumerate().map(|(n, (key, weight))| (turns.next(LINE, &need(key, *weight), n as i64), *key)).collect();
        line.sort_unstable();
        line.into_iter().map(|(_, key)| key).collect()
    }

    #[test]
    fn keys_take_turns_however_many_tasks_one_has() {
        let tasks: Vec<_> = [("a", 1); 10].into_iter().chain([("b", 1); 3]).collect();
        let order = served(&tasks);
        assert!(matches!(order.as_str(), "abababaaaaaaa" | "bababaaaaaaaa"), "{order}");
    }

    #[test]
    fn a_key_of_more_weight_is_served_so_much_more_often() {
        let tasks: Vec<_> = [("a", 1); 30].into_iter().chain([("b", 3); 30]).collect();
        let order = served(&tasks);
        let of_b = order[..20].matches('b').count();
        assert!((14..=16).contains(&of_b), "{order}");
        let tasks: Vec<_> = [("a", 1); 30].into_iter().chain([("b", 10); 30]).collect();
        let order = served(&tasks);
        assert!((18..=21).contains(&order[..22].matches('b').count()), "{order}");
    }

    #[test]
    fn whoever_comes_later_is_served_next_and_has_saved_nothing_up() {
        let mut turns = turns();
        let a: Vec<i64> = (0..100).map(|n| turns.next(LINE, &need("a", 1), n)).collect();
        // Half of them were served, and b was not there.
        let highest = turns.lines().next().map(|(.., highest)| highest);
        turns.look(LINE, Some(a[50]), highest);
        let b: Vec<i64> = (100..110).map(|n| turns.next(LINE, &need("b", 1), n)).collect();
        assert!(b[0] > a[50] && b[0] < a[52], "it is served next");
        assert!(b[9] > a[58] && b[9] < a[62], "and then by turns");
        let more = turns.next(LINE, &need("a", 1), 200);
        assert!(more > a[99], "those of a key keep their order");
    }

    #[test]
    fn a_line_that_was_empty_goes_on_where_it_was_and_begins_anew_when_no_turn_is_left() {
        let mut turns = turns();
        let first = turns.next(LINE, &need("a", 1), 0);
        assert!(first > PLACE_MIN);
        let ahead = TURN_LAST - 7;
        turns.look(LINE, None, Some(ahead));
        assert!(turns.next(LINE, &need("b", 1), 0) > place(ahead, 0));
        assert!(turns.lines().all(|(line, _, highest)| line == LINE && highest > ahead));
        turns.look(LINE, None, Some(TURN_MAX));
        turns.remember("a", Some(TURN_MAX - 7));
        let anew = turns.next(LINE, &need("b", 1), 0);
        assert!(anew < first + place(STEP.into(), 0));
        turns.remember("fair:5:q:a", Some(TURN_MAX - 7));
        assert!(
            turns.next(LINE, &need("a", 1), 0) < anew + place(STEP.into(), 0),
            "whoever had the last turns does not wait for all others"
        );
        for wrong in [i64::MIN, 0, i64::MAX] {
            let mut turns = self::turns();
            turns.remember("fair:5:q:a", Some(wrong));
            assert!(turns.next(LINE, &need("a", 1), wrong) >= PLACE_MIN);
            turns.look(LINE, Some(wrong), Some(wrong));
            assert!(turns.next(LINE, &need("a", 1), wrong) >= PLACE_MIN);
        }
    }

    /// Of which the store would keep one only, and refuse the other again and again.
    #[test]
    fn no_two_tasks_have_one_place_however_many_keys_there_are() {
        let mut turns = turns();
        let needs: Vec<Need> = (0..2_000).map(|key| need(&key.to_string(), 1)).collect();
        let places = (0..300_000).map(|n| turns.next(LINE, &needs[n * 7 % needs.len()], 2 * n as i64));
        assert_eq!(places.collect::<std::collections::HashSet<_>>().len(), 300_000);
    }

    #[test]
    fn what_is_wrong_is_refused_and_what_has_no_key_has_one_together() {
        let read = |rule: Value| serde_json::from_value::<FairBy>(rule).map_err(|error| error.to_string());
        for (rule, says) in [
            (json!("all"), "names no argument"),
            (json!({ "key": "{a}", "weight": 11 }), "from 1 to 10"),
            (json!({ "key": "{a}", "weight": 0 }), "from 1 to 10"),
            (json!({ "key": "{a}", "weight": "{w}" }), "is no whole number"),
            (json!({ "key": "{a}", "kee": 1 }), "kee"),
            (json!(7), "a key such as"),
        ] {
            let need = |rule: FairBy| rule.need("q", 5, &json!({ "a": 1, "w": "x" })).map_err(|error| error.to_string());
            let error = read(rule.clone()).and_then(need).unwrap_err();
            assert!(error.contains(says), "{rule}: {error}");
        }
        let rule = read(json!({ "key": "{tenant}" })).unwrap();
        assert_eq!(serde_json::to_value(&rule).unwrap(), json!({ "key": "{tenant}" }));
        assert_eq!(rule.need("q", 5, &json!({})).unwrap().key, "fair:5:q:");
        assert!(rule.need(&"q".repeat(250), 5, &json!({})).unwrap_err().to_string().contains("with the name of the queue"));
    }
}
