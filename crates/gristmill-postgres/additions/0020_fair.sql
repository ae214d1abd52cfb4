-- Queues whose keys take turns. turn: that of the last task of a key, as gristmill-core's concurrency/fair.rs reckons it, which matters until spent_until. away: the task that waits in
-- the line of another key for all of this one.
ALTER TABLE {s}.key ADD COLUMN turn bigint, ADD COLUMN away uuid;

-- As that of additions/0018_rates.sql; and if one is gone that waited for all of a key, the next of that key has to be sent.
CREATE OR REPLACE FUNCTION {s}.stand_down_together() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
BEGIN
  IF NOT EXISTS (SELECT FROM left_it) THEN
    RETURN NULL;
  END IF;
  WITH gone AS (DELETE FROM {s}.standby WHERE task = ANY (ARRAY(SELECT id FROM left_it)) RETURNING key, needs)
  INSERT INTO {s}.touched(key)
  SELECT key FROM gone
  UNION SELECT n ->> 'key' FROM gone CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN strpos(gone.needs, '"fair:') > 0 THEN gone.needs::jsonb ELSE '[]' END) AS n
    WHERE NOT starts_with(gone.key, 'fair:') AND starts_with(n ->> 'key', 'fair:');
  IF FOUND THEN
    PERFORM set_config('gristmill.touched', 'yes', true);
  END IF;
  RETURN NULL;
END $gristmill$;
