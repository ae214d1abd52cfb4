-- Index: the primary key.
SELECT mark FROM gristmill_lease WHERE seq = ?1
