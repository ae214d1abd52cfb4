-- Index: the primary key, in its order. Below those that stand there by their turns.
SELECT seq, turn FROM gristmill_ready WHERE queue = ?1 AND priority = ?2 AND seq < 1125899906842624 ORDER BY seq DESC, turn DESC LIMIT 1
