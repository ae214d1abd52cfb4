use std::ops::Range;

/// What is wrong with a query, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct QueryError {
    /// The query.
    pub query: String,
    /// The part that is wrong: bytes of the query.
    pub at: Range<usize>,
    /// Why, and what may stand there.
    pub problem: String,
}

impl QueryError {
    /// The query with marks below the part that is wrong, as two lines.
    pub fn pointer(&self) -> String {
        let part = |range| self.query.get(range).map_or(0, |part: &str| part.chars().count());
        let (before, width) = (part(0..self.at.start), part(self.at.clone()).max(1));
        // Each character is one column, a line's end too.
        let line = self.query.replace(char::is_control, " ");
        format!("{line}\n{}{}", " ".repeat(before), "^".repeat(width))
    }
}
