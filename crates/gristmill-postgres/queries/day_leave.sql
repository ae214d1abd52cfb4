-- Index: the primary key. Nobody makes days for five minutes: whoever waits for the tables holds up everybody.
INSERT INTO {s}.day_look(day, make_at) VALUES ({now} / 86400000, {now} + 300000) ON CONFLICT (day) DO UPDATE SET make_at = excluded.make_at
