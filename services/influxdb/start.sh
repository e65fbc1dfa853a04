#!/usr/bin/env bash
# One InfluxDB 1.x server (Debian's influxdb) for tests, without authentication.
#   PORT    http://127.0.0.1:PORT (default 28086)
#   PORT+2  backup and restore, internal
. "$(dirname "$0")/../lib.sh"
instance 28086
READY="influxdb: http://127.0.0.1:$PORT"
exit_if_running "$READY"

command -v influxd >/dev/null || die "no influxd: apt-get install influxdb"
cat >"$DATA/influxdb.conf" <<C
reporting-disabled = true
bind-address = "127.0.0.1:$((PORT + 2))"
[meta]
dir = "$DATA/meta"
[data]
dir = "$DATA/data"
wal-dir = "$DATA/wal"
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:$PORT"
log-enabled = false
C
spawn influxd -config "$DATA/influxdb.conf"
await 30 http_ok "http://127.0.0.1:$PORT/ping"
echo "$READY"
