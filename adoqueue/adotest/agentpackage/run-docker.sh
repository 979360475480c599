#!/usr/bin/env bash
# Runs the listener, again after each update, which gets some 20 s. Signals are
# not passed on.
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
patience=${ADOTEST_UPDATE_PATIENCE:-20}
while :; do
  if [[ " ${*,,} " == *" --once "* ]]; then
    ./bin/Agent.Listener run "$@"
  else
    ./bin/Agent.Listener run --startuptype service "$@"
  fi
  code=$?
  echo "Agent exit code $code"
  ((code == 3 || code == 4)) || exit "$code"
  sleep "$((patience < 5 ? patience : 5))"
  for ((second = 5; second < patience; second++)); do
    [[ ! -x bin/Agent.Listener ]] || break
    sleep 1
  done
  if [[ ! -x bin/Agent.Listener ]]; then
    echo "Failed to update within $patience seconds." >&2
    exit 1
  fi
done
