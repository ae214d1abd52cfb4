//! What only PostgreSQL asks of values; the rest is in core's `kit::encode`.

pub(crate) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// What a handler logged, without the one character that PostgreSQL can't keep.
pub(crate) fn storable(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// Milliseconds as a statement worked them out; none if they are over.
pub(crate) fn wait(ms: i64) -> std::time::Duration {
    std::time::Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

/// Whether a row, whose task's id is in this column, is of no task, and there for what its other columns say.
pub(crate) fn is_alone(row: &tokio_postgres::Row, id: usize) -> bool {
    matches!(row.try_get::<_, Option<uuid::Uuid>>(id), Ok(None))
}
