-- The master's registry and events. Times are Unix milliseconds of the master's wall clock.

-- Who may connect: the allow-list. A key that is neither `key` nor `next_key` is denied.
CREATE TABLE identities (
    identity        TEXT PRIMARY KEY,
    role            TEXT NOT NULL,       -- agent or viewer
    name            TEXT NOT NULL,
    key             BLOB NOT NULL,       -- SHA-256 of the current key's SubjectPublicKeyInfo
    generation      INTEGER NOT NULL,
    next_key        BLOB,                -- issued by a renewal and not used yet
    revoked         INTEGER NOT NULL DEFAULT 0,
    expires_wall_ms INTEGER NOT NULL,
    token_id        BLOB NOT NULL,       -- with `enrolled_key`: a lost answer can be asked for again
    enrolled_key    BLOB NOT NULL
) STRICT;

CREATE TABLE tokens (
    token_id        BLOB PRIMARY KEY,
    secret_digest   BLOB NOT NULL,
    role            TEXT NOT NULL,
    created_wall_ms INTEGER NOT NULL,
    expires_wall_ms INTEGER NOT NULL,
    uses_left       INTEGER NOT NULL,
    revoked         INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE nodes (
    node_id            TEXT PRIMARY KEY,
    name               TEXT NOT NULL UNIQUE,
    labels             TEXT NOT NULL DEFAULT '{}',  -- the operator's; JSON. The agent's own are in the inventory
    note               TEXT NOT NULL DEFAULT '',
    address            TEXT NOT NULL DEFAULT '',
    agent_version      TEXT NOT NULL DEFAULT '',
    first_seen_wall_ms INTEGER NOT NULL,
    seen_wall_ms       INTEGER,
    state              TEXT NOT NULL,
    reason             TEXT NOT NULL DEFAULT '',
    since_wall_ms      INTEGER NOT NULL,
    inventory          BLOB
) STRICT;

CREATE TABLE events (
    number  INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    event   TEXT NOT NULL,
    node_id TEXT NOT NULL,
    name    TEXT NOT NULL,
    before  TEXT NOT NULL,
    after   TEXT NOT NULL,
    text    TEXT NOT NULL
) STRICT;

CREATE INDEX events_by_node ON events (node_id, number);
