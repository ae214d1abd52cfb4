-- Index: the primary key.
UPDATE gristmill_lease SET noted = noted | ?3 WHERE seq = ?1 AND mark = ?2
