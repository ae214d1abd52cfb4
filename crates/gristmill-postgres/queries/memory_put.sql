-- Index: the primary key of memory.
-- What an attempt remembers whose lease was taken.
WITH held AS (
  SELECT $1::uuid AS id, $2::bigint AS seq
)
{remembered}
