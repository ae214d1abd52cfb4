-- Index: the unique one on name. In the stead of a holder that is gone.
INSERT OR REPLACE INTO gristmill_lock(name, lease, mark, taken_at) VALUES (?1, ?2, ?3, ?4) RETURNING token
