-- Index: the unique one on name. One whose time is over makes room for the next.
DELETE FROM gristmill_event WHERE name = ?1 AND keep_until <= ?2 AND untold = 0
