#!/usr/bin/env bash
# Keeps settings of this shell for the agent's later starts, like Microsoft's.
printf '%s' "$PATH" >.path
: >.env
for name in LANG JAVA_HOME ANT_HOME M2_HOME GRADLE_HOME NVM_BIN NVM_PATH; do
  if [[ -n ${!name-} ]]; then
    printf '%s=%s\n' "$name" "${!name}" >>.env
  fi
done
