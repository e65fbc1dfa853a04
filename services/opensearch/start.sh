#!/usr/bin/env bash
# One real OpenSearch 2.19 node (core and HTTP only: no security, no painless scripts,
# standard analyzers) for tests of the _bulk, index, template and search APIs.
# Needs a JDK >= 17 and mvn.
#   PORT    http://127.0.0.1:PORT (default 29200)
#   PORT+1  transport, internal
. "$(dirname "$0")/../lib.sh"
instance 29200
READY="opensearch: http://127.0.0.1:$PORT"
exit_if_running "$READY"

java_from 17 jdk
cached opensearch-2.19.4 maven_jars
# shellcheck disable=SC2086
spawn "$JAVA" -Xmx"${OPENSEARCH_HEAP:-512m}" $JVM_SMALL -cp "$CACHED/*" "$HERE/Main.java" "$PORT" "$DATA"
await 120 http_ok "http://127.0.0.1:$PORT/_cluster/health"
echo "$READY"
