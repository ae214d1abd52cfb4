//! When the sun does something at a place: the low-precision position of Meeus, "Astronomical Algorithms", chapter 25 (good
//! to 0.01 degrees, a few seconds of time), and a search that follows the sun while it moves through the day.

use gristmill_core::Timestamp;

use super::error::RuleError;
use super::rule::SolarEvent;

/// An event of the sun at a place.
#[derive(Clone, Debug)]
pub(super) struct Sun {
    event: SolarEvent,
    latitude: f64,
    longitude: f64,
}

/// Whatever happens on some day of the year happens within so many days.
const SEARCH_DAYS: i32 = 400;
/// Refraction at the horizon, as almanacs (and Celery) take it: 34 arc minutes, in degrees.
const REFRACTION: f64 = 34.0 / 60.0;
/// The sun's radius seen from the mean distance, in degrees.
const RADIUS: f64 = 0.266_56;
/// How much lower the sun stands for an observer than for the Earth's centre, in degrees.
const PARALLAX: f64 = 8.794 / 3_600.0;
/// Noon of 1 January 2000, in milliseconds since 1970.
const J2000_MS: f64 = 946_728_000_000.0;
const DAY_MS: f64 = 86_400_000.0;
/// How far terrestrial time is ahead of the clock in our decades, in days.
const DELTA_T: f64 = 70.0 / 86_400.0;

impl Sun {
    pub(super) fn new(event: SolarEvent, latitude: f64, longitude: f64) -> Result<Self, RuleError> {
        for (axis, degrees, limit) in [("latitude", latitude, 90), ("longitude", longitude, 180)] {
            // Not `abs() > limit`: that lets NaN pass.
            if !(0.0..=f64::from(limit)).contains(&degrees.abs()) {
                return Err(RuleError::Coordinate { axis, degrees, limit });
            }
        }
        Ok(Self { event, latitude, longitude })
    }

    /// The first event after `after`, to the second.
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let days = (after.as_millis() as f64 - J2000_MS) / DAY_MS;
        // Noon number n is near day n - longitude / 360; each event of a day is within half a day of it.
        let nearest = (days + self.longitude / 360.0).floor() as i32 - 1;
        (nearest..nearest.saturating_add(SEARCH_DAYS)).filter_map(|noon| self.of_day(noon)).find(|at| *at > after)
    }

    pub(super) fn why_never(&self) -> String {
        format!("at latitude {} no day of the year has a {}", self.latitude, self.event.name().replace('_', " "))
    }

    /// The event that belongs to the noon of this number, if it happens.
    fn of_day(&self, noon: i32) -> Option<Timestamp> {
        let mut at = f64::from(noon) - self.longitude / 360.0;
        for _ in 0..4 {
            at -= Position::at(at).hour_angle(self.longitude) / 360.0;
        }
        if let Some((altitude, side)) = self.crossing() {
            let noon = at;
            let mut happens = false;
            // Each step moves to where the sun would cross, were its declination what it is at the present guess.
            for _ in 0..8 {
                let position = Position::at(at);
                let (target, reached) = position.crossing(self.latitude, altitude(&position) + PARALLAX);
                happens = reached;
                // From the noon's own turn, so that an hour angle near 180 degrees is not taken for the day before.
                let turned = if at == noon { 0.0 } else { position.hour_angle(self.longitude) };
                let turned = if side * turned < -90.0 { turned + side * 360.0 } else { turned };
                at += (side * target - turned) / 360.0;
            }
            if !happens {
                return None;
            }
        }
        let seconds = ((at * DAY_MS + J2000_MS) / 1_000.0).round() as i64;
        Some(Timestamp::from_millis(seconds.saturating_mul(1_000)))
    }

    /// The altitude of the sun's centre that makes the event, and whether it is before noon (-1) or after (1).
    fn crossing(&self) -> Option<(Altitude, f64)> {
        let edge: Altitude = |position| -REFRACTION - RADIUS / position.distance;
        Some(match self.event {
            SolarEvent::DawnAstronomical => (|_| -18.0, -1.0),
            SolarEvent::DawnNautical => (|_| -12.0, -1.0),
            SolarEvent::DawnCivil => (|_| -6.0, -1.0),
            SolarEvent::Sunrise => (edge, -1.0),
            SolarEvent::SolarNoon => return None,
            SolarEvent::Sunset => (edge, 1.0),
            SolarEvent::DuskCivil => (|_| -6.0, 1.0),
            SolarEvent::DuskNautical => (|_| -12.0, 1.0),
            SolarEvent::DuskAstronomical => (|_| -18.0, 1.0),
        })
    }
}

/// Degrees above the horizon; the size of the sun depends on its distance.
type Altitude = fn(&Position) -> f64;

/// Where the sun is in the sky. Degrees; the distance is in astronomical units.
struct Position {
    right_ascension: f64,
    declination: f64,
    distance: f64,
    /// The sidereal time of Greenwich.
    sidereal: f64,
}

impl Position {
    /// At so many days after noon of 1 January 2000.
    fn at(days: f64) -> Self {
        let t = (days + DELTA_T) / 36_525.0;
        let mean_longitude = 280.466_46 + t * (36_000.769_83 + t * 0.000_303_2);
        let anomaly = (357.529_11 + t * (35_999.050_29 - t * 0.000_153_7)).to_radians();
        let eccentricity = 0.016_708_634 - t * (0.000_042_037 + t * 0.000_000_126_7);
        let centre = (1.914_602 - t * (0.004_817 + t * 0.000_014)) * anomaly.sin()
            + (0.019_993 - t * 0.000_101) * (2.0 * anomaly).sin()
            + 0.000_289 * (3.0 * anomaly).sin();
        let node = (125.04 - 1_934.136 * t).to_radians();
        let nutation = -0.004_78 * node.sin();
        // What Venus, Jupiter and the moon do to the Earth.
        let venus =
            0.001_34 * (153.23 + 22_518.754_1 * t).to_radians().cos() + 0.001_54 * (216.57 + 45_037.508_2 * t).to_radians().cos();
        let jupiter = 0.002_00 * (312.69 + 32_964.357_7 * t).to_radians().cos();
        let moon = 0.001_79 * (350.74 + 445_267.114_2 * t - 0.001_44 * t * t).to_radians().sin();
        let longitude = (mean_longitude + centre + venus + jupiter + moon - 0.005_69 + nutation).to_radians();
        let obliquity = (23.439_291 - 0.013_004_2 * t + 0.002_56 * node.cos()).to_radians();
        Self {
            right_ascension: (obliquity.cos() * longitude.sin()).atan2(longitude.cos()).to_degrees(),
            declination: (obliquity.sin() * longitude.sin()).asin().to_degrees(),
            distance: 1.000_001_018 * (1.0 - eccentricity * eccentricity)
                / (1.0 + eccentricity * (anomaly + centre.to_radians()).cos()),
            sidereal: 280.460_618_37 + 360.985_647_366_29 * days + nutation * obliquity.cos(),
        }
    }

    /// How far the sun is past the meridian of `longitude`: -180 to 180.
    fn hour_angle(&self, longitude: f64) -> f64 {
        (self.sidereal + longitude - self.right_ascension + 180.0).rem_euclid(360.0) - 180.0
    }

    /// The hour angle, 0 to 180, at which the sun of this declination passes `altitude`, and whether it does at all. Where
    /// it does not, the nearest it comes: the declination may yet suffice there.
    fn crossing(&self, latitude: f64, altitude: f64) -> (f64, bool) {
        let (latitude, declination) = (latitude.to_radians(), self.declination.to_radians());
        let cosine = (altitude.to_radians().sin() - latitude.sin() * declination.sin()) / (latitude.cos() * declination.cos());
        (cosine.clamp(-1.0, 1.0).acos().to_degrees(), (-1.0..=1.0).contains(&cosine))
    }
}
