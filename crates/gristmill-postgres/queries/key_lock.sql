-- Index: the primary key.
-- The key with what is spent of it, once nobody else admits to it.
SELECT said_by, declared, pace, set_to, set_pace, spent, 0::bigint, look_at, key, {now} FROM {s}.key WHERE key = $2 FOR UPDATE
