-- Index: the primary keys of task and of outcome.
-- The end of tasks that waited: cancelled or expired.
INSERT INTO {s}.outcome(id, seq, finished_at, keep_until, claim_no, attempt, crashes, state, ended, error, owed)
SELECT id, seq, {now}, {keep}, claim_no + 1, attempt, crashes, $7, $8, $9, {owed} FROM (
  SELECT x.id, t.seq, x.attempt, x.claim_no, x.crashes, x.flags, t.retention
  FROM unnest($2::uuid[], $3::integer[], $4::integer[], $5::integer[], $6::integer[]) AS x(id, attempt, claim_no, crashes, flags)
  CROSS JOIN LATERAL (SELECT seq, retention FROM {s}.task t WHERE t.id = x.id OFFSET 0) t
) x
RETURNING id
