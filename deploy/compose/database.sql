-- Roles that log in, and the databases. The roles of the mesh that they are members of, and
-- what those may do, are in roles.sql. psql runs it as a superuser, as often as one likes.

\set mesh_deploy `cut -d: -f5 /run/secrets/mesh_deploy_pgpass`
\set mesh_worker `cut -d: -f5 /run/secrets/mesh_worker_pgpass`
\set temporal `cut -d: -f5 /run/secrets/temporal_pgpass`

SELECT format('CREATE ROLE %I', name)
    FROM unnest(ARRAY['mesh_deploy', 'mesh_worker', 'temporal']) name
    WHERE name NOT IN (SELECT rolname FROM pg_roles) \gexec
ALTER ROLE mesh_deploy LOGIN PASSWORD :'mesh_deploy';
ALTER ROLE mesh_worker LOGIN PASSWORD :'mesh_worker';
ALTER ROLE temporal LOGIN PASSWORD :'temporal';

SELECT 'CREATE DATABASE mesh' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'mesh') \gexec
SELECT format('CREATE DATABASE %I OWNER temporal', name)
    FROM unnest(ARRAY['temporal', 'temporal_visibility']) name
    WHERE name NOT IN (SELECT datname FROM pg_database) \gexec

-- Each role reaches its own databases only.
REVOKE ALL ON DATABASE mesh, temporal, temporal_visibility, postgres FROM PUBLIC;
\connect mesh
\ir roles.sql
GRANT identitymesh_owner TO mesh_deploy;
GRANT identitymesh_worker TO mesh_worker;
GRANT CONNECT ON DATABASE mesh TO identitymesh_owner, identitymesh_worker, identitymesh_reader;
GRANT TEMPORARY ON DATABASE mesh TO identitymesh_owner;
