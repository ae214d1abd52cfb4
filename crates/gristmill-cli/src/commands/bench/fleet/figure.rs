use serde::Serialize;

use super::super::measure::Result;
use crate::output::Out;

/// What a figure should be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// One thing that was measured. The names are part of the command's contract.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    scenario: String,
    figure: String,
    value: f64,
    /// What it is a number of; empty for a ratio.
    unit: &'static str,
    goal: Option<Goal>,
    /// Whether the goal is kept, if there is one.
    kept: Option<bool>,
}

impl Figure {
    /// A figure that is only told.
    pub(super) fn new(figure: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { scenario: String::new(), figure: figure.into(), value, unit, goal: None, kept: None }
    }

    /// The same with a goal.
    pub(super) fn goal(self, goal: Goal) -> Self {
        let kept = match goal {
            Goal::AtMost(most) => self.value <= most,
            Goal::AtLeast(least) => self.value >= least,
        };
        Self { goal: Some(goal), kept: Some(kept), ..self }
    }

    pub(super) fn of(self, scenario: &str) -> Self {
        Self { scenario: scenario.to_owned(), ..self }
    }
}

/// Writes them all.
pub(super) fn show(figures: &[Figure], out: &Out) -> Result<()> {
    out.list(figures, &["scenario", "figure", "value", "goal", "kept"], |row| {
        let goal = match row.goal {
            Some(Goal::AtMost(most)) => format!("at most {most}"),
            Some(Goal::AtLeast(least)) => format!("at least {least}"),
            None => String::new(),
        };
        let kept = row.kept.map_or("", |kept| if kept { "yes" } else { "NO" });
        let value = format!("{:.2} {}", row.value, row.unit).trim_end().to_owned();
        vec![row.scenario.clone(), row.figure.clone(), value, goal, kept.to_owned()]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_kept_on_its_bound_and_missed_beyond_it() {
        let kept = |value, goal| Figure::new("", value, "").goal(goal).kept;
        assert_eq!(kept(3.0, Goal::AtMost(3.0)), Some(true));
        assert_eq!(kept(3.01, Goal::AtMost(3.0)), Some(false));
        assert_eq!(kept(0.95, Goal::AtLeast(0.95)), Some(true));
        assert_eq!(kept(f64::NAN, Goal::AtLeast(0.95)), Some(false), "what was not measured keeps nothing");
        assert_eq!(Figure::new("", 1.0, "").kept, None);
    }
}
