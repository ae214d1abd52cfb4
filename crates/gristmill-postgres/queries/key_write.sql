-- Index: the primary key. The rows are locked.
-- Of a rate both numbers are 0, for programs that know none.
UPDATE {s}.key k SET said_by = x.said_by, declared = x.declared, pace = x.pace, spent = x.spent, spent_until = x.spent_until, look_at = x.look_at, turn = x.turn, away = coalesce(x.away, k.away),
                     set_to = CASE WHEN starts_with(k.key, 'rate:') THEN 0 ELSE k.set_to END
FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::uuid[])
  AS x(key, said_by, declared, pace, spent, spent_until, look_at, turn, away)
WHERE k.key = x.key
