-- Index: the unique one on name. Whether all who waited for it are told.
SELECT untold = 0 FROM gristmill_event WHERE name = ?1 AND keep_until > ?2
