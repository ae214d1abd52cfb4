-- Index: the primary keys of task, lease, outcome, live and each place.
-- Everything about some tasks as one statement sees it, so that no task is shown between two places.
SELECT t.id, t.seq, t.queue, t.kind, t.priority, t.max_attempts, t.max_crashes, t.created_at, t.run_at, t.args, t.meta,
       CASE WHEN l.found THEN -1 WHEN e.found THEN -2 ELSE p.place::integer END,
       coalesce(l.attempt, e.attempt, p.attempt), coalesce(l.crashes, e.crashes, p.crashes),
       l.claim_no, l.cancel, l.claimed_at, l.name, l.logs, l.progress,
       e.ended, e.finished_at, e.result, p.run_at, b.error,
       CASE WHEN $2 THEN (
         SELECT json_agg(json_build_array(o.attempt, o.claim_no, o.state, o.started_at, o.finished_at, o.worker, o.error,
                                          o.logs, o.progress) ORDER BY o.claim_no)::text
         FROM {s}.outcome o WHERE o.id = t.id{o_of_days}
       ) END,
       $2
FROM unnest($1::uuid[]) WITH ORDINALITY AS x(id, place)
CROSS JOIN LATERAL (SELECT * FROM {s}.task t WHERE t.id = x.id{t_of_days} OFFSET 0) t
LEFT JOIN LATERAL (
  SELECT true AS found, l.attempt, l.crashes, l.claim_no, l.cancel, l.claimed_at, w.name, v.logs, v.progress
  FROM {s}.lease l LEFT JOIN {s}.worker w ON w.key = l.worker LEFT JOIN {s}.live v ON v.id = l.id AND l.noted
  WHERE l.id = t.id OFFSET 0
) l ON true
LEFT JOIN LATERAL (
  SELECT true AS found, attempt, crashes, ended, finished_at, result FROM {s}.outcome o
  WHERE o.id = t.id{o_of_days} AND o.ended <> 0 ORDER BY o.claim_no DESC LIMIT 1
) e ON l.found IS NULL
{standing}
LEFT JOIN LATERAL (
  SELECT error FROM {s}.outcome o WHERE o.id = t.id{o_of_days} AND o.error IS NOT NULL ORDER BY o.claim_no DESC LIMIT 1
) b ON e.ended IS DISTINCT FROM 1
ORDER BY x.place
