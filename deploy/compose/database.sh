#!/bin/sh
# Makes the roles, databases and rights in PostgreSQL, whatever of them is not there yet, and
# gives the roles the passwords of the secrets: a changed secret counts after the next run.
set -eu
umask 077

# psql ignores a password file that its group may read, which secrets are.
export PGPASSFILE=/tmp/pgpass
printf 'postgres:5432:*:postgres:%s\n' "$(cat /run/secrets/postgres_password)" >"$PGPASSFILE"

exec psql -X -q -v ON_ERROR_STOP=1 -h postgres -U postgres -d postgres -f /identitymesh/database.sql
