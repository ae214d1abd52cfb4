-- Index: the primary key, of the days of these ids alone.
-- Members whose workflow goes on again are kept until it has ended.
UPDATE {s}.outcome SET keep_until = 9223372036854775807
WHERE id = ANY($1) AND ended <> 0 AND owed = 0 AND keep_until <> 9223372036854775807
