use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{limits, parse_duration};

/// How long to wait before the next attempt.
///
/// Written as data so that it can be stated in code, in configuration and in a single enqueue. The wait is drawn with
/// *full jitter* (a uniform draw between zero and the computed delay), which spreads a herd of failed tasks best; see
/// [Exponential Backoff And Jitter](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). A list
/// and a fixed delay are taken as they stand, since whoever wrote a ladder meant its steps.
///
/// In JSON and in configuration: `"5s"` (fixed), `["1s", "10s", "1m"]` (a list, whose last step repeats), or
/// `{"exponential": "2s", "max": "1h", "jitter": true}`.
///
/// ```
/// use gristmill_core::Backoff;
/// use std::time::Duration;
/// let backoff: Backoff = serde_json::from_str(r#"{"exponential": "2s", "max": "1h"}"#).unwrap();
/// assert_eq!(backoff.ceiling(3), Duration::from_secs(8));
/// assert!(backoff.delay(3, 0.5) <= Duration::from_secs(4));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// The same delay after each failed attempt.
    Fixed(Duration),
    /// `base`, then twice that, and so on, never above `max`.
    Exponential {
        /// The ceiling after the first failure.
        base: Duration,
        /// The ceiling of all.
        max: Duration,
        /// Draw between zero and the ceiling rather than waiting for all of it.
        jitter: bool,
    },
    /// One delay after another; the last one repeats.
    List(Vec<Duration>),
}

impl Default for Backoff {
    /// Two seconds, doubling up to one hour, with full jitter.
    fn default() -> Self {
        Self::Exponential { base: Duration::from_secs(2), max: Duration::from_secs(3600), jitter: true }
    }
}

impl Backoff {
    /// The delay after the `failures`-th failed attempt (the first is 1), `random` in `0.0..1.0`.
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let ceiling = self.ceiling(failures);
        match self {
            Self::Exponential { jitter: true, .. } => ceiling.mul_f64(random.clamp(0.0, 1.0)),
            _ => ceiling,
        }
    }

    /// Checks that its parts fit together.
    ///
    /// # Errors
    /// An exponential backoff that begins above its own ceiling, as one of the two numbers is a slip, and a list of more than
    /// [`BACKOFF_STEPS_MAX`](limits::BACKOFF_STEPS_MAX) steps.
    pub fn check(&self) -> Result<(), limits::InvalidInput> {
        match self {
            Self::Exponential { base, max, .. } if base > max => {
                let (base, max) = (crate::format_duration(*base), crate::format_duration(*max));
                let problem = format!("begins with {base}, which is above its max of {max} (1h if it is left out)");
                Err(limits::InvalidInput::new("backoff", problem))
            }
            Self::List(steps) if steps.len() > limits::BACKOFF_STEPS_MAX => {
                let (steps, most) = (steps.len(), limits::BACKOFF_STEPS_MAX);
                Err(limits::InvalidInput::new(
                    "backoff",
                    format!("has {steps} steps; at most {most} are kept, and the last repeats"),
                ))
            }
            _ => Ok(()),
        }
    }

    /// The longest that [`delay`](Self::delay) can be after the `failures`-th failed attempt.
    pub fn ceiling(&self, failures: u32) -> Duration {
        let nth = failures.max(1) - 1;
        let delay = match self {
            Self::Fixed(delay) => *delay,
            Self::Exponential { base, max, .. } => base.saturating_mul(1u32.checked_shl(nth).unwrap_or(u32::MAX)).min(*max),
            Self::List(steps) => steps.get(nth as usize).or(steps.last()).copied().unwrap_or_default(),
        };
        delay.min(limits::DURATION_MAX)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Fixed(String),
    List(Vec<String>),
    Exponential(Exponential),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exponential {
    exponential: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<String>,
    #[serde(default = "yes")]
    jitter: bool,
}

fn yes() -> bool {
    true
}

impl Serialize for Backoff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |d: &Duration| crate::format_duration(*d);
        match self {
            Self::Fixed(delay) => Form::Fixed(text(delay)),
            Self::List(steps) => Form::List(steps.iter().map(text).collect()),
            Self::Exponential { base, max, jitter } => {
                Form::Exponential(Exponential { exponential: text(base), max: Some(text(max)), jitter: *jitter })
            }
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Backoff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let form = Form::deserialize(deserializer).map_err(|_| {
            D::Error::custom("backoff is a duration (\"5s\"), a list of durations, or { exponential = \"2s\", max = \"1h\" }")
        })?;
        let read = |text: &String| parse_duration(text).map_err(D::Error::custom);
        Ok(match form {
            Form::Fixed(text) => Self::Fixed(read(&text)?),
            Form::List(steps) if steps.is_empty() => return Err(D::Error::custom("a list of delays needs at least one")),
            Form::List(steps) => Self::List(steps.iter().map(read).collect::<Result<_, _>>()?),
            Form::Exponential(form) => Self::Exponential {
                base: read(&form.exponential)?,
                max: form.max.as_ref().map_or(Ok(Duration::from_secs(3600)), read)?,
                jitter: form.jitter,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Backoff, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn grows_to_its_cap_and_never_overflows() {
        let backoff = read(r#"{"exponential":"2s","max":"1h"}"#).unwrap();
        assert_eq!(backoff.ceiling(1), Duration::from_secs(2));
        assert_eq!(backoff.ceiling(11), Duration::from_secs(2048));
        assert_eq!(backoff.ceiling(12), Duration::from_secs(3600));
        assert_eq!(backoff.ceiling(u32::MAX), Duration::from_secs(3600));
        assert_eq!(backoff.delay(5, 0.0), Duration::ZERO);
    }

    #[test]
    fn a_list_repeats_its_last_step() {
        let backoff = read(r#"["1s","5s"]"#).unwrap();
        assert_eq!([1, 2, 3, 90].map(|n| backoff.delay(n, 0.1).as_secs()), [1, 5, 5, 5]);
    }

    #[test]
    fn a_list_has_a_bounded_number_of_steps() {
        let list = |steps| Backoff::List(vec![Duration::from_secs(1); steps]).check();
        assert_eq!(list(limits::BACKOFF_STEPS_MAX), Ok(()));
        let error = list(limits::BACKOFF_STEPS_MAX + 1).unwrap_err();
        assert_eq!((error.field.as_str(), error.problem.contains("at most 100")), ("backoff", true), "{error}");
    }

    #[test]
    fn bad_forms_are_refused_and_good_ones_survive_a_round_trip() {
        for bad in ["5", "[]", "\"soon\"", r#"{"exponential":"2s","cap":"1h"}"#, "null"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        for good in ["\"100ms\"", "[\"1s\",\"2s\"]", r#"{"exponential":"2s","max":"1h","jitter":false}"#] {
            assert_eq!(serde_json::to_string(&read(good).unwrap()).unwrap(), good);
        }
    }
}
