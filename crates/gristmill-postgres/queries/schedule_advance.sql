-- Index: the primary key.
-- One that somebody edits in an open transaction is left out, as it may change, and must not hold up the others.
WITH x AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) AS x(name, revision, due_at, memory)
), hit AS MATERIALIZED (
  SELECT x.due_at, x.memory, s.at FROM x CROSS JOIN LATERAL (
    SELECT ctid AS at FROM {s}.schedule s WHERE s.name = x.name AND s.revision = x.revision OFFSET 0 FOR UPDATE SKIP LOCKED
  ) s
)
UPDATE {s}.schedule s SET due_at = h.due_at, memory = h.memory, revision = nextval('{l}.revision')
FROM hit h WHERE s.ctid = h.at
RETURNING s.name
