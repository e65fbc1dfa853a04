#!/usr/bin/env bash
# Apicurio Registry, a real schema registry with Confluent's REST API, in memory, for tests.
#   PORT    http://127.0.0.1:PORT/apis/ccompat/v7 is Confluent's API (default 28081)
#   PORT+1  management: /health/ready
# Needs mvn and a java >= 21 (fetched when there is none).
. "$(dirname "$0")/../lib.sh"
instance 28081
READY="schema-registry: http://127.0.0.1:$PORT/apis/ccompat/v7"
exit_if_running "$READY"

unpack() {
  maven_file io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all "$1"
  tar -xzf "$1"/*.tar.gz -C "$1" && rm "$1"/*.tar.gz
}
java_from 21
cached apicurio-registry-3.3.3 unpack
export QUARKUS_HTTP_HOST=127.0.0.1 QUARKUS_HTTP_PORT=$PORT
export QUARKUS_MANAGEMENT_HOST=127.0.0.1 QUARKUS_MANAGEMENT_PORT=$((PORT + 1))
cd "$DATA"
# shellcheck disable=SC2086
spawn "$JAVA" -Xmx384m $JVM_SMALL -jar "$CACHED/quarkus-run.jar"
await 120 http_ok "http://127.0.0.1:$PORT/apis/ccompat/v7/subjects"
echo "$READY"
