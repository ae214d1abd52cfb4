-- Index: the primary key, in its order.
WITH first AS MATERIALIZED (
  SELECT ctid AS at FROM {s}.parked WHERE queue = $1 AND kind = $2 AND flags & {unknown} = 0
  ORDER BY priority, seq LIMIT $3 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM {s}.parked WHERE ctid = ANY (ARRAY(SELECT at FROM first))
  RETURNING {columns}
)
INSERT INTO {s}.ready({columns}) SELECT * FROM gone
