#!/usr/bin/env bash
# ClickHouse's engine (the PyPI package chdb-core) behind what connectors use of its HTTP interface; needs Python and pip.
#   PORT  http://127.0.0.1:PORT (default 28123), any user and password, databases `default` and `shop`
# Statements, types, formats, settings and exceptions are ClickHouse's; users, sessions and streaming are not there.
. "$(dirname "$0")/../lib.sh"
instance 28123
READY="clickhouse: http://127.0.0.1:$PORT"
exit_if_running "$READY"

chdb() { quiet python3 -m pip install --no-deps --target "$1" chdb-core==26.9.0; }
cached chdb-core-26.9.0 chdb
spawn env PYTHONPATH="$CACHED" python3 "$HERE/server.py" "$PORT" "$DATA/data"
await 60 http_ok "http://127.0.0.1:$PORT/ping"
echo "$READY"
