#!/usr/bin/env bash
# One PostgreSQL server (Debian's postgresql) for tests, speed before durability.
#   PORT      postgres://postgres@127.0.0.1:PORT/postgres, no password (default 25432)
#   PG_FSYNC  on: as durable as PostgreSQL is by default, for measurements and for tests that kill it (default off)
# As root it runs as user postgres; where that user cannot enter $DATA, the database lives in a temporary folder.
. "$(dirname "$0")/../lib.sh"
instance 25432
PG_FSYNC=${PG_FSYNC:-off}
READY="postgres: postgres://postgres@127.0.0.1:$PORT/postgres"
if running && [ "$(cat "$DATA/fsync" 2>/dev/null)" != "$PG_FSYNC" ]; then
  die "runs with fsync=$(cat "$DATA/fsync" 2>/dev/null): stop it first to have fsync=$PG_FSYNC"
fi
exit_if_running "$READY"

PATH=$PATH:$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
command -v initdb >/dev/null || die "no initdb: apt-get install postgresql-15"
AS=() # what runs a command as the right user
if [ "$(id -u)" = 0 ]; then
  AS=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi

# can_use FOLDER: whether the server can work there.
can_use() { (cd / && "${AS[@]}" test -x "$1" -a -w "$1") 2>/dev/null; }

# own FOLDER: gives it to the user of the server.
own() { [ ${#AS[@]} = 0 ] || chown postgres "$1"; }

# temporary: a fresh folder that the server can use, outside of the repository.
temporary() {
  local parent folder
  for parent in "${TMPDIR:-/tmp}" /tmp /var/tmp; do
    folder=$(mktemp -d "$parent/levada-postgres-$PORT.XXXXXX" 2>/dev/null) || continue
    own "$folder"
    if can_use "$folder"; then echo "$folder"; return; fi
    rmdir "$folder"
  done
  return 1
}

# Where the database is: what a former start chose, as long as it is there; else here; else in a temporary folder.
PLACE=$(cat "$DATA/place" 2>/dev/null || true)
if [ -z "$PLACE" ] || ! can_use "$PLACE"; then
  PLACE=$DATA/server
  mkdir -p "$PLACE"
  own "$PLACE"
  can_use "$PLACE" || PLACE=$(temporary) || die "user postgres can enter neither $DATA nor a temporary folder: set DATA"
  echo "$PLACE" >"$DATA/place"
fi

cd "$PLACE"
[ -f db/PG_VERSION ] || quiet "${AS[@]}" initdb --no-sync -A trust -U postgres -E UTF8 --locale=C -D "$PLACE/db"
# A server that was killed leaves its pid file, and refuses to start beside a process of that number, even one that has ended and
# that nobody waited for, as in a container without an init.
if [ -s "$PLACE/db/postmaster.pid" ] && read -r former <"$PLACE/db/postmaster.pid" && ! started_at "$former" >/dev/null; then
  rm -f "$PLACE/db/postmaster.pid"
fi
echo "$PG_FSYNC" >"$DATA/fsync"
# Tests run side by side, each with connections and replication slots of its own.
spawn "${AS[@]}" postgres -D "$PLACE/db" -p "$PORT" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
  -c fsync="$PG_FSYNC" -c full_page_writes="$PG_FSYNC" -c wal_level=logical \
  -c max_connections=300 -c max_replication_slots=50 -c max_wal_senders=50
await 60 grep -q 'ready to accept connections' "$LOG"
echo "$READY"
