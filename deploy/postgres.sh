#!/bin/sh
# Start PostgreSQL in its container. Makes the database at the first start.
set -eu
if [ ! -f /data/password-set ]; then
  rm -rf /data/postgres
  printf %s "$POSTGRES_PASSWORD" >/tmp/password
  initdb -D /data/postgres -U sidereal -A scram-sha-256 --pwfile=/tmp/password -E UTF8 >/dev/null
  rm /tmp/password
  echo "host all all all scram-sha-256" >>/data/postgres/pg_hba.conf
  touch /data/password-set
fi
exec postgres -D /data/postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
