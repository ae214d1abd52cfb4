-- Index: the primary key.
SELECT EXISTS (SELECT 1 FROM gristmill_tick WHERE schedule = ?1 AND at = ?2)
