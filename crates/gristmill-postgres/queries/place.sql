-- Index: the primary key of each place.
-- Puts tasks that were taken out of where they were into the places where they belong now.
WITH placed AS MATERIALIZED (
  SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::integer[], $6::integer[], $7::integer[],
                       $8::integer[], $9::integer[], $10::smallint[], $11::integer[], $12::bigint[])
    AS x(place, id, seq, expires_at, queue, kind, attempt, claim_no, crashes, priority, flags, run_at)
), {enter}
SELECT count(*) FROM placed
