-- Index: the primary key.
SELECT term FROM gristmill_beat WHERE one = 1
