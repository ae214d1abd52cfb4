-- Index: the primary keys; those of the function, see additions/0018_rates.sql.
-- Puts those among the waiting behind $1 into a line that stand in none, and says how far it came, if that was not to the end.
WITH part AS MATERIALIZED (
  SELECT id, seq, claim_no FROM {s}.waiting WHERE id > $1 ORDER BY id LIMIT $2
), lacking AS MATERIALIZED (
  SELECT {s}.line_up(array_agg(p.id), array_agg(p.seq), array_agg(p.claim_no)) AS lined
  FROM part p WHERE NOT EXISTS (SELECT FROM {s}.standby b WHERE b.task = p.id)
)
SELECT CASE WHEN (SELECT count(*) FROM part) = $2 THEN (SELECT id FROM part ORDER BY id DESC LIMIT 1) END,
       (SELECT coalesce(lined, 0) > 0 FROM lacking)
