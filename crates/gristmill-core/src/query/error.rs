use std::ops::Range;

/// So many characters are shown of the part that is wrong, and on either side of it: whoever pastes a file sees what is meant.
const SHOWN_MAX: usize = 100;

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
    /// The query with marks below the part that is wrong, as two lines. Of a long one only what is around that part.
    pub fn pointer(&self) -> String {
        let part = |range| self.query.get(range).map_or(0, |part: &str| part.chars().count());
        let (before, width) = (part(0..self.at.start), part(self.at.clone()).clamp(1, SHOWN_MAX));
        let first = before.saturating_sub(SHOWN_MAX);
        let mut rest = self.query.chars().skip(first);
        // Each character is one column, a line's end too.
        let shown = rest.by_ref().take(before - first + width + SHOWN_MAX).map(|c| if c.is_control() { ' ' } else { c });
        let (head, line) = (if first > 0 { "..." } else { "" }, shown.collect::<String>());
        let tail = if rest.next().is_some() { "..." } else { "" };
        format!("{head}{line}{tail}\n{}{}", " ".repeat(head.len() + before - first), "^".repeat(width))
    }
}
