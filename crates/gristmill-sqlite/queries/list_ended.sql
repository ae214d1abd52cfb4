-- Index: gristmill_outcome_bad, in its order; the literal lets the partial index match.
SELECT seq FROM gristmill_outcome WHERE ended > 1 AND ended = ?4 AND seq < ?1 AND seq > ?2 ORDER BY seq DESC LIMIT ?3
