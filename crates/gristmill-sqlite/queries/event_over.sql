-- Index: the unique one on name. One whose time is over makes room for the next, once all who waited for it are told.
DELETE FROM gristmill_event WHERE name = ?1 AND keep_until <= ?2 AND untold = 0
