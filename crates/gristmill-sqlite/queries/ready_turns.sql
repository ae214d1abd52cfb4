-- Index: the primary key, in its order. The last of those that share a place in line, and whether one has this very turn.
SELECT max(turn), max(turn = ?4) FROM gristmill_ready WHERE queue = ?1 AND priority = ?2 AND seq = ?3
