#!/usr/bin/env bash
# Ends the instance of start.sh (same PORT and DATA); WIPE=1 removes its state too.
. "$(dirname "$0")/../lib.sh"
instance 28123
stop
