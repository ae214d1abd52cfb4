-- Index: the primary keys; reads all that is taken of one key.
-- Who holds slots of the key ?1, in the order of arrival, how many, and whether it was asked to end.
SELECT s.task, s.cost, coalesce(l.cancel, 0) FROM gristmill_slot s LEFT JOIN gristmill_lease l ON l.seq = s.task WHERE s.key = ?1 AND NOT s.until_ended ORDER BY s.task
