-- Index: the primary key; reads at most $3 rows.
SELECT count(*), min(seq) FROM (SELECT seq FROM {s}.parked WHERE queue = $1 AND kind = $2 LIMIT $3) head
