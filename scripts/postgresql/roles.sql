-- The roles of the mesh on PostgreSQL 15 or later. Run it as a superuser (or as the
-- database's owner with CREATEROLE), in the mesh's database, before the first migration and
-- again after each: it changes only what is not so yet.
--
--   psql -v ON_ERROR_STOP=1 -f roles.sql "postgres://admin@db.internal/mesh"
--
-- identitymesh_owner   owns the schema and migrates it
-- identitymesh_worker  imports: reads and writes rows, cannot drop, alter or empty a table
-- identitymesh_reader  reads objects and feed and acknowledges what it has read; sees no
--                      secrets, no definitions
--
-- Nobody can log in as one of these. Make users of your own and grant them one:
--
--   CREATE ROLE worker1 LOGIN PASSWORD '…' IN ROLE identitymesh_worker;

DO $$
BEGIN
    CREATE ROLE identitymesh_owner NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$
BEGIN
    CREATE ROLE identitymesh_worker NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$
BEGIN
    CREATE ROLE identitymesh_reader NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;

CREATE SCHEMA IF NOT EXISTS identitymesh AUTHORIZATION identitymesh_owner;
REVOKE ALL ON SCHEMA identitymesh FROM PUBLIC;
GRANT USAGE ON SCHEMA identitymesh TO identitymesh_worker, identitymesh_reader;

-- The store keeps one temporary table on each connection that writes.
DO $$
BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO identitymesh_worker, identitymesh_reader', current_database());
END $$;

-- What a migration will make belongs to the worker's rows at once.
ALTER DEFAULT PRIVILEGES FOR ROLE identitymesh_owner IN SCHEMA identitymesh
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO identitymesh_worker;
ALTER DEFAULT PRIVILEGES FOR ROLE identitymesh_owner IN SCHEMA identitymesh
    GRANT USAGE ON SEQUENCES TO identitymesh_worker;

-- What is there already. The worker may not pretend that a migration has run.
DO $$
DECLARE
    t text;
BEGIN
    FOR t IN SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'identitymesh' AND c.relkind IN ('r', 'p')
    LOOP
        IF t = 'goose_db_version' THEN
            EXECUTE 'REVOKE ALL ON identitymesh.goose_db_version FROM identitymesh_worker';
            EXECUTE 'GRANT SELECT ON identitymesh.goose_db_version TO identitymesh_worker, identitymesh_reader';
        ELSE
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON identitymesh.%I TO identitymesh_worker', t);
        END IF;
        IF t IN ('im_ids', 'im_objects', 'im_edges', 'im_member_groups', 'im_changes', 'im_runs', 'im_run_counts', 'im_watermarks') THEN
            EXECUTE format('GRANT SELECT ON identitymesh.%I TO identitymesh_reader', t);
        END IF;
        IF t = 'im_readers' THEN -- it acknowledges what it has read
            EXECUTE 'GRANT SELECT, INSERT, UPDATE ON identitymesh.im_readers TO identitymesh_reader';
        END IF;
        IF t = 'im_connectors' THEN
            EXECUTE 'GRANT SELECT (key, name, type, created_at, updated_at, deleted_at, epoch, seq, pruned_seq, restored_at, shadow_of) ON identitymesh.im_connectors TO identitymesh_reader';
        END IF;
    END LOOP;
END $$;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA identitymesh TO identitymesh_worker;
