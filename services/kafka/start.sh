#!/usr/bin/env bash
# One Apache Kafka broker (KRaft, no ZooKeeper) for tests; needs java >= 17, mvn, openssl.
#   PORT    PLAINTEXT            (default 29092)
#   PORT+1  controller, internal
#   PORT+2  SASL_PLAINTEXT       PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
#   PORT+3  SSL                  client certificate asked for, not required
#   PORT+4  SASL_SSL             as PORT+2
# SASL user alice, password alice-secret. TLS files in $DATA/tls: ca.pem, client.pem, client.key.
# KAFKA_JVM: JVM options; the default starts fast, use "-Xmx1g" alone for throughput.
. "$(dirname "$0")/../lib.sh"
instance 29092
READY="kafka: 127.0.0.1:$PORT"
exit_if_running "$READY"

java_from 17
cached kafka-4.3.1 maven_jars # the version is the one in pom.xml
CP="$CACHED/*"
JVM=${KAFKA_JVM:--Xms256m -Xmx512m $JVM_SMALL}

tls() { # a CA, and a server and a client certificate signed by it
  mkdir -p "$DATA/tls"; cd "$DATA/tls"
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=levada-test-ca \
    -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem
  for who in server client; do
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$who" -keyout $who.key -out $who.csr
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >$who.ext
    openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 \
      -extfile $who.ext -out $who.pem
  done
  cat server.key server.pem >server-keystore.pem
  openssl verify -CAfile ca.pem server.pem client.pem
}

if [ ! -f "$DATA/server.properties" ]; then
  (tls) >"$LOG" 2>&1 || { cat "$LOG" >&2; die "cannot make certificates"; }
  JAAS=org.apache.kafka.common.security
  cat >"$DATA/server.properties.tmp" <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((PORT + 1))
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$PORT,CONTROLLER://127.0.0.1:$((PORT + 1)),SASL_PLAINTEXT://127.0.0.1:$((PORT + 2)),SSL://127.0.0.1:$((PORT + 3)),SASL_SSL://127.0.0.1:$((PORT + 4))
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.keystore.location=$DATA/tls/server-keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location=$DATA/tls/ca.pem
ssl.client.auth=requested
log.dirs=$DATA/logs
num.partitions=1
auto.create.topics.enable=true
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
P
  for l in sasl_plaintext sasl_ssl; do
    for m in scram-sha-256 scram-sha-512; do
      echo "listener.name.$l.$m.sasl.jaas.config=$JAAS.scram.ScramLoginModule required;"
    done
    echo "listener.name.$l.plain.sasl.jaas.config=$JAAS.plain.PlainLoginModule required user_alice=\"alice-secret\";"
  done >>"$DATA/server.properties.tmp"
  # shellcheck disable=SC2086
  "$JAVA" $JVM -cp "$CP" kafka.tools.StorageTool format --cluster-id bGV2YWRhLXRlc3QtMDAwMQ \
    --ignore-formatted --config "$DATA/server.properties.tmp" \
    --add-scram 'SCRAM-SHA-256=[name=alice,password=alice-secret]' \
    --add-scram 'SCRAM-SHA-512=[name=alice,password=alice-secret]' \
    >"$LOG" 2>&1 || { cat "$LOG" >&2; die "cannot format $DATA"; }
  mv "$DATA/server.properties.tmp" "$DATA/server.properties"
fi

# shellcheck disable=SC2086
spawn "$JAVA" $JVM -cp "$CP" kafka.Kafka "$DATA/server.properties"
await 120 grep -q 'Kafka Server started' "$LOG"
echo "$READY"
