-- Index: the primary key, one range for each priority.
WITH {heads}, gone AS (
  DELETE FROM {s}.ready WHERE ctid = ANY (ARRAY(
    SELECT r.at FROM heads h CROSS JOIN LATERAL (
      SELECT ctid AS at FROM {s}.ready WHERE ctid = h.at AND flags & {unknown} = 0 FOR UPDATE SKIP LOCKED
    ) r
    WHERE h.kind = ANY($4)
  ))
  RETURNING {columns}
)
INSERT INTO {s}.parked({columns}) SELECT * FROM gone
