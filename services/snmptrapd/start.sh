#!/usr/bin/env bash
# One receiver of SNMP traps (Debian's snmptrapd) for tests; it takes the traps of any community.
#   PORT  UDP 127.0.0.1:PORT (default 21162); on TCP it listens too, so that tests can see that it runs
# Every trap is a line `TRAP community=… VALUES` in $DATA/log, with numeric object IDs.
. "$(dirname "$0")/../lib.sh"
instance 21162
READY="snmptrapd: udp:127.0.0.1:$PORT"
exit_if_running "$READY"

PATH=$PATH:/usr/sbin
command -v snmptrapd >/dev/null || die "no snmptrapd: apt-get install snmptrapd"
echo 'disableAuthorization yes' >"$DATA/snmptrapd.conf"
# No MIBs, so that nothing is given a name; its own folder, so that nothing of the machine is read or written.
export MIBS='' SNMP_PERSISTENT_DIR=$DATA SNMPCONFPATH=$DATA
spawn snmptrapd -f -n -C -c "$DATA/snmptrapd.conf" -On -Lo -F 'TRAP %P %v\n' \
  "udp:127.0.0.1:$PORT" "tcp:127.0.0.1:$PORT"
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
await 30 answers "$PORT"
echo "$READY"
