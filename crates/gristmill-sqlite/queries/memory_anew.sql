-- Index: the primary key. All but what was started; codes as in `Kept::to_row`.
DELETE FROM gristmill_memory WHERE task = ?1 AND code NOT IN (6, 7)
