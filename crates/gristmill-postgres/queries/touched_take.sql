-- Index: the primary key; key_look.
-- What others take at this moment is theirs. And those keys with a rate of which somebody may begin by now.
-- Nobody is asked anything until the commit, so that a process that is stopped holds up the ends of others' tasks for no longer than that.
WITH brief AS MATERIALIZED (
  SELECT set_config('idle_in_transaction_session_timeout', '5s', true) AS set
), taken AS (
  DELETE FROM {s}.touched WHERE id IN (SELECT id FROM {s}.touched ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)
  RETURNING key, declared, pace, said_by
)
SELECT key, declared, pace, said_by, {now} FROM taken WHERE (SELECT set FROM brief) IS NOT NULL
UNION ALL (SELECT key, NULL, NULL, NULL, {now} FROM {s}.key WHERE look_at <= {now} ORDER BY look_at LIMIT $2)
