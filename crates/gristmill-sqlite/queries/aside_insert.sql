-- Index: the primary key.
INSERT INTO gristmill_aside(seq, at, reason, row) VALUES (?1, ?2, ?3, ?4)
