-- Index: the primary key, one step a priority; ready_flagged and parked_flagged, the primary key of task: reads at most 10,000 of those that
-- stand elsewhere in line than at their arrival. The place of the one that came first, parked ones at their arrival left out.
SELECT least(
  (SELECT min(f.seq) FROM generate_series(0, 9) AS p(n) CROSS JOIN LATERAL (
    SELECT seq FROM {s}.ready WHERE queue = $1 AND priority = p.n::smallint AND flags & {moved} = 0 ORDER BY seq LIMIT 1
  ) f),
  (SELECT min(t.seq) FROM (
    (SELECT id FROM {s}.ready WHERE flags <> 0 AND flags & {moved} <> 0 AND queue = $1 LIMIT 10000)
    UNION ALL
    (SELECT id FROM {s}.parked WHERE flags <> 0 AND flags & {moved} <> 0 AND queue = $1 LIMIT 10000)
  ) m CROSS JOIN LATERAL (SELECT seq FROM {s}.task t WHERE t.id = m.id OFFSET 0) t)
)
