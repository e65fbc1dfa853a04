#!/usr/bin/env bash
# One VictoriaMetrics server (Debian's victoria-metrics) for tests: what is written is found at once, however old it is.
#   PORT  http://127.0.0.1:PORT (default 28428)
. "$(dirname "$0")/../lib.sh"
instance 28428
READY="victoria-metrics: http://127.0.0.1:$PORT"
exit_if_running "$READY"

command -v victoria-metrics >/dev/null || die "no victoria-metrics: apt-get install victoria-metrics"
spawn victoria-metrics -storageDataPath="$DATA/data" -httpListenAddr="127.0.0.1:$PORT" \
  -retentionPeriod=100y -search.latencyOffset=0s -search.disableCache
await 30 http_ok "http://127.0.0.1:$PORT/health"
echo "$READY"
