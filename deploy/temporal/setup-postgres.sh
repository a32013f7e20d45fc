#!/bin/sh
# Makes Temporal's two databases and brings their tables up to date; runs in the image temporalio/admin-tools. All of it may be
# run again, which is what an upgrade of the server needs.
set -eu
: "${SQL_HOST:?}" "${SQL_USER:?}" "${SQL_PASSWORD:?}"
export SQL_PASSWORD

tool() {
	temporal-sql-tool --plugin postgres12 --ep "$SQL_HOST" -p "${SQL_PORT:-5432}" -u "$SQL_USER" --db "$@"
}

for part in temporal visibility; do
	database=temporal
	[ "$part" = temporal ] || database=temporal_visibility
	tool "$database" create
	tool "$database" setup-schema -v 0.0 # the table of versions
	tool "$database" update-schema -d "/etc/temporal/schema/postgresql/v12/$part/versioned"
done
