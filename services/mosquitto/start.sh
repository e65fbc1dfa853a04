#!/usr/bin/env bash
# One Mosquitto broker (Debian's mosquitto) for tests, MQTT 3.1.1.
#   PORT    127.0.0.1:PORT (default 21883), for anybody
#   PORT+1  user `levada`, password `secret`
#   PORT+2  TLS for `localhost`; the certificate of its CA is $DATA/tls/ca.pem, and clients show one: $DATA/tls/client.{pem,key}
. "$(dirname "$0")/../lib.sh"
instance 21883
READY="mosquitto: mqtt://127.0.0.1:$PORT"
exit_if_running "$READY"

PATH=$PATH:/usr/sbin
command -v mosquitto >/dev/null || die "no mosquitto: apt-get install mosquitto"
command -v openssl >/dev/null || die "no openssl: apt-get install openssl"

tls() { # a CA, and a server and a client certificate signed by it
  mkdir -p "$DATA/tls"; cd "$DATA/tls"
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=levada-test-ca \
    -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem
  for who in server client; do
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$who" -keyout $who.key -out $who.csr
    printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >$who.ext
    openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 \
      -extfile $who.ext -out $who.pem
  done
  openssl verify -CAfile ca.pem server.pem client.pem
}
[ -f "$DATA/tls/client.pem" ] || quiet tls || die "cannot make certificates"
rm -f "$DATA/passwords"
quiet mosquitto_passwd -c -b "$DATA/passwords" levada secret || die "cannot write the passwords"
cat >"$DATA/mosquitto.conf" <<C
per_listener_settings true
persistence false
$([ "$(id -u)" != 0 ] || echo "user root")
listener $PORT 127.0.0.1
allow_anonymous true
listener $((PORT + 1)) 127.0.0.1
allow_anonymous false
password_file $DATA/passwords
listener $((PORT + 2)) 127.0.0.1
allow_anonymous true
cafile $DATA/tls/ca.pem
certfile $DATA/tls/server.pem
keyfile $DATA/tls/server.key
require_certificate true
C
spawn mosquitto -c "$DATA/mosquitto.conf"
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
await 30 answers $((PORT + 2))
echo "$READY"
