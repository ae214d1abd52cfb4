-- Index: gristmill_key_look, in its order; reads at most ?2 rows.
SELECT key FROM gristmill_key WHERE look_at <= ?1 ORDER BY look_at LIMIT ?2
