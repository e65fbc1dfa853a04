#!/usr/bin/env bash
# A real Trino 435 coordinator (also its own worker) for tests; needs a JDK >= 17 and mvn.
#   PORT  the HTTP protocol, no authentication: any X-Trino-User (default 28080)
# Catalogs: memory (writable, schema default; gone at stop), iceberg (also that, and it takes MERGE: only the name is
# Iceberg's) and tpch (read only, schema tiny).
. "$(dirname "$0")/../lib.sh"
instance 28080
READY="trino: http://127.0.0.1:$PORT"
exit_if_running "$READY"

java_from 17 jdk
cached trino-435 maven_jars
# Not started from source: Trino only sends handles whose classes come from its own class loader.
quiet "$JAVA" -m jdk.compiler/com.sun.tools.javac.Main -proc:none -d "$DATA/classes" \
  -cp "$(printf '%s:' "$CACHED"/*.jar)" "$HERE/Main.java" || die "cannot compile"
# shellcheck disable=SC2086
spawn "$JAVA" -Xmx"${TRINO_HEAP:-1g}" $JVM_SMALL -Djdk.attach.allowAttachSelf=true \
  -cp "$DATA/classes:$CACHED/*" Main "$PORT" "$DATA/base"
await 120 grep -q 'trino ready' "$LOG"
echo "$READY"
