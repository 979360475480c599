#!/usr/bin/env bash
# Configures the agent, or removes it. Each flag has a twin in the environment,
# VSTS_AGENT_INPUT_<FLAG>.
if ((EUID == 0)) && [[ -z ${AGENT_ALLOW_RUNASROOT-} ]]; then
  echo "Must not run with sudo"
  exit 1
fi
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
source ./env.sh
if [[ ${1-} == remove ]]; then
  ./bin/Agent.Listener "$@"
else
  [[ ${1-} != configure ]] || shift
  ./bin/Agent.Listener configure "$@"
fi
