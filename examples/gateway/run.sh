#!/bin/sh
# A gateway splits metrics and a log to two receivers; one of them is killed and comes back, and nothing is lost.
# Everything is written into the folder `run` beside this script. See README.md.
set -eu
cd "$(dirname "$0")"
if ! command -v levada >/dev/null; then
    echo "levada is not on the PATH" >&2
    exit 1
fi
rm -rf run
mkdir -p run/collector run/metrics run/log
cp levada.toml collect.yaml run/collector
for receiver in metrics log; do
    cp receiver.toml run/$receiver/levada.toml
    cp receiver.yaml run/$receiver
done
collector=http://127.0.0.1:9092

# serve FOLDER PORT MANIFEST: a server of its own in a folder of its own; gives its process.
serve() {
    (cd "run/$1" && exec levada serve "$3" --listen "127.0.0.1:$2" --log warn >>out.log 2>&1) &
    servers="$servers $!"
    for _ in $(seq 300); do
        if grep -q '"ready":true' "run/$1/out.log" 2>/dev/null; then break; fi
        sleep 0.1
    done
}

# write FROM TO: lines of a log.
write() {
    for n in $(seq "$1" "$2"); do
        at=$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)
        status=info
        if [ $((n % 10)) -eq 0 ]; then status=debug; fi
        echo "{\"time\":\"$at\",\"service\":\"shop\",\"status\":\"$status\",\"message\":\"order $n\",\"n\":$n}"
    done >>run/collector/app.log
}

# arrived COUNT: waits until the receiver of the log has so many different lines.
arrived() {
    for _ in $(seq 600); do
        if [ "$(sort -u run/log/received.ndjson 2>/dev/null | wc -l)" -ge "$1" ]; then return; fi
        sleep 0.1
    done
    echo "the log did not arrive" >&2
    exit 1
}

servers=
stop() {
    for server in $servers; do kill "$server" 2>/dev/null || true; done
    wait
}
trap stop EXIT

touch run/collector/app.log
serve metrics 9601 receiver.yaml
serve log 9602 receiver.yaml
log=$!
serve collector 9092 collect.yaml
collecting=$!

write 1 100
arrived 90
echo "== both receivers are there"
levada gateway status --server $collector

kill -9 $log
write 101 200
sleep 2
echo "== the receiver of the log was killed; what is for it waits, the metrics go on"
levada gateway status --server $collector

rm run/log/out.log
serve log 9602 receiver.yaml
levada gateway queue wait log --timeout 60 --server $collector
arrived 180
echo "== it is back"
levada gateway status --server $collector
levada gateway status --server $collector --output json >run/status.json
# With nothing more to come, what the receivers have taken is soon in their files.
kill $collecting
wait $collecting || true
levada gateway queue wait --timeout 60 --quiet --server http://127.0.0.1:9601
levada gateway queue wait --timeout 60 --quiet --server http://127.0.0.1:9602
