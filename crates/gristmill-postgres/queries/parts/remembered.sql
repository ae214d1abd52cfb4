-- What is remembered from now on of the task `held` (id, seq, claim_no), each in the stead of what was at its position; but what an event told
-- is not waited for again. Parameters 3 to 9 are its columns.
INSERT INTO {s}.memory AS m (task, seq, claim_no, position, name, occurrence, code, child, text, until, awaits)
SELECT h.id, h.seq, h.claim_no, x.position, x.name, x.occurrence, x.code, x.code IN (6, 7), x.text, x.until, x.awaits
FROM held h
CROSS JOIN unnest($3::integer[], $4::text[], $5::integer[], $6::smallint[], $7::text[], $8::bigint[], $9::text[])
  AS x(position, name, occurrence, code, text, until, awaits)
ON CONFLICT (task, position) DO UPDATE
SET seq = excluded.seq, claim_no = excluded.claim_no, name = excluded.name, occurrence = excluded.occurrence, code = excluded.code,
    child = excluded.child, text = excluded.text, until = excluded.until, awaits = excluded.awaits
WHERE NOT (m.code = 0 AND excluded.code = 4 AND m.seq = excluded.seq AND m.name = excluded.name AND m.occurrence = excluded.occurrence)
