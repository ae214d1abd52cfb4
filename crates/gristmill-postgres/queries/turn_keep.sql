-- Index: the primary key.
-- The highest turns of lines, by their keys; one that has come so far ($5) that its line began anew is forgotten. In their order, so that two who write some of the same wait for one another in one direction only.
INSERT INTO {s}.key AS k(key, turn, spent_until)
SELECT x.key, x.turn, {now} + $4 FROM unnest($2::text[], $3::bigint[]) AS x(key, turn) ORDER BY x.key
ON CONFLICT (key) DO UPDATE SET turn = CASE WHEN k.turn > $5 AND excluded.turn <= $5 THEN excluded.turn ELSE greatest(k.turn, excluded.turn) END, spent_until = excluded.spent_until
