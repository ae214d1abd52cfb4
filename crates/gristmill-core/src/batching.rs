use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{InvalidInput, Template, format_duration, limits, parse_duration};

/// How a worker gathers tasks of one type to run them in one call of their handler. In JSON and configuration:
/// `{"size": 1000, "wait": "200ms", "key": "{tenant}"}`.
///
/// ```
/// use gristmill_core::Batching;
/// use std::time::Duration;
///
/// let batching = Batching::new(1000, Duration::from_millis(200)).by("{tenant}".parse()?);
/// assert_eq!(serde_json::to_string(&batching).unwrap(), r#"{"size":1000,"wait":"200ms","key":"{tenant}"}"#);
/// assert!(Batching::new(0, Duration::ZERO).check().is_err());
/// # Ok::<(), gristmill_core::InvalidInput>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batching {
    /// The most tasks of one call, at most [`BATCH_SIZE_MAX`](limits::BATCH_SIZE_MAX).
    pub size: usize,
    /// How long the first of them waits for more, at most [`BATCH_WAIT_MAX`](limits::BATCH_WAIT_MAX).
    #[serde(serialize_with = "written", deserialize_with = "read")]
    pub wait: Duration,
    /// What all tasks of one call have in common, of their arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Template>,
}

impl Batching {
    /// So many tasks, of which the first waits so long.
    pub const fn new(size: usize, wait: Duration) -> Self {
        Self { size, wait, key: None }
    }

    /// Lets only tasks into one call of which this comes out the same.
    #[must_use]
    pub fn by(self, key: Template) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Checks the values against [`limits`].
    ///
    /// # Errors
    /// The first one that is out of range.
    pub fn check(&self) -> Result<(), InvalidInput> {
        if self.size == 0 || self.size > limits::BATCH_SIZE_MAX {
            let problem = format!("its size is at least 1 and at most {}", limits::BATCH_SIZE_MAX);
            return Err(InvalidInput::new("batch", problem));
        }
        if self.wait > limits::BATCH_WAIT_MAX {
            let problem =
                format!("its wait is at most {}; a worker holds the tasks meanwhile", format_duration(limits::BATCH_WAIT_MAX));
            return Err(InvalidInput::new("batch", problem));
        }
        Ok(())
    }
}

fn written<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_gathered_is_refused() {
        let at = |size, secs| Batching::new(size, Duration::from_secs(secs)).check().map_err(|error| error.to_string());
        assert_eq!(at(1, 0), Ok(()));
        assert_eq!(at(10_000, 60), Ok(()));
        assert!(at(0, 1).unwrap_err().contains("at least 1 and at most 10000"));
        assert!(at(10_001, 1).unwrap_err().contains("at most 10000"));
        assert!(at(10, 61).unwrap_err().contains("its wait is at most 1m"));
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        let text = r#"{"size":10,"wait":"1s"}"#;
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Batching>(text).unwrap()).unwrap(), text);
        for wrong in
            [r#"{"size":10}"#, r#"{"size":10,"wait":"soon"}"#, r#"{"size":10,"wait":"1s","key":"{"}"#, r#"{"wait":"1s"}"#]
        {
            assert!(serde_json::from_str::<Batching>(wrong).is_err(), "{wrong}");
        }
    }
}
