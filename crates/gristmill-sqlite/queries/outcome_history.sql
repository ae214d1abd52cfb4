-- Index: the primary key, in its order.
SELECT attempt, claim_no, state, started_at, finished_at, worker, error, logs, progress
  FROM gristmill_outcome WHERE seq = ?1 ORDER BY claim_no
