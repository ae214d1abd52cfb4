-- As in additions/0013_durable.sql, but what a task has started that did not succeed stays until it was seen to, with claim_no 0: a workflow whose
-- task has failed, and was deleted before a sweep came by, would go on for nobody.
CREATE OR REPLACE FUNCTION {s}.prune_rows(now bigint, most bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  pruned bigint := 0;
  here bigint;
  kept bigint;
  next bigint;
  part record;
  -- Whether anything is remembered, and whether members of a step are still to be begun anew, mended or kept.
  is_remembered CONSTANT boolean := EXISTS (SELECT FROM {s}.memory);
  is_held       CONSTANT boolean := EXISTS (SELECT FROM {s}.step WHERE chore <> 0 AND chore BETWEEN 4 AND 6);
  is_ours boolean := pg_try_advisory_xact_lock(hashtextextended('gristmill prune of {l}', 0));
BEGIN
  -- So that no day is dropped between the list and the look.
  LOCK TABLE ONLY {s}.task, ONLY {s}.outcome IN ROW EXCLUSIVE MODE;
  FOR part IN
    SELECT '{l}.task_rest' AS task, '{l}.outcome_rest' AS outcome, NULL::bigint AS past
    UNION ALL
    SELECT {s}.day_table('task', day), {s}.day_table('outcome', day), NULL FROM {s}.days() AS d(day) WHERE (day + 1) * 86400000 > now
    UNION ALL
    (SELECT {s}.day_table('task', d.day), {s}.day_table('outcome', d.day), d.day
     FROM {s}.days() AS d(day) LEFT JOIN {s}.day_look k ON k.day = d.day
     WHERE is_ours AND (d.day + 1) * 86400000 <= now AND coalesce(k.prune_at, 0) NOT BETWEEN now + 1 AND now + 600000
     ORDER BY coalesce(k.prune_at, 0), d.day LIMIT 10)
  LOOP
    EXIT WHEN pruned >= most;
    kept := CASE WHEN part.past IS NOT NULL AND {s}.day_is_large(part.past) THEN 93600000 ELSE 0 END;
    EXECUTE 'WITH over AS MATERIALIZED (SELECT id, ended FROM ' || part.outcome || ' o WHERE keep_until IS NOT NULL AND keep_until <= $1 '
         || CASE WHEN is_held THEN 'AND NOT EXISTS (SELECT FROM ' || part.task || ' t JOIN {l}.step s ON s.workflow = t.workflow '
                                   || 'AND s.number = t.step AND s.chore BETWEEN 4 AND 6 WHERE t.id = o.id OFFSET 0) ' ELSE '' END
         || 'ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED), '
         || 'outcomes AS (DELETE FROM ' || part.outcome || ' WHERE id = ANY (ARRAY(SELECT id FROM over))), '
         || CASE WHEN is_remembered THEN 'memories AS (DELETE FROM {l}.memory WHERE task = ANY (ARRAY(SELECT id FROM over)) '
                                         || 'AND (NOT child OR task = ANY (ARRAY(SELECT id FROM over WHERE ended = 1)))), '
                                         || 'started AS (UPDATE {l}.memory SET claim_no = 0 '
                                         || 'WHERE task = ANY (ARRAY(SELECT id FROM over WHERE ended <> 1)) AND child), '
                                         ELSE '' END
         || 'tasks AS (DELETE FROM ' || part.task || ' WHERE id = ANY (ARRAY(SELECT id FROM over))) '
         || 'SELECT count(*) FROM over'
       INTO here USING now - kept, most - pruned;
    pruned := pruned + here;
    IF part.past IS NOT NULL AND pruned < most THEN
      EXECUTE 'SELECT keep_until + $1 FROM ' || part.outcome || ' WHERE keep_until IS NOT NULL AND keep_until < 9223372036854775807 - $1 '
           || 'ORDER BY keep_until LIMIT 1' INTO next USING kept;
      INSERT INTO {s}.day_look AS k(day, prune_at) VALUES (part.past, least(next, now + 600000))
        ON CONFLICT (day) DO UPDATE SET prune_at = excluded.prune_at;
    END IF;
  END LOOP;
  RETURN pruned;
END
$gristmill$;
