-- Index: ready_flagged and parked_flagged, whole: few stand elsewhere in line than at their arrival. The primary key of task.
-- Of what is read: how many rows, the lowest place in the order of arrival, and those that match.
SELECT count(*), min(seq), array_agg(id), array_agg(seq) FROM (
  SELECT m.id, t.seq FROM (
    SELECT id, queue, kind FROM {s}.ready WHERE flags <> 0 AND flags & {moved} <> 0
    UNION ALL
    SELECT id, queue, kind FROM {s}.parked WHERE flags <> 0 AND flags & {moved} <> 0
  ) m CROSS JOIN LATERAL (SELECT seq FROM {s}.task t WHERE t.id = m.id OFFSET 0) t
  WHERE m.queue >= $4 AND m.queue <= $5 AND ($6::integer[] IS NULL OR m.kind = ANY($6)) AND t.seq < $1 AND t.seq > $2
  ORDER BY t.seq DESC LIMIT $3
) x
