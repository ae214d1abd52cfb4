-- Index: the primary key.
INSERT INTO {s}.scheduled(id, seq, expires_at, queue, kind, attempt, claim_no, crashes, priority, run_at)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::integer[], $7::integer[],
                     $8::integer[], $9::smallint[], $10::bigint[])
