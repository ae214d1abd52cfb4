-- Index: the primary key.
SELECT mark, flags FROM gristmill_lease WHERE seq = ?1
