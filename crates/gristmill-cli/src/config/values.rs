//! Values as they are written in the file.

use std::time::Duration;

use gristmill::Timestamp;
use gristmill::options::parse_duration;
use serde::{Deserialize, Deserializer, de};

/// `"5s"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_duration(&text(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

/// `"5s"`, or `"none"` for no limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit(pub(super) Option<Duration>);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match text(deserializer)?.as_str() {
            "none" => Ok(Self(None)),
            text => parse_duration(text)
                .map(|duration| Self(Some(duration)))
                .map_err(|why| de::Error::custom(format!("{why}; or \"none\""))),
        }
    }
}

/// `2027-01-31T09:00:00Z`, as TOML's own date with an offset or as text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instant(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "wanted a date with an offset, such as 2027-01-31T09:00:00Z")]
        enum Written {
            Text(String),
            Date(toml::value::Datetime),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Text(text) => text,
            Written::Date(date) => date.to_string(),
        };
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Text;
    impl de::Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string with a duration, such as \"5s\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }
    deserializer.deserialize_str(Text)
}
