-- Index: the unique index on name.
SELECT EXISTS (SELECT 1 FROM gristmill_schedule WHERE name = ?1 AND revision = ?2)
