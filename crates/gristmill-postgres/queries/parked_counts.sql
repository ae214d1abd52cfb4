-- Index: the primary key; reads at most $3 rows. Those that stand elsewhere in line than at their arrival are in ready_oldest.
SELECT count(*), min(seq) FILTER (WHERE flags & {moved} = 0) FROM (SELECT seq, flags FROM {s}.parked WHERE queue = $1 AND kind = $2 LIMIT $3) head
