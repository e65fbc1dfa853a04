#!/usr/bin/env bash
# Ends the instance of start.sh (same PORT and DATA); WIPE=1 removes its state too.
. "$(dirname "$0")/../lib.sh"
instance 25432
PLACE=$(cat "$DATA/place" 2>/dev/null || true)
stop INT # "fast": does not wait for clients
if [ "${WIPE:-0}" = 1 ] && [ -n "$PLACE" ]; then rm -rf "$PLACE"; fi
