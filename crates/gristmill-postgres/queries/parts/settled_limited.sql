-- What `gone` holds of keys is free again, and what it has taken of rates is spent. Further parts of a WITH.
, held AS MATERIALIZED (
  SELECT s.at, g.claimed_at FROM gone g CROSS JOIN LATERAL (SELECT ctid AS at FROM {s}.slot s WHERE s.task = g.id OFFSET 0) s
), freed AS (
  DELETE FROM {s}.slot s USING held h WHERE s.ctid = h.at RETURNING s.key, s.cost, h.claimed_at
), spent AS (
  INSERT INTO {s}.begun(key, at, cost) SELECT key, claimed_at, cost FROM freed WHERE starts_with(key, 'rate:')
), touches AS (
  INSERT INTO {s}.touched(key) SELECT DISTINCT key FROM freed
)
