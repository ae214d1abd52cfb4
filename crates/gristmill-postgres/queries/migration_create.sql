-- Index: none.
CREATE TABLE IF NOT EXISTS {s}.migration(
  number     bigint PRIMARY KEY,
  name       text   NOT NULL,
  checksum   text   NOT NULL,
  applied_at bigint NOT NULL
)
