use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use gristmill_core::Timestamp;
use serde::{Deserialize, Serialize, de};

use super::error::{RuleError, near};
use super::timing::text;

/// What makes a schedule tick, as it was written.
///
/// Stored as JSON with the name of the kind in `kind`: `{"kind":"cron","expr":"0 3 * * *"}`. Fields that this version does
/// not know are ignored. A rule may say what can't be: [`Timing::plan`](super::Timing::plan) checks it.
///
/// `docs/schedules.md` has the full syntax, and what daylight saving does to each kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// Again and again at one distance.
    #[non_exhaustive]
    Every {
        /// The distance, from [`INTERVAL_MIN`](super::INTERVAL_MIN) to [`INTERVAL_MAX`](super::INTERVAL_MAX); as text: `"10m"`.
        #[serde(with = "text")]
        every: Duration,
        /// False: counted from [`Timing::start`](super::Timing::start), which is then the first tick; without a start
        /// from [`Timing::anchor`](super::Timing::anchor), and then the first tick is one distance later.
        ///
        /// True: on the local clock, at multiples of the distance since Monday 1970-01-05 00:00. `10m` is at :00, :10, :20;
        /// `6h` at 00:00, 06:00, 12:00, 18:00; `1d` at midnight; `1w` on Monday at midnight.
        #[serde(default, skip_serializing_if = "is_false")]
        aligned: bool,
        /// Whether the anchor itself is a tick: the first run is at once and not after one distance.
        #[serde(default, skip_serializing_if = "is_false")]
        at_once: bool,
    },
    /// A cron expression: five fields (minute, hour, day of month, month, day of week), six (seconds first), or an alias
    /// such as `@daily`. Where both days are restricted, either one suffices.
    #[non_exhaustive]
    Cron {
        /// The expression.
        expr: String,
    },
    /// Celery's `crontab`: five fields in the order of `crontab.from_string` (minute, hour, day of month, month, day of
    /// week), read as Celery reads them. Both days must match.
    #[non_exhaustive]
    Crontab {
        /// The expression.
        expr: String,
    },
    /// What the sun does at a place. Days on which it does not happen have no tick.
    #[non_exhaustive]
    Solar {
        /// The event.
        event: SolarEvent,
        /// In degrees, north is positive: -90 to 90.
        latitude: f64,
        /// In degrees, east is positive: -180 to 180.
        longitude: f64,
    },
    /// Once.
    #[non_exhaustive]
    On {
        /// The instant.
        at: Timestamp,
    },
}

impl Rule {
    /// Every `every`, counted from the start or the anchor.
    pub const fn every(every: Duration) -> Self {
        Self::Every { every, aligned: false, at_once: false }
    }

    /// Every `every`, on the local clock: `10m` is at :00, :10, :20 and so on.
    pub const fn aligned(every: Duration) -> Self {
        Self::Every { every, aligned: true, at_once: false }
    }

    /// The first run of an interval without a start is at once, and not after one distance. Other rules stay as they are.
    #[must_use]
    pub fn at_once(mut self) -> Self {
        if let Self::Every { at_once, .. } = &mut self {
            *at_once = true;
        }
        self
    }

    /// A cron expression of five or six fields, or an alias such as `@daily`.
    pub fn cron(expr: impl Into<String>) -> Self {
        Self::Cron { expr: expr.into() }
    }

    /// A crontab expression as Celery reads it.
    pub fn crontab(expr: impl Into<String>) -> Self {
        Self::Crontab { expr: expr.into() }
    }

    /// An event of the sun at a place, in degrees north and east.
    pub const fn solar(event: SolarEvent, latitude: f64, longitude: f64) -> Self {
        Self::Solar { event, latitude, longitude }
    }

    /// Once, at an instant.
    pub const fn on(at: Timestamp) -> Self {
        Self::On { at }
    }
}

/// What the sun does, under Celery's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SolarEvent {
    /// The centre of the sun rises through 18 degrees below the horizon.
    DawnAstronomical,
    /// It rises through 12 degrees below the horizon.
    DawnNautical,
    /// It rises through 6 degrees below the horizon.
    DawnCivil,
    /// The upper edge of the sun appears, with the usual refraction of 34 arc minutes.
    Sunrise,
    /// The sun crosses the meridian. It does so every day, also where it stays below the horizon.
    SolarNoon,
    /// The upper edge of the sun disappears, with the usual refraction of 34 arc minutes.
    Sunset,
    /// The centre of the sun sinks through 6 degrees below the horizon.
    DuskCivil,
    /// It sinks through 12 degrees below the horizon.
    DuskNautical,
    /// It sinks through 18 degrees below the horizon.
    DuskAstronomical,
}

impl SolarEvent {
    /// Every event, in the order of a day.
    pub const ALL: [Self; 9] = [
        Self::DawnAstronomical,
        Self::DawnNautical,
        Self::DawnCivil,
        Self::Sunrise,
        Self::SolarNoon,
        Self::Sunset,
        Self::DuskCivil,
        Self::DuskNautical,
        Self::DuskAstronomical,
    ];

    /// The name, as it is written and stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DawnAstronomical => "dawn_astronomical",
            Self::DawnNautical => "dawn_nautical",
            Self::DawnCivil => "dawn_civil",
            Self::Sunrise => "sunrise",
            Self::SolarNoon => "solar_noon",
            Self::Sunset => "sunset",
            Self::DuskCivil => "dusk_civil",
            Self::DuskNautical => "dusk_nautical",
            Self::DuskAstronomical => "dusk_astronomical",
        }
    }
}

impl fmt::Display for SolarEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SolarEvent {
    type Err = RuleError;

    fn from_str(name: &str) -> Result<Self, RuleError> {
        Self::ALL.into_iter().find(|event| event.name() == name).ok_or_else(|| RuleError::UnknownEvent {
            name: name.to_owned(),
            near: near(name, Self::ALL.into_iter().map(Self::name)),
        })
    }
}

impl Serialize for SolarEvent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for SolarEvent {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

const fn is_false(value: &bool) -> bool {
    !*value
}
