-- Index: none: the sequences that this role may read. How many numbers the names of task types and of queues have used up.
SELECT CASE sequencename WHEN 'kind_id_seq' THEN 'kind' ELSE 'queue' END, last_value FROM pg_sequences
WHERE schemaname = $1 AND sequencename IN ('kind_id_seq', 'queue_id_seq') AND last_value IS NOT NULL ORDER BY 1
