-- Index: the primary key.
INSERT INTO gristmill_beat(one, beat, term, expires_at) VALUES (1, ?1, 1, ?3)
  ON CONFLICT(one) DO UPDATE SET beat = ?1, term = term + (beat <> ?1), expires_at = ?3
  WHERE beat = ?1 OR expires_at <= ?2 OR expires_at > ?3
  RETURNING term
