-- +goose Up

-- What the runs of a connector came to, so that metrics need neither memory nor old rows
-- of im_runs: written when a run ends, never lowered.
CREATE TABLE im_run_totals (
    connector_key BIGINT NOT NULL,
    mode          TEXT COLLATE "C"    NOT NULL,
    outcome       TEXT COLLATE "C"    NOT NULL,
    runs          BIGINT NOT NULL,
    ended_at      BIGINT NOT NULL,             -- of the newest
    duration_ms   BIGINT NOT NULL,             -- of the newest
    PRIMARY KEY (connector_key, mode, outcome)
);

CREATE TABLE im_change_totals (                 -- of ended runs
    connector_key BIGINT NOT NULL,
    type          TEXT COLLATE "C"    NOT NULL,
    added         BIGINT NOT NULL,
    updated       BIGINT NOT NULL,
    deleted       BIGINT NOT NULL,
    PRIMARY KEY (connector_key, type)
);

-- How far somebody who is told of ended runs has come (docs/adr/0013).
CREATE TABLE im_followers (
    follower      TEXT COLLATE "C"    NOT NULL,
    connector_key BIGINT NOT NULL,
    place         BIGINT NOT NULL,             -- im_runs.key of the last run that is dealt with
    owner         TEXT COLLATE "C"    NOT NULL DEFAULT '',  -- who deals with the next one
    due_at        BIGINT NOT NULL DEFAULT 0,   -- when somebody else may, or the next try is due
    attempts      BIGINT NOT NULL DEFAULT 0,   -- that failed
    PRIMARY KEY (follower, connector_key)
);

CREATE INDEX im_runs_order ON im_runs (connector_key, key);
CREATE INDEX im_runs_open ON im_runs (connector_key) WHERE ended_at IS NULL;

INSERT INTO im_run_totals (connector_key, mode, outcome, runs, ended_at, duration_ms)
SELECT connector_key, mode, outcome, count(*), max(ended_at), 0 FROM im_runs WHERE ended_at IS NOT NULL GROUP BY connector_key, mode, outcome;
INSERT INTO im_change_totals (connector_key, type, added, updated, deleted)
SELECT r.connector_key, n.type, sum(n.added), sum(n.updated), sum(n.deleted)
FROM im_runs r JOIN im_run_counts n ON n.run_key = r.key WHERE r.ended_at IS NOT NULL GROUP BY r.connector_key, n.type;

-- +goose Down
DROP INDEX im_runs_open;
DROP INDEX im_runs_order;
DROP TABLE im_followers;
DROP TABLE im_change_totals;
DROP TABLE im_run_totals;
