-- The past of every node. Times are Unix milliseconds of the master's wall clock.

CREATE TABLE nodes (
    number  INTEGER PRIMARY KEY,
    node_id TEXT NOT NULL UNIQUE
) STRICT;

-- Runs of agents. A sample's name is its run and its sequence number.
CREATE TABLE runs (
    number          INTEGER PRIMARY KEY,
    node            INTEGER NOT NULL,
    boot_id         TEXT NOT NULL,
    started_mono_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX runs_by_node ON runs (node, boot_id);

-- What has arrived and is not yet in chunks: a row per commit and shard (master/history/journal.py).
CREATE TABLE journal (
    number INTEGER PRIMARY KEY,  -- the shard in the high bits, so that its rows lie together
    nodes  BLOB NOT NULL,        -- whose samples the row holds: 4 bytes each, lowest first
    body   BLOB NOT NULL
) STRICT;

-- The same of families.
CREATE TABLE family_journal (
    number INTEGER PRIMARY KEY,
    nodes  BLOB NOT NULL,
    body   BLOB NOT NULL
) STRICT;

-- Samples and roll-ups as compressed columns (master/history/codec.py, tiers.py).
CREATE TABLE chunks (
    number   INTEGER PRIMARY KEY,
    node     INTEGER NOT NULL,
    tier_ms  INTEGER NOT NULL,   -- 0: samples; else the length of a bucket
    from_ms  INTEGER NOT NULL,   -- where its window begins
    is_open  INTEGER NOT NULL,   -- 1: not in the coarser tiers yet
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    marks    BLOB NOT NULL,      -- of samples: periods, and which came late (marks.py)
    body     BLOB NOT NULL
) STRICT;

CREATE INDEX chunks_by_node ON chunks (node, tier_ms, from_ms);
CREATE INDEX chunks_by_time ON chunks (tier_ms, from_ms, node);
CREATE INDEX chunks_open ON chunks (node, tier_ms, from_ms) WHERE is_open;

-- Families of one node over one window (master/history/family_chunks.py).
CREATE TABLE family_chunks (
    number   INTEGER PRIMARY KEY,
    node     INTEGER NOT NULL,
    from_ms  INTEGER NOT NULL,
    is_open  INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,   -- of the body
    body     BLOB NOT NULL
) STRICT;

CREATE INDEX family_chunks_by_node ON family_chunks (node, from_ms);
CREATE INDEX family_chunks_by_time ON family_chunks (from_ms, bytes);
CREATE INDEX family_chunks_open ON family_chunks (node, from_ms) WHERE is_open;

-- The last sample of every minute of many nodes, side by side (master/history/instant_rows.py):
-- compaction writes a row per shard and hour, and another for what comes late; kept as long as the
-- finest roll-up.
CREATE TABLE instants (
    number  INTEGER PRIMARY KEY,
    from_ms INTEGER NOT NULL,    -- where its first minute begins
    last_ms INTEGER NOT NULL,    -- and its last
    body    BLOB NOT NULL
) STRICT;

CREATE INDEX instants_by_time ON instants (from_ms, last_ms);

-- Samples that follow each other, per day of UTC (master/history/stretch_rows.py).
CREATE TABLE stretches (
    node    INTEGER NOT NULL,
    from_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (node, from_ms)
) STRICT;

CREATE INDEX stretches_by_time ON stretches (last_ms);

-- Which samples are in chunks or have been, per boot of a host; those in the journal come on top.
CREATE TABLE known (
    node      INTEGER NOT NULL,
    boot_id   TEXT NOT NULL,
    last_ms   INTEGER NOT NULL,
    intervals BLOB NOT NULL,     -- known_rows.py
    PRIMARY KEY (node, boot_id)
) STRICT;

CREATE INDEX known_by_time ON known (last_ms);

-- What agents have told of samples that were taken and are no more.
CREATE TABLE lost (
    number   INTEGER PRIMARY KEY,
    node     INTEGER NOT NULL,
    run      INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    UNIQUE (node, run, first, last)
) STRICT;

CREATE INDEX lost_by_time ON lost (last_ms);

-- Numbers of nodes that were forgotten and whose rows are still being removed.
CREATE TABLE forgotten (
    node INTEGER PRIMARY KEY
) STRICT;

-- Rows whose content does not match its checksum, set aside.
CREATE TABLE damaged (
    number     INTEGER PRIMARY KEY,
    at_ms      INTEGER NOT NULL,
    table_name TEXT NOT NULL,
    row        INTEGER NOT NULL,
    node       INTEGER,
    from_ms    INTEGER,
    reason     TEXT NOT NULL,
    body       BLOB NOT NULL
) STRICT;
