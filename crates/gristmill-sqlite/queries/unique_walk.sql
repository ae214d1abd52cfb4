-- Index: the primary keys; those of the places; reads at most ?4 rows.
-- The keys behind (?1, ?2), and whether nobody has them at the time ?3.
SELECT kind, key, NOT CASE WHEN until IS NULL THEN is_live ELSE until > ?3 END FROM gristmill_unique_live
WHERE (kind, key) > (?1, ?2) ORDER BY kind, key LIMIT ?4
