-- Index: the primary key. What failed, and led to nothing that was done; codes as in `Kept::is_of_a_failure`.
DELETE FROM gristmill_memory WHERE task = ?1 AND code IN (1, 5, 8)
  AND position > (SELECT coalesce(max(v.position), -1) FROM gristmill_memory v WHERE v.task = ?1 AND v.code = 0)
