-- Index: the primary key of memory.
-- What an attempt remembers whose lease was taken, and waits for; for nothing else any more. Which of it is kept: the others hold what an event
-- told meanwhile.
WITH held AS (
  SELECT $1::uuid AS id, $2::bigint AS seq, $10::integer AS claim_no
), others AS (
  UPDATE {s}.memory SET awaits = NULL WHERE task = $1 AND awaits IS NOT NULL AND position <> ALL($3)
)
{remembered}
RETURNING position
