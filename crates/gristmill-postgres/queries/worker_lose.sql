-- Index: the primary key.
-- One that has beaten since it was looked at lives. A claim finds out by the epoch.
UPDATE {s}.worker w SET lost = true, epoch = w.epoch + 1, expires_at = least(w.expires_at, {now})
FROM unnest($2::bigint[], $3::bigint[]) AS dead(key, expires_at) WHERE w.key = dead.key AND w.expires_at = dead.expires_at
RETURNING w.key
