-- Index: the unique index on id of worker, then lease_cancel. However late: as long as nobody took it for dead, nobody took its tasks.
-- $4: whether the worker hears the answer, and with it that it is to end.
-- The others that live are counted, one row a process: all that come before this one, and those among them that serve the same.
WITH beat AS (
  UPDATE {s}.worker SET expires_at = {now} + $3, lease = $3, drain = CASE WHEN drain <> 0 AND $4 THEN 2 ELSE drain END
  WHERE id = $2 AND NOT lost RETURNING key, serves, drain
), others AS MATERIALIZED (
  SELECT count(w.key) AS size, count(w.key) FILTER (WHERE w.key < b.key) AS rank,
         count(w.key) FILTER (WHERE w.serves = b.serves) AS alike,
         count(w.key) FILTER (WHERE w.serves = b.serves AND w.key < b.key) AS rank_alike
  FROM beat b LEFT JOIN {s}.worker w ON w.key <> b.key AND w.expires_at > {now} AND NOT w.lost
)
SELECT l.id, l.fence, l.seq, l.retention, o.size, o.rank, o.alike, o.rank_alike, beat.drain,
       l.flags
FROM beat CROSS JOIN others o LEFT JOIN LATERAL (
  SELECT id, fence, seq, retention, flags FROM {s}.lease WHERE worker = beat.key AND cancel OFFSET 0
) l ON true
ORDER BY l.seq
