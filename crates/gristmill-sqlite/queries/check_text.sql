-- Index: none: reads all text, and where ?1 is 0 only that of the small tables.
SELECT 'gristmill_queue', id, name, NULL, NULL, NULL, NULL FROM gristmill_queue
UNION ALL SELECT 'gristmill_kind', id, name, spec, NULL, NULL, NULL FROM gristmill_kind
UNION ALL SELECT 'gristmill_worker', key, name, version, serves, NULL, NULL FROM gristmill_worker
UNION ALL SELECT 'gristmill_live', seq, logs, progress, NULL, NULL, NULL FROM gristmill_live
UNION ALL SELECT 'gristmill_task', seq, args, meta, NULL, NULL, NULL FROM gristmill_task WHERE ?1
UNION ALL SELECT 'gristmill_outcome', seq, worker, result, error, logs, progress FROM gristmill_outcome WHERE ?1
UNION ALL SELECT 'gristmill_schedule', id, name, owner, body, memory, NULL FROM gristmill_schedule WHERE ?1
UNION ALL SELECT 'gristmill_event', seq, name, payload, NULL, NULL, NULL FROM gristmill_event WHERE ?1
