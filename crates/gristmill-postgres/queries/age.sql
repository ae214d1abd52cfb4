-- Index: the primary key of ready.
-- Those of a queue that are still where they were go to the line of priority 0, at the places that they have in line: that is a number of their own in all lines.
WITH asked AS MATERIALIZED (
  SELECT r.at FROM unnest($2::smallint[], $3::bigint[]) AS x(priority, seq) CROSS JOIN LATERAL (
    SELECT ctid AS at FROM {s}.ready p
    WHERE p.queue = $1 AND p.priority = x.priority AND p.seq = x.seq AND p.flags & {unknown} = 0 FOR UPDATE SKIP LOCKED
  ) r
)
UPDATE {s}.ready SET priority = 0 WHERE ctid = ANY (ARRAY(SELECT at FROM asked)) RETURNING id, kind, seq
