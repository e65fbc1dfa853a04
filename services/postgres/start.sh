#!/usr/bin/env bash
# One PostgreSQL server (Debian's postgresql) for tests, speed before durability.
#   PORT      postgres://postgres@127.0.0.1:PORT/postgres, no password (default 25432)
#   PG_FSYNC  on: as durable as PostgreSQL is by default, for measurements and for tests that kill it (default off)
#   PG_TLS    on: TLS too, for `localhost`; the certificate of its CA is $DATA/tls/ca.pem, other-ca.pem is one of a CA that signed
#             nothing (default off; needs openssl)
# As root it runs as user postgres; where that user cannot enter $DATA, the database lives in a temporary folder.
. "$(dirname "$0")/../lib.sh"
instance 25432
PG_FSYNC=${PG_FSYNC:-off}
PG_TLS=${PG_TLS:-off}
READY="postgres: postgres://postgres@127.0.0.1:$PORT/postgres"
if running && [ "$(cat "$DATA/fsync" 2>/dev/null)" != "$PG_FSYNC" ]; then
  die "runs with fsync=$(cat "$DATA/fsync" 2>/dev/null): stop it first to have fsync=$PG_FSYNC"
fi
if running && [ "$(cat "$DATA/tls-mode" 2>/dev/null || echo off)" != "$PG_TLS" ]; then
  die "runs with another PG_TLS than $PG_TLS: stop it first"
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

tls() { # two CAs, and a server certificate signed by the first
  mkdir -p "$DATA/tls"
  cd "$DATA/tls"
  for ca in ca other-ca; do
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=levada-test-$ca" \
      -addext basicConstraints=critical,CA:TRUE -keyout $ca.key -out $ca.pem
  done
  openssl req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr
  printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >server.ext
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 \
    -extfile server.ext -out server.pem
  openssl verify -CAfile ca.pem server.pem
}
TLS=()
if [ "$PG_TLS" = on ]; then
  command -v openssl >/dev/null || die "PG_TLS=on needs openssl"
  [ -f "$DATA/tls/server.pem" ] || quiet tls || die "cannot make certificates"
  # The server takes no key that others can read.
  for file in server.key server.pem; do
    install -m 600 "$DATA/tls/$file" "$PLACE/$file"
    own "$PLACE/$file"
  done
  TLS=(-c ssl=on -c ssl_cert_file="$PLACE/server.pem" -c ssl_key_file="$PLACE/server.key")
fi

cd "$PLACE"
[ -f db/PG_VERSION ] || quiet "${AS[@]}" initdb --no-sync -A trust -U postgres -E UTF8 --locale=C -D "$PLACE/db"
# A server that was killed leaves its pid file, and refuses to start beside a process of that number, even one that has ended and
# that nobody waited for, as in a container without an init.
if [ -s "$PLACE/db/postmaster.pid" ] && read -r former <"$PLACE/db/postmaster.pid" && ! started_at "$former" >/dev/null; then
  rm -f "$PLACE/db/postmaster.pid"
fi
echo "$PG_FSYNC" >"$DATA/fsync"
echo "$PG_TLS" >"$DATA/tls-mode"
# Tests run side by side, each with connections and replication slots of its own.
spawn "${AS[@]}" postgres -D "$PLACE/db" -p "$PORT" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
  -c fsync="$PG_FSYNC" -c full_page_writes="$PG_FSYNC" -c wal_level=logical \
  -c max_connections=300 -c max_replication_slots=50 -c max_wal_senders=50 "${TLS[@]}"
await 60 grep -q 'ready to accept connections' "$LOG"
echo "$READY"
