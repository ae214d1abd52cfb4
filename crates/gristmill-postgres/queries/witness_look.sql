-- Index: the primary keys of task, outcome and blocked.
-- Of workflows those that wait for a member which can still end, as was seen when its members were counted last.
SELECT w.id FROM {s}.workflow w JOIN {s}.task t ON t.id = w.witness
WHERE w.id = ANY($1) AND NOT EXISTS (SELECT FROM {s}.outcome o WHERE o.id = t.id AND o.ended <> 0)
  AND NOT EXISTS (SELECT FROM {s}.blocked b WHERE b.id = t.id)
