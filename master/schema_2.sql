-- What version 2 of the schema added: outages.

CREATE TABLE outages (
    number          INTEGER PRIMARY KEY,
    node_id         TEXT NOT NULL,
    from_wall_ms    INTEGER NOT NULL,    -- the last sign of life
    noticed_wall_ms INTEGER NOT NULL,
    to_wall_ms      INTEGER,             -- NULL while the node is away
    how             TEXT NOT NULL,       -- shared.absence.How, and the words for it
    reason          TEXT NOT NULL,
    boot_id         TEXT,                -- which run of the agent went; NULL: not known
    started_mono_ms INTEGER,
    cause           TEXT,                -- NULL until it has been judged
    evidence        TEXT NOT NULL,       -- a line each
    clean           INTEGER,
    out_of_memory   INTEGER,
    exit_reason     TEXT NOT NULL
) STRICT;

CREATE INDEX outages_by_node ON outages (node_id, number);
CREATE INDEX outages_not_judged ON outages (number) WHERE cause IS NULL;

-- Which run of its agent made a node's last link.
CREATE TABLE runs (
    node_id         TEXT PRIMARY KEY,
    boot_id         TEXT NOT NULL,
    started_mono_ms INTEGER NOT NULL
) STRICT;

-- When this master was there.
CREATE TABLE master_lives (
    number          INTEGER PRIMARY KEY,
    started_wall_ms INTEGER NOT NULL,
    alive_wall_ms   INTEGER NOT NULL,
    stopped         INTEGER NOT NULL     -- 1: in order
) STRICT;
