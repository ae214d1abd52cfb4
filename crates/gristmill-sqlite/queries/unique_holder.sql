-- Index: the primary keys; those of the places.
-- Who has a key (?1, ?2) at the time ?3. Nobody if the task ?4 is there already, which says for itself what it is.
SELECT task FROM gristmill_unique_live
WHERE kind = ?1 AND key = ?2 AND CASE WHEN until IS NULL THEN is_live ELSE until > ?3 END
  AND NOT EXISTS (SELECT 1 FROM gristmill_task WHERE id = ?4)
