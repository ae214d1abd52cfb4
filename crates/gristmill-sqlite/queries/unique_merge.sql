-- Index: the primary key of unique; the unique one of the id.
-- The task that has a key (?1, ?2) until it starts gets the arguments ?3; if ?4 names a list, with those of before in front of theirs, unless one of them is none, or
-- that makes more than ?5 bytes. Only if that task says itself that others are written into it so.
UPDATE gristmill_task SET args = CASE WHEN ?4 = '' THEN ?3 ELSE json_set(?3, '$.' || ?4, json('[' || substr(json_extract(args, '$.' || ?4), 2, length(json_extract(args, '$.' || ?4)) - 2)
  || CASE WHEN json_array_length(args, '$.' || ?4) > 0 AND json_array_length(?3, '$.' || ?4) > 0 THEN ',' ELSE '' END
  || substr(json_extract(?3, '$.' || ?4), 2))) END
WHERE id = (SELECT task FROM gristmill_unique WHERE kind = ?1 AND key = ?2 AND lasts = 1 AND until IS NULL)
  AND CASE WHEN ?4 = '' THEN json_extract(meta, '$.unique.merge') = 'replace' ELSE json_extract(meta, '$.unique.merge.collect') = ?4 END
  AND (?4 = '' OR json_type(args, '$.' || ?4) = 'array' AND json_type(?3, '$.' || ?4) = 'array' AND octet_length(args) + octet_length(?3) <= ?5)
