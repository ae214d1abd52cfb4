-- Index: gristmill_task_member, in its order.
SELECT seq, place, id FROM gristmill_task WHERE workflow = ?1 AND step = ?2 AND place >= ?3 ORDER BY place LIMIT ?4
