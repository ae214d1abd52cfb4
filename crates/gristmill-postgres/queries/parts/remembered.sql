-- What is remembered from now on of the task `held` (id, seq), each in the stead of what was at its position. Parameters 3 to 9 are its columns.
INSERT INTO {s}.memory(task, seq, position, name, occurrence, code, text, until, awaits)
SELECT h.id, h.seq, x.position, x.name, x.occurrence, x.code, x.text, x.until, x.awaits
FROM held h
CROSS JOIN unnest($3::integer[], $4::text[], $5::integer[], $6::smallint[], $7::text[], $8::bigint[], $9::text[])
  AS x(position, name, occurrence, code, text, until, awaits)
ON CONFLICT (task, position) DO UPDATE
SET seq = excluded.seq, name = excluded.name, occurrence = excluded.occurrence, code = excluded.code, text = excluded.text,
    until = excluded.until, awaits = excluded.awaits
