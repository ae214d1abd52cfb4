-- Index: the unique one on name; the primary key of lease.
DELETE FROM gristmill_lock WHERE name = ?1 AND lease = ?2 AND mark = ?3
  AND EXISTS (SELECT 1 FROM gristmill_lease WHERE seq = ?2 AND mark = ?3)
