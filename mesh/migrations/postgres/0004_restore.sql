-- +goose Up

-- When somebody said that the database had been restored from a backup, and whether a Full
-- has yet to heal what the backup did not know (docs/adr/0016).
ALTER TABLE im_connectors ADD COLUMN restored_at BIGINT;
ALTER TABLE im_connectors ADD COLUMN unhealed SMALLINT NOT NULL DEFAULT 0;

-- The epoch that acked counts in: an offset of another one means nothing. Empty, where a
-- release that knows no epochs wrote it, is the feed's epoch.
ALTER TABLE im_readers ADD COLUMN epoch TEXT COLLATE "C" NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE im_readers DROP COLUMN epoch;
ALTER TABLE im_connectors DROP COLUMN unhealed;
ALTER TABLE im_connectors DROP COLUMN restored_at;
