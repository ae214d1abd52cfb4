-- Index: the primary keys of outcome and its partitions.
INSERT INTO {s}.outcome(id, seq, finished_at, started_at, keep_until, claim_no, attempt, crashes, state, ended,
                        worker, result, error, logs, progress, owed)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[], $7::integer[],
                     $8::integer[], $9::smallint[], $10::smallint[], $11::text[], $12::text[], $13::text[], $14::text[],
                     $15::text[], $16::integer[])
