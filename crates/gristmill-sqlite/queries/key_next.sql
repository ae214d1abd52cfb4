-- Index: gristmill_key_look.
SELECT min(look_at) FROM gristmill_key WHERE look_at IS NOT NULL
