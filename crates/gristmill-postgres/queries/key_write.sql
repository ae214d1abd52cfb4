-- Index: the primary key. The rows are locked.
UPDATE {s}.key k SET said_by = x.said_by, declared = x.declared, pace = x.pace, spent = x.spent, spent_until = x.spent_until, look_at = x.look_at
FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
  AS x(key, said_by, declared, pace, spent, spent_until, look_at)
WHERE k.key = x.key
