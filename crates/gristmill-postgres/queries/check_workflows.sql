-- Index: workflow_quiet, in its order; reads at most $2 rows.
-- Workflows that nobody has looked at for a while: no sweep comes by, or fails.
SELECT count(*) FROM (SELECT FROM {s}.workflow WHERE ended = 0 AND quiet_since <= {now} - $3 ORDER BY quiet_since LIMIT $2) head
