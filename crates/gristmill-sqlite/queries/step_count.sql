-- Index: gristmill_task_member; the primary keys of outcome and blocked. Ends of which the step was not told count once it is.
SELECT count(*), coalesce(sum(o.ended = 1), 0), coalesce(sum(o.ended NOT IN (1, 3, 4)), 0),
       coalesce(sum(o.ended IN (3, 4)), 0), count(b.seq)
  FROM gristmill_task t INDEXED BY gristmill_task_member
  LEFT JOIN gristmill_outcome o ON o.seq = t.seq AND o.ended <> 0 AND o.owed & ?3 = 0
  LEFT JOIN gristmill_blocked b ON b.seq = t.seq
  WHERE t.workflow = ?1 AND t.step = ?2
