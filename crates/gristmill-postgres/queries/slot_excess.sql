-- Index: the primary key of slot; ready_flagged and parked_flagged. Reads all that is taken of the keys.
-- Those who were admitted to keys ($1) that have fewer slots by now, and are not claimed, wait again where they came, those first that came last: of
-- each key until so many slots are back as $2 says, and no more than $3. What a sequence holds until its task has ended, it holds from its
-- first attempt on. Whoever is just being claimed is passed over.
WITH chosen AS MATERIALIZED (
  SELECT DISTINCT h.task, h.seq
  FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS x(key, least, most)
  CROSS JOIN LATERAL (
    SELECT s.task, s.seq, s.cost, sum(s.cost) OVER (ORDER BY s.seq DESC, s.task) AS back
    FROM {s}.slot s
    WHERE s.key = x.key AND (EXISTS (SELECT FROM {s}.ready r WHERE r.id = s.task AND r.flags <> 0)
                             OR EXISTS (SELECT FROM {s}.parked p WHERE p.id = s.task AND p.flags <> 0))
  ) h
  WHERE h.back - h.cost < x.least AND h.back <= x.most
), unready AS (
  DELETE FROM {s}.ready WHERE ctid = ANY (ARRAY(
    SELECT r.at FROM chosen c CROSS JOIN LATERAL (
      SELECT r.ctid AS at FROM {s}.ready r WHERE r.id = c.task AND r.flags <> 0 OFFSET 0 FOR UPDATE SKIP LOCKED
    ) r
  ))
  RETURNING {columns}
), unparked AS (
  DELETE FROM {s}.parked WHERE ctid = ANY (ARRAY(
    SELECT p.at FROM chosen c CROSS JOIN LATERAL (
      SELECT p.ctid AS at FROM {s}.parked p WHERE p.id = c.task AND p.flags <> 0 OFFSET 0 FOR UPDATE SKIP LOCKED
    ) p
  ))
  RETURNING {columns}
), back AS MATERIALIZED (
  SELECT * FROM unready UNION ALL SELECT * FROM unparked
), freed AS (
  DELETE FROM {s}.slot s USING back b WHERE s.task = b.id AND (NOT s.until_ended OR b.claim_no = 0)
  RETURNING s.key
), told AS (
  INSERT INTO {s}.touched(key) SELECT DISTINCT key FROM freed
)
INSERT INTO {s}.waiting({columns})
SELECT b.id, c.seq, b.expires_at, b.queue, b.kind, b.attempt, b.claim_no, b.crashes, b.priority, b.flags & ~{moved}
FROM back b JOIN chosen c ON c.task = b.id
RETURNING id
