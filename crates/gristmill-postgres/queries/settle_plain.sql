-- Index: the primary keys of lease and worker; that of task, of members of workflows.
-- Successes of which everything is known: nothing was noted while they ran, and they are kept. What does not come back is
-- settled the long way, or is lost. By place, as no statistics tell how many leases there are: joined by id, all of them
-- might be looked through for each. A lease that somebody changes meanwhile has another place, and is left over as well; servers before
-- 14.20, 15.15, 16.11, 17.7 and 18.1 don't see that, so that it is asked again what would have changed.
-- Others may wait behind it: $9 is how long it waits for a lock.
-- With $8 it is all or nothing: nothing if a lease is found missing, an error if that turns out after the first was deleted.
-- It is prepared once more for members of workflows, which are kept whatever their retention is: until their workflow has ended.
WITH x AS MATERIALIZED (
  SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[])
    AS x(id, fence, ran, result, logs, progress)
  WHERE {brief9}
), hit AS MATERIALIZED (
  SELECT x.*, l.at FROM x CROSS JOIN LATERAL (
    SELECT ctid AS at FROM {s}.lease l WHERE l.id = x.id AND l.fence = x.fence AND {settles} AND NOT l.noted OFFSET 0
  ) l
), gone AS (
  DELETE FROM {s}.lease l USING hit h
  WHERE l.ctid = h.at AND l.fence = h.fence AND NOT l.noted AND (NOT $8 OR (SELECT count(*) FROM hit) = cardinality($2))
  RETURNING l.id, l.fence, l.seq, l.attempt, l.claim_no, l.crashes, l.worker, l.claimed_at, l.retention, l.flags,
            h.ran, h.result, h.logs, h.progress
), kept AS (
  INSERT INTO {s}.outcome(id, seq, finished_at, started_at, keep_until, claim_no, attempt, crashes, state, ended,
                          worker, result, logs, progress)
  SELECT id, seq, {now}, greatest(claimed_at, {now} - ran), {keep}, claim_no, attempt, crashes, 1, 1,
         (SELECT w.name FROM {s}.worker w WHERE w.key = gone.worker), result, logs, progress
  FROM gone
){told}
SELECT id, fence FROM gone
WHERE (SELECT CASE WHEN NOT $8 OR count(*) IN (0, cardinality($2)) THEN true ELSE {s}.lease_changed() END FROM gone)
