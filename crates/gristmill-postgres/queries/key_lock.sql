-- Index: the primary key.
-- The key of a rate with what is spent of it, once nobody else admits to it; made, if it is not there.
INSERT INTO {s}.key AS k(key, set_to) VALUES ($2, 0) ON CONFLICT (key) DO UPDATE SET key = excluded.key
RETURNING k.said_by, k.declared, k.pace, k.set_to, k.set_pace, k.spent, 0::bigint, k.look_at, k.key, {now}
