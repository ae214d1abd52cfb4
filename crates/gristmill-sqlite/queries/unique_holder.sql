-- Index: the primary keys; those of the places.
-- Who has a key (?1, ?2) at the time ?3. Nobody if the task ?4 is there already, which says for itself what it is.
SELECT task FROM gristmill_unique_live
WHERE kind = ?1 AND key = ?2 AND CASE WHEN until IS NOT NULL THEN until > ?3 WHEN lasts = 2 THEN due_at > ?3 ELSE is_live END
  AND NOT EXISTS (SELECT 1 FROM gristmill_task WHERE id = ?4)
