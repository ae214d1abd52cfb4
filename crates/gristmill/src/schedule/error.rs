use std::fmt;
use std::ops::Range;
use std::time::Duration;

use gristmill_core::{Timestamp, format_duration};

use super::timing::{INTERVAL_MAX, INTERVAL_MIN, JITTER_MAX};

/// Why a timing was refused. The text says what was written, what is allowed, and what was probably meant.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A field of an expression can't be read.
    #[error("{0}")]
    Field(Box<FieldError>),
    /// An expression has too few or too many fields, or is an alias that does not exist.
    #[error("`{expr}` is not an expression: {problem}")]
    Expression {
        /// What was written.
        expr: String,
        /// Why, and what would be right.
        problem: String,
    },
    /// The timing would never tick.
    #[error("{what} never ticks: {why}")]
    NeverTicks {
        /// The rule.
        what: String,
        /// Why not.
        why: String,
    },
    /// No time zone has this name.
    #[error("there is no time zone `{name}`{}", or_near(near))]
    UnknownZone {
        /// What was written.
        name: String,
        /// Names that are near.
        near: Vec<String>,
    },
    /// No event of the sun has this name.
    #[error("there is no solar event `{name}`{}; there are {}", or_near(near), all_events())]
    UnknownEvent {
        /// What was written.
        name: String,
        /// Names that are near.
        near: Vec<String>,
    },
    /// A latitude or longitude is out of range.
    #[error("the {axis} {degrees} is out of range: degrees from -{limit} to {limit}{}", swapped(axis, *degrees))]
    Coordinate {
        /// `latitude` or `longitude`.
        axis: &'static str,
        /// What was written.
        degrees: f64,
        /// The largest degrees.
        limit: u8,
    },
    /// An interval is too short or too long.
    #[error(
        "the interval {} is out of range: from {} to {}",
        format_duration(*every),
        format_duration(INTERVAL_MIN),
        format_duration(INTERVAL_MAX)
    )]
    Interval {
        /// What was written.
        every: Duration,
    },
    /// A jitter is too large.
    #[error("the jitter {} is too large: at most {}", format_duration(*jitter), format_duration(JITTER_MAX))]
    Jitter {
        /// What was written.
        jitter: Duration,
    },
    /// The end is not after the start.
    #[error("the end {end} is not after the start {start}")]
    EndBeforeStart {
        /// The start.
        start: Timestamp,
        /// The end.
        end: Timestamp,
    },
}

impl RuleError {
    /// The expression with marks below the part that is wrong, as two lines; nothing where the error is about no part.
    pub fn pointer(&self) -> Option<String> {
        let Self::Field(field) = self else { return None };
        let before = field.expr.get(..field.at.start)?.chars().count();
        let width = field.expr.get(field.at.clone())?.chars().count().max(1);
        Some(format!("{}\n{}{}", field.expr, " ".repeat(before), "^".repeat(width)))
    }
}

/// What is wrong with one field of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldError {
    /// The whole expression.
    pub expr: String,
    /// The field: `second`, `minute`, `hour`, `day of month`, `month` or `day of week`.
    pub field: &'static str,
    /// Where the wrong part is: bytes of `expr`.
    pub at: Range<usize>,
    /// Why it is wrong.
    pub problem: String,
    /// What the field takes.
    pub allowed: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, {}: {}; allowed is {}", self.expr, self.field, self.problem, self.allowed)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, ". Did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

impl From<Box<FieldError>> for RuleError {
    fn from(error: Box<FieldError>) -> Self {
        Self::Field(error)
    }
}

/// The longest text, in bytes, that is compared with names: the comparison costs its length for each of 600 zones.
const NEAR_MAX: usize = 64;

/// The nearest of `names` that `written` may have been meant for: none, one, or up to three at the same distance.
pub(super) fn near<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    if written.len() > NEAR_MAX {
        return Vec::new();
    }
    let written = written.to_lowercase();
    let mut found: Vec<_> = names
        .filter_map(|name| {
            let lower = name.to_lowercase();
            // `Rome` is one typing away from `Europe/Rome`, though seven letters are.
            let place = lower.rsplit('/').next().unwrap_or(&lower);
            let distance = strsim::damerau_levenshtein(&written, &lower).min(strsim::damerau_levenshtein(&written, place));
            (distance <= written.chars().count() / 3).then(|| (distance, name.to_owned()))
        })
        .collect();
    found.sort();
    let nearest = found.first().map_or(0, |(distance, _)| *distance);
    found.retain(|(distance, _)| *distance == nearest);
    found.truncate(3);
    found.into_iter().map(|(_, name)| name).collect()
}

fn or_near(near: &[String]) -> String {
    match near {
        [] => String::new(),
        names => format!(". Did you mean `{}`?", names.join("`, `")),
    }
}

fn all_events() -> String {
    super::SolarEvent::ALL.map(super::SolarEvent::name).join(", ")
}

fn swapped(axis: &str, degrees: f64) -> &'static str {
    if axis == "latitude" && degrees.abs() <= 180.0 { "; the latitude comes first, is it the longitude?" } else { "" }
}
