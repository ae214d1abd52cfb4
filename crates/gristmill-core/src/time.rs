use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant of the store's clock, in milliseconds since 1970-01-01T00:00:00Z.
///
/// Shown and read as RFC 3339 in UTC, between the years 1970 and 9999.
///
/// ```
/// use gristmill_core::Timestamp;
/// let end: Timestamp = "2027-01-31T10:00:00+01:00".parse()?;
/// assert_eq!(end.to_string(), "2027-01-31T09:00:00.000Z");
/// # Ok::<(), gristmill_core::TimestampError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first instant: 1970-01-01T00:00:00Z.
    pub const MIN: Self = Self(0);
    /// The last instant: 9999-12-30T22:00:00Z, the end of what every calendar library at hand can show.
    pub const MAX: Self = Self(253_402_207_200_000);

    /// The instant `ms` milliseconds after 1970, moved into [`MIN`](Self::MIN)..=[`MAX`](Self::MAX).
    pub const fn from_millis(ms: i64) -> Self {
        if ms < Self::MIN.0 {
            Self::MIN
        } else if ms > Self::MAX.0 {
            Self::MAX
        } else {
            Self(ms)
        }
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant and `by` later, at most [`MAX`](Self::MAX).
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(ms))
    }

    /// This instant and `by` earlier, at least [`MIN`](Self::MIN).
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(ms))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no [`Timestamp`]. It says what was read and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TimestampError(String);

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let unread = |error: jiff::Error| {
            let why = match format!("{text}Z").parse::<jiff::Timestamp>() {
                Ok(_) => "it says no time zone; add Z, or an offset such as +01:00".to_owned(),
                Err(_) => error.to_string(),
            };
            TimestampError(format!("`{text}` is not an RFC 3339 date such as 2027-01-31T09:00:00Z: {why}"))
        };
        let instant: jiff::Timestamp = text.parse().map_err(unread)?;
        let ms = instant.as_millisecond();
        if (Self::MIN.0..=Self::MAX.0).contains(&ms) {
            Ok(Self(ms))
        } else {
            let range = format!("`{text}` is out of range: dates from {} to {} can be kept", Self::MIN, Self::MAX);
            Err(TimestampError(range))
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// Reads a duration such as `100ms`, `5s`, `1.5h`, `1h30m` or `7d`.
///
/// Units are `ms`, `s`, `m`, `h`, `d` and `w`. The result is rounded down to whole milliseconds and is at most
/// [`limits::DURATION_MAX`](crate::limits::DURATION_MAX).
///
/// # Errors
/// A text that says what was read and what would be right.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(gristmill_core::parse_duration("1h30m").unwrap(), Duration::from_secs(5400));
/// assert!(gristmill_core::parse_duration("10").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let hint =
        || format!("`{text}` is not a duration: write a number and a unit (ms, s, m, h, d, w), such as 100ms, 5s or 1h30m");
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(hint());
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(hint)?;
        let number: f64 = rest[..digits].parse().map_err(|_| hint())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = rest[..letters].trim();
        let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(hint)?;
        total += number * *ms as f64;
        rest = &rest[letters..];
    }
    let max = crate::limits::DURATION_MAX;
    if total > max.as_millis() as f64 {
        return Err(format!("`{text}` is too long: at most {} can be kept", format_duration(max)));
    }
    Ok(Duration::from_millis(total as u64))
}

/// Writes a duration as [`parse_duration`] reads it, in the largest unit that needs no fraction. Weeks are written in days,
/// as people write a retention of `7d` or `30d`.
pub fn format_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let (name, unit) = UNITS.iter().rev().skip(1).find(|(_, unit)| ms.is_multiple_of(*unit)).unwrap_or(&UNITS[0]);
    format!("{}{name}", ms / unit)
}

/// The units of a [`rough_duration`]; a year has 365 days.
const ROUGH: [(&str, u64); 5] = [("y", 365 * 86_400_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// Writes a duration for people, who want to know about how long it is: by its two largest units, rounded down, as `6y 332d`,
/// `3h 5m` or `12s`; below a second in milliseconds. [`format_duration`] writes all of it.
pub fn rough_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut units = ROUGH.iter().skip_while(|(_, unit)| ms < *unit);
    let Some((name, unit)) = units.next() else { return format!("{ms}ms") };
    match units.next().map(|(name, smaller)| (name, ms % unit / smaller)) {
        Some((smaller, rest)) if rest > 0 => format!("{}{name} {rest}{smaller}", ms / unit),
        _ => format!("{}{name}", ms / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, ms) in
            [("100ms", 100), ("5s", 5_000), ("1h30m", 5_400_000), ("1.5h", 5_400_000), ("0", 0), ("2w", 1_209_600_000)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
        for text in ["", "5", "s", "5x", "-5s", "1e9s", "5 s s", "..s", "99999999w"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["100ms", "5s", "90m", "1d", "0s", "7d"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn long_times_are_told_roughly() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (59_999, "59s"),
            (60_000, "1m"),
            (11_105_000, "3h 5m"),
            (86_399_999, "23h 59m"),
            (218_065_000_865, "6y 333d"),
            (u64::MAX, "584942417y 129d"),
        ] {
            assert_eq!(rough_duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn dates_out_of_range_are_refused() {
        for text in ["1969-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "tomorrow", "2027-02-30T00:00:00Z", ""] {
            let error: Box<dyn std::error::Error> = text.parse::<Timestamp>().unwrap_err().into();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
        let error = "2027-01-31T09:00:00".parse::<Timestamp>().unwrap_err();
        assert!(error.to_string().ends_with("add Z, or an offset such as +01:00"), "{error}");
        let at: Timestamp = "2027-01-31T09:00:00.25+01:00".parse().unwrap();
        assert_eq!(at.to_string(), "2027-01-31T08:00:00.250Z");
        assert_eq!(Timestamp::MAX.saturating_add(Duration::from_secs(1)), Timestamp::MAX);
    }
}
