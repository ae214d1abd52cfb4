-- Index: the primary key, in its order: hardly any attempt is not the one that ended its task well.
SELECT seq, ended = 1 FROM gristmill_outcome WHERE seq < ?1 AND seq > ?2 ORDER BY seq DESC LIMIT ?3
