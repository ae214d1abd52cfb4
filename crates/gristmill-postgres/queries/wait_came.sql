-- Index: the unique index on name of event; the primary key of workflow.
-- What has come of this: events that are kept, and workflows that have ended or are gone.
SELECT e.name, NULL::uuid FROM {s}.event e WHERE e.name = ANY($2) AND e.keep_until > {now}
UNION ALL
SELECT NULL, x.id FROM unnest($3::uuid[]) AS x(id) WHERE NOT EXISTS (SELECT FROM {s}.workflow w WHERE w.id = x.id AND w.ended = 0 OFFSET 0)
