-- Index: the primary keys: one look a task type, and none if nothing is parked.
SELECT p.seq, p.turn FROM gristmill_kind k CROSS JOIN gristmill_parked p
  WHERE EXISTS (SELECT 1 FROM gristmill_parked WHERE queue = ?1) AND p.queue = ?1 AND p.kind = k.id AND p.priority = ?2
    AND (p.seq, p.turn) = (SELECT seq, turn FROM gristmill_parked
                             WHERE queue = ?1 AND kind = k.id AND priority = ?2 AND seq < 1125899906842624 ORDER BY seq DESC, turn DESC LIMIT 1)
  ORDER BY p.seq DESC, p.turn DESC LIMIT 1
