-- Index: the unique index on id; none on lease, as leases are few.
WITH lost AS (
  UPDATE {s}.worker SET lost = true, epoch = epoch + 1, expires_at = least(expires_at, {now}) WHERE id = $2 RETURNING key, name
)
SELECT key, name, (SELECT count(*) FROM {s}.lease l WHERE l.worker = lost.key) FROM lost
