-- Index: the primary keys of task and of outcome.
-- The end of tasks that waited: cancelled or expired.
INSERT INTO {s}.outcome(id, seq, finished_at, keep_until, claim_no, attempt, crashes, state, ended, error)
SELECT x.id, x.seq, {now}, {keep}, x.claim_no + 1, x.attempt, x.crashes, $7, $8, $9
FROM unnest($2::uuid[], $3::bigint[], $4::integer[], $5::integer[], $6::integer[]) AS x(id, seq, attempt, claim_no, crashes)
CROSS JOIN LATERAL (SELECT retention FROM {s}.task t WHERE t.id = x.id OFFSET 0) t
RETURNING id
