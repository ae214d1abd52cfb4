-- Index: the primary keys of lease and memory.
-- What a running attempt remembers, if its lease is still its own: it stays so until the commit, and somebody who asks it to stop need not wait
-- for that. Nothing comes back if the lease is lost.
WITH held AS MATERIALIZED (
  SELECT id, seq, claim_no FROM {s}.lease WHERE id = $1 AND fence = $2 FOR KEY SHARE
), kept AS (
{remembered}
)
SELECT seq FROM held
