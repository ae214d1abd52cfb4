-- Index: the primary keys; those of the function, see additions/0015_concurrency.sql.
-- Puts those among the waiting behind $1 into a line that stand in none, and says how far it came, if that was not to the end.
WITH part AS MATERIALIZED (
  SELECT id, seq, claim_no FROM {s}.waiting WHERE id > $1 ORDER BY id LIMIT $2
), lacking AS MATERIALIZED (
  SELECT {s}.line_up(p.id, p.seq, p.claim_no) AS lined
  FROM part p WHERE NOT EXISTS (SELECT FROM {s}.standby b WHERE b.task = p.id)
)
SELECT CASE WHEN (SELECT count(*) FROM part) = $2 THEN (SELECT id FROM part ORDER BY id DESC LIMIT 1) END,
       (SELECT coalesce(bool_or(lined), false) FROM lacking)
