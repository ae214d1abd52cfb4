-- Index: event_keep, in its order; the primary key of event.
-- Events whose time is over; those who waited for them when they came are told before.
WITH over AS MATERIALIZED (
  SELECT id FROM {s}.event WHERE keep_until <= {now} AND (told OR keep_until <= {now} - 3600000)
  ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM {s}.event WHERE id = ANY (ARRAY(SELECT id FROM over))
