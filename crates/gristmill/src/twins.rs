//! Keys that stand twice in one object of JSON. Each reader takes another of the two, so that what was checked here would not
//! be what a handler reads there.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::core::{InvalidInput, limits};

/// Checks that `args` are JSON in which every object has each of its keys once.
pub(crate) fn check(args: &str) -> Result<(), InvalidInput> {
    limits::check_depth("args", args)?;
    let wrong = |error: serde_json::Error| InvalidInput::new("args", format!("are not JSON with unique keys: {error}"));
    serde_json::from_str::<Unique>(args).map(drop).map_err(wrong)
}

/// Any value, of which nothing is kept.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if seen.contains(&key) {
                let shown: String = key.chars().take(100).collect();
                return Err(A::Error::custom(format!("the key `{shown}` is there twice in one object")));
            }
            seen.insert(key);
            entries.next_value::<Unique>()?;
        }
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_are_found_at_any_depth() {
        for good in ["{}", r#"{"a": {"a": [{"a": null}, {"a": -1.5e3}]}, "b": [true, 18446744073709551615]}"#] {
            check(good).unwrap();
        }
        for bad in [r#"{"a": 1, "a": 1}"#, r#"{"x": [{"a": 1, "\u0061": 2}]}"#, "{", r#"{"a": 1} {}"#] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
