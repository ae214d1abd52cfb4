-- Index: gristmill_outcome_keep, in its order.
SELECT seq FROM gristmill_outcome WHERE keep_until IS NOT NULL AND keep_until <= ?1 ORDER BY keep_until LIMIT ?2
