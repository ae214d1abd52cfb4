-- Index: key_look.
SELECT min(look_at) - {now} FROM {s}.key WHERE look_at IS NOT NULL
