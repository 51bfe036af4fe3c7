#!/bin/sh
# Brings the schema of Temporal's two databases to the version of this image. The connection
# is in SQL_… variables, the password in PGPASSFILE.
set -eu
for database in temporal:temporal temporal_visibility:visibility; do
	name=${database%%:*} schema=postgresql/v12/${database#*:}
	# Makes the tables of versions where there are none, and leaves them alone else.
	temporal-sql-tool --db "$name" setup-schema -v 0.0
	temporal-sql-tool --db "$name" update-schema --schema-name "$schema"
done
