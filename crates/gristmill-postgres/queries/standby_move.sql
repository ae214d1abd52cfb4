-- Index: the primary keys.
-- Tasks ($1) go to the lines of other keys ($2), where they came; those that stand for more of their own key ($3), behind all that are there, until they are back.
UPDATE {s}.standby b SET key = x.key, seq = CASE WHEN x.stands_for_more THEN nextval('{l}.arrival')
                                                 WHEN starts_with(x.key, 'fair:') THEN coalesce((SELECT w.seq FROM {s}.waiting w WHERE w.id = x.task), b.seq) ELSE b.seq END
FROM unnest($1::uuid[], $2::text[], $3::boolean[]) AS x(task, key, stands_for_more) WHERE b.task = x.task
