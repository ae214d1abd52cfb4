-- Index: the unique one on name; the primary keys of lease and task. Who holds it: of the one whose lease is gone, nobody does.
SELECT k.token, k.lease, k.mark, k.taken_at, t.id
  FROM gristmill_lock k CROSS JOIN gristmill_lease l ON l.seq = k.lease AND l.mark = k.mark
  LEFT JOIN gristmill_task t ON t.seq = k.lease WHERE k.name = ?1
