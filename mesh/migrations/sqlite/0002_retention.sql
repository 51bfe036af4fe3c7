-- +goose Up

ALTER TABLE im_connectors ADD COLUMN pruned_seq INTEGER NOT NULL DEFAULT 0; -- the last row of the feed that was removed

-- Who reads the feed, and how far he has got: a row that somebody has not read yet is kept.
CREATE TABLE im_readers (
    connector_key INTEGER NOT NULL,
    name          TEXT    NOT NULL,
    acked         INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    PRIMARY KEY (connector_key, name)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE im_readers;
ALTER TABLE im_connectors DROP COLUMN pruned_seq;
