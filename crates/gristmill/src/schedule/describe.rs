use super::timing::Timing;

/// The rule and its zone in words.
pub(super) fn describe(timing: &Timing) -> String {
    format!("{:?}", timing.rule)
}
