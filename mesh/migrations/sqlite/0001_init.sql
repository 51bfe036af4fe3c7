-- +goose Up

-- Times are milliseconds since 1970 in UTC, on the database's clock unless they
-- come from Okta. Booleans are 0 and 1.

CREATE TABLE im_connectors (
    key           INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: other processes remember keys of im_ids by it
    name          TEXT    NOT NULL UNIQUE,
    type          TEXT    NOT NULL,
    config_json   TEXT    NOT NULL,
    auth_json     TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    deleted_at    INTEGER,
    epoch         TEXT    NOT NULL,             -- names this feed; changes on restore
    seq           INTEGER NOT NULL DEFAULT 0,   -- the last row of the feed
    settled_scope TEXT    NOT NULL DEFAULT '',  -- the scope the edges were last derived for
    lease_run     TEXT,                         -- run id of the holder, null when free
    lease_token   INTEGER NOT NULL DEFAULT 0,   -- grows with each taking
    lease_until   INTEGER NOT NULL DEFAULT 0,
    lease_ttl     INTEGER NOT NULL DEFAULT 0,   -- what each write extends the lease by
    waiting_run   TEXT,                         -- a run that waits for the lease and goes first
    waiting_until INTEGER NOT NULL DEFAULT 0,
    read_as       TEXT    NOT NULL DEFAULT '',  -- the definition that the last committed run read by
    everyone_key  INTEGER,                      -- the group Everyone while its edges are derived
    shadow_of     INTEGER                       -- the connector that a dry run copied
);

CREATE TABLE im_watermarks (
    connector_key INTEGER PRIMARY KEY REFERENCES im_connectors (key),
    watermark     TEXT,                         -- {"u": …, "g": …}; may be edited by hand
    updated_at    INTEGER,
    updated_by    TEXT
);

CREATE TABLE im_runs (
    key                INTEGER PRIMARY KEY,
    run_id             TEXT    NOT NULL UNIQUE,
    connector_key      INTEGER NOT NULL REFERENCES im_connectors (key),
    mode               TEXT    NOT NULL,
    workflow_id        TEXT    NOT NULL,
    namespace          TEXT    NOT NULL,
    token              INTEGER NOT NULL,
    outcome            TEXT    NOT NULL DEFAULT '',
    error              TEXT    NOT NULL DEFAULT '',
    note               TEXT    NOT NULL DEFAULT '',
    committed          INTEGER NOT NULL DEFAULT 0,
    settling           INTEGER NOT NULL DEFAULT 0, -- Settle has begun and nothing was written since
    superseded         INTEGER NOT NULL DEFAULT 0, -- ended by the run that took the lease over
    api_calls          INTEGER NOT NULL DEFAULT 0,
    rate_limit_waits   INTEGER NOT NULL DEFAULT 0,
    rate_limit_wait_us INTEGER NOT NULL DEFAULT 0,
    started_at         INTEGER NOT NULL,
    ended_at           INTEGER,
    watermark          TEXT
);
CREATE INDEX im_runs_connector ON im_runs (connector_key, started_at);

CREATE TABLE im_run_counts (
    run_key   INTEGER NOT NULL REFERENCES im_runs (key),
    type      TEXT    NOT NULL,
    seen      INTEGER NOT NULL DEFAULT 0,
    added     INTEGER NOT NULL DEFAULT 0,
    updated   INTEGER NOT NULL DEFAULT 0,
    deleted   INTEGER NOT NULL DEFAULT 0,
    unchanged INTEGER NOT NULL DEFAULT 0,
    acquitted INTEGER NOT NULL DEFAULT 0,           -- missed by a listing, found by a look-up
    held      INTEGER NOT NULL DEFAULT 0,           -- deletes held back for an operator
    guarded   INTEGER NOT NULL DEFAULT 0,           -- deletes that the guards of the next 24 hours count
    decided   INTEGER NOT NULL DEFAULT 0,           -- what Decide answered: guarded ones to be written
    PRIMARY KEY (run_key, type)
) WITHOUT ROWID;

-- One integer for each Okta id of a connector, whether or not the mesh holds the
-- object. Rows are never removed, but for a dropped shadow's, so keys may be kept in
-- memory.
CREATE TABLE im_ids (
    key           INTEGER PRIMARY KEY,
    connector_key INTEGER NOT NULL,
    type          TEXT    NOT NULL,
    okta_id       TEXT    NOT NULL,
    UNIQUE (connector_key, type, okta_id)
);

CREATE TABLE im_objects (
    key           INTEGER PRIMARY KEY,          -- im_ids.key
    connector_key INTEGER NOT NULL,
    type          TEXT    NOT NULL,
    external_id   TEXT    NOT NULL,
    external_fold TEXT    NOT NULL,             -- equal for ids that collide
    wants         TEXT    NOT NULL DEFAULT '',  -- the external id that it waits for
    attributes    TEXT    NOT NULL,
    hash          BLOB    NOT NULL,
    stamp         INTEGER NOT NULL DEFAULT 0,   -- Okta's; 0 unknown
    state         TEXT    NOT NULL,             -- live, deleted, outside (known, in no imported group)
    reason        TEXT    NOT NULL DEFAULT '',
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
);
CREATE INDEX im_objects_external ON im_objects (connector_key, type, external_id);
CREATE INDEX im_objects_state ON im_objects (key, state, reason); -- spares the settle the wide rows
CREATE INDEX im_objects_outside ON im_objects (connector_key) WHERE state = 'outside';
CREATE INDEX im_objects_wants ON im_objects (connector_key) WHERE wants <> '';
CREATE INDEX im_objects_waiting ON im_objects (connector_key) WHERE reason = 'waiting'; -- outside until an external id is free
CREATE INDEX im_objects_fold ON im_objects (connector_key, type, external_fold) WHERE state = 'live';

-- Every pair that Okta listed. listed and deprovisioned are the evidence; live is
-- what the feed says. reason is empty while live and for a pair that never was.
CREATE TABLE im_edges (
    group_key     INTEGER NOT NULL,
    member_key    INTEGER NOT NULL,
    listed        INTEGER NOT NULL,
    deprovisioned INTEGER NOT NULL DEFAULT 0,
    live          INTEGER NOT NULL DEFAULT 0,
    reason        TEXT    NOT NULL DEFAULT '',
    run_key       INTEGER,                      -- the run that wrote its last feed row, or the first evidence
    PRIMARY KEY (group_key, member_key)
) WITHOUT ROWID;

-- The groups of a member. The settle fills it in large sorted batches: an index of
-- im_edges would be written at random with every page, which costs more than all the
-- rest. It holds every edge but those of groups that are in im_dirty.
CREATE TABLE im_member_groups (
    member_key INTEGER NOT NULL,
    group_key  INTEGER NOT NULL,
    PRIMARY KEY (member_key, group_key)
) WITHOUT ROWID;

-- Ids whose edges have to be derived again, because evidence or an end's liveness
-- changed. side: g, the edges of a group; m, those of a member. stage: what is due
-- next, 0 deletes, 1 the entries of im_member_groups (groups only), 2 adds. after:
-- the other end of the last edge that was looked at.
CREATE TABLE im_dirty (
    connector_key INTEGER NOT NULL,
    stage         INTEGER NOT NULL,
    side          TEXT    NOT NULL,
    key           INTEGER NOT NULL,
    after         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (connector_key, stage, side, key)
) WITHOUT ROWID;

-- When and for which stamp a group's members were last read to their end.
CREATE TABLE im_group_reads (
    group_key INTEGER PRIMARY KEY,
    stamp     INTEGER NOT NULL DEFAULT 0,       -- lastMembershipUpdated that the reading was for
    read_at   INTEGER NOT NULL DEFAULT 0,       -- Okta's Date; 0 unknown
    reads     INTEGER NOT NULL DEFAULT 1        -- for this stamp
) WITHOUT ROWID;

-- Deletes that wait for an operator: at most one open hold of a connector.
CREATE TABLE im_holds (
    key           INTEGER PRIMARY KEY,
    connector_key INTEGER NOT NULL,
    run_key       INTEGER NOT NULL,             -- the run that changed it last
    state         TEXT    NOT NULL,             -- Open, Approved, Rejected, Expired, Replaced
    opened_at     INTEGER NOT NULL,
    changed_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    decided_by    TEXT    NOT NULL DEFAULT '',
    decided_at    INTEGER
);
CREATE INDEX im_holds_connector ON im_holds (connector_key, state);
CREATE UNIQUE INDEX im_holds_open ON im_holds (connector_key) WHERE state = 'Open';

-- member_key is 0 for a user or group. The rows of the last hold that was rejected or
-- ran out stay until the next completed Full, so that a delta leaves them alone.
CREATE TABLE im_held (
    hold_key   INTEGER NOT NULL,
    key        INTEGER NOT NULL,                -- the object, or the edge's group
    member_key INTEGER NOT NULL DEFAULT 0,
    type       TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    stamp      INTEGER NOT NULL DEFAULT 0,      -- of the answer that led to the delete; -1: a user in no group that counts
    run_key    INTEGER NOT NULL,
    PRIMARY KEY (hold_key, key, member_key)
) WITHOUT ROWID;

-- The feed. A GroupMember row holds references; the object is made when read.
CREATE TABLE im_changes (
    connector_key INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    op            TEXT    NOT NULL,
    type          TEXT    NOT NULL,
    key           INTEGER NOT NULL,             -- the object, or the edge's group
    member_key    INTEGER,                      -- the edge's member
    external_id   TEXT,
    attributes    TEXT,
    changed       TEXT,                         -- JSON array of names
    reason        TEXT    NOT NULL DEFAULT '',
    run_key       INTEGER,
    at            INTEGER NOT NULL,
    PRIMARY KEY (connector_key, seq)
);

CREATE TABLE im_secrets (
    ref        TEXT    PRIMARY KEY,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

-- What a run needs for itself; dropped when it ends.

CREATE TABLE im_progress (
    key        INTEGER PRIMARY KEY,
    run_key    INTEGER NOT NULL,
    stream     TEXT    NOT NULL,
    owner      TEXT    NOT NULL,
    page       INTEGER NOT NULL DEFAULT 0,
    next       TEXT    NOT NULL DEFAULT '',
    done       INTEGER NOT NULL DEFAULT 0,
    seen       INTEGER NOT NULL DEFAULT 0,
    first_date INTEGER NOT NULL DEFAULT 0,
    high_water INTEGER NOT NULL DEFAULT 0,
    failures   INTEGER NOT NULL DEFAULT 0,
    group_key  INTEGER,                         -- of a member stream
    UNIQUE (run_key, stream)
);

CREATE TABLE im_visited (                       -- next links that a walk has followed
    progress_key INTEGER NOT NULL,
    hash         BLOB    NOT NULL,
    PRIMARY KEY (progress_key, hash)
) WITHOUT ROWID;

CREATE TABLE im_seen (
    run_key INTEGER NOT NULL,
    key     INTEGER NOT NULL,
    stamp   INTEGER NOT NULL DEFAULT 0,         -- the newest answer's
    PRIMARY KEY (run_key, key)
) WITHOUT ROWID;

CREATE TABLE im_changed (                       -- users whom the unfiltered delta named
    run_key INTEGER NOT NULL,
    key     INTEGER NOT NULL,
    PRIMARY KEY (run_key, key)
) WITHOUT ROWID;

CREATE TABLE im_seen_edges (                    -- of lists of several pages, all but the last
    progress_key INTEGER NOT NULL,
    page         INTEGER NOT NULL,
    members      BLOB    NOT NULL,              -- the page's keys, sorted: the distance of each from the one before, as a varint
    PRIMARY KEY (progress_key, page)
);

CREATE TABLE im_member_queue (
    run_key   INTEGER NOT NULL,
    ordinal   INTEGER NOT NULL,
    group_key INTEGER NOT NULL,
    done      INTEGER NOT NULL DEFAULT 0,
    stamp     INTEGER NOT NULL DEFAULT 0,       -- lastMembershipUpdated as listed
    everyone  INTEGER NOT NULL DEFAULT 0,       -- a BUILT_IN group Everyone
    gone      INTEGER NOT NULL DEFAULT 0,       -- Okta answered 404 for its members
    lane      INTEGER NOT NULL DEFAULT 0,       -- who reads it; 0: nobody yet
    PRIMARY KEY (run_key, ordinal),
    UNIQUE (run_key, group_key)
) WITHOUT ROWID;

CREATE INDEX im_member_queue_free ON im_member_queue (run_key, ordinal) WHERE lane = 0;
CREATE INDEX im_member_queue_lane ON im_member_queue (run_key, lane) WHERE done = 0;

-- The keys of a shadow's ids; empty but within the transaction that copies them.
CREATE TABLE im_shadow_keys (
    old_key INTEGER PRIMARY KEY,
    new_key INTEGER NOT NULL
);

CREATE TABLE im_staged (
    run_key       INTEGER NOT NULL,
    key           INTEGER NOT NULL,
    kind          TEXT    NOT NULL,             -- delete, held (a delete kept back), add, rename
    type          TEXT    NOT NULL,
    reason        TEXT    NOT NULL DEFAULT '',  -- of a delete; empty: a candidate
    looked_up     INTEGER NOT NULL DEFAULT 0,   -- 2: staged by Decide, for UsersInGroupsOnly
    external_id   TEXT    NOT NULL DEFAULT '',  -- of an add or rename, as the next four
    external_fold TEXT    NOT NULL DEFAULT '',
    attributes    TEXT    NOT NULL DEFAULT '',
    hash          BLOB,
    stamp         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_key, key)
);
CREATE INDEX im_staged_kind ON im_staged (run_key, kind, reason);

CREATE TABLE im_staged_edges (                  -- live edges whose Delete the run keeps back
    run_key    INTEGER NOT NULL,
    group_key  INTEGER NOT NULL,
    member_key INTEGER NOT NULL,
    reason     TEXT    NOT NULL,
    PRIMARY KEY (run_key, group_key, member_key)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE im_staged_edges;
DROP TABLE im_staged;
DROP TABLE im_shadow_keys;
DROP TABLE im_member_queue;
DROP TABLE im_seen_edges;
DROP TABLE im_seen;
DROP TABLE im_visited;
DROP TABLE im_progress;
DROP TABLE im_secrets;
DROP TABLE im_changed;
DROP TABLE im_held;
DROP TABLE im_holds;
DROP TABLE im_group_reads;
DROP TABLE im_changes;
DROP TABLE im_dirty;
DROP TABLE im_member_groups;
DROP TABLE im_edges;
DROP TABLE im_objects;
DROP TABLE im_ids;
DROP TABLE im_run_counts;
DROP TABLE im_runs;
DROP TABLE im_watermarks;
DROP TABLE im_connectors;
