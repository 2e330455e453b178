-- What version 5 of the schema added: what changes with every beat, and what is long, apart from the
-- rows that change with every link. A row is written whole.

CREATE TABLE seen (
    node_id TEXT PRIMARY KEY,
    wall_ms INTEGER NOT NULL             -- the last sign of life
) STRICT, WITHOUT ROWID;

INSERT INTO seen SELECT node_id, seen_wall_ms FROM nodes WHERE seen_wall_ms IS NOT NULL;

CREATE TABLE inventories (
    node_id   TEXT PRIMARY KEY,
    inventory BLOB NOT NULL
) STRICT;

INSERT INTO inventories SELECT node_id, inventory FROM nodes WHERE inventory IS NOT NULL;

ALTER TABLE nodes DROP COLUMN seen_wall_ms;
ALTER TABLE nodes DROP COLUMN inventory;
