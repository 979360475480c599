#!/usr/bin/env bash
# Runs the listener, once more after an update. Signals are not passed on.
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
./bin/Agent.Listener run "$@"
code=$?
((code == 4)) || exit "$code"
sleep "${ADOTEST_RUN_PAUSE:-5}"
./bin/Agent.Listener run "$@"
