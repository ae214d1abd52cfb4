-- Index: that on seq, in its order, or workflow_key; reads at most $6 rows.
-- The newest that match, and of what was read how many rows and the last.
WITH seen AS MATERIALIZED (
  SELECT seq, id, name, key, tags, paused, cancelled, ended, attempt, created_at, finished_at, hold, deadline_at, overdue,
         CASE WHEN ended <> 0 THEN 2 + (ended & 3) WHEN cancelled THEN 2 WHEN hold <> 0 THEN hold & 1 WHEN paused THEN 1 ELSE 0 END AS state
  FROM {s}.workflow WHERE seq < $1 AND ($4::text IS NULL OR key = $4) ORDER BY seq DESC LIMIT $6
)
SELECT w.seq, w.id, w.name, w.key, w.tags, w.paused, w.cancelled, w.ended, w.attempt, w.created_at, w.finished_at, w.hold, w.deadline_at, w.overdue,
       (SELECT count(*) FROM seen), (SELECT min(seq) FROM seen)
FROM (VALUES (1)) AS one(row) LEFT JOIN (
  SELECT * FROM seen WHERE ($3::text IS NULL OR name = $3) AND ($5::integer[] IS NULL OR state = ANY($5)) ORDER BY seq DESC LIMIT $2
) w ON true
