-- Index: the primary key.
-- Which of these steps still wait for others.
SELECT s.workflow, s.number FROM unnest($1::uuid[], $2::integer[]) AS x(workflow, number)
JOIN {s}.step s ON s.workflow = x.workflow AND s.number = x.number
WHERE s.state = 0
