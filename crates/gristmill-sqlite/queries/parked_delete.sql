-- Index: the primary key.
DELETE FROM gristmill_parked WHERE queue = ?1 AND kind = ?2 AND priority = ?3 AND seq = ?4 AND turn = ?5
