-- Index: the primary keys of memory and task. That $1 is named twice leaves out the days of other ids.
-- Of what tasks have started that which was started by tasks that are gone, and whether these had failed when they went. One that was given the
-- id of such a task has nothing to do with it.
SELECT m.task, m.position, m.claim_no = 0 FROM unnest($1::uuid[], $2::integer[]) AS x(task, position) JOIN {s}.memory m USING (task, position)
WHERE NOT EXISTS (SELECT FROM {s}.task t WHERE t.id = ANY($1) AND t.id = m.task AND t.seq = m.seq OFFSET 0)
