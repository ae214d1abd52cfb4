-- Index: the primary keys of outcome and its partitions.
-- The end of tasks that waited: cancelled or expired.
INSERT INTO {s}.outcome(id, seq, finished_at, keep_until, claim_no, attempt, crashes, state, ended, error, owed)
SELECT id, seq, {now}, {keep}, claim_no + 1, attempt, crashes, $9, $10, error, {owed}
FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::integer[], $6::integer[], $7::integer[], $8::integer[], $11::text[])
  AS x(id, seq, retention, attempt, claim_no, crashes, flags, error)
