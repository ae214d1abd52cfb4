-- origin
-- Index: the primary key of migration.
-- Another text as soon as it is another server, one that was started anew or has lost its last commits in a crash, after which its
-- statistics begin anew, or another database in the place of the one before: whoever restores it writes this row anew. Before version 15
-- statistics come from another process, which may let wait; there, only commits that did not wait for the disk are lost unnoticed.
SELECT concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()),
                 CASE WHEN current_setting('server_version_num')::integer >= 150000
                      THEN extract(epoch FROM (SELECT stats_reset FROM pg_stat_bgwriter)) END,
                 m.tableoid, m.xmin)
FROM {s}.migration m WHERE m.number = 1
