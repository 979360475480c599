# The life of an agent: from the organization's packages endpoint into the pool,
# one job, out again. Microsoft's documented script does the same.
set -euo pipefail
export AGENT_ALLOW_RUNASROOT=1 VSO_AGENT_IGNORE=AZP_TOKEN

packages=$(curl -fsS --user ":$AZP_TOKEN" "$AZP_URL/_apis/distributedtask/packages/agent?platform=linux-x64&\$top=1")
[[ $packages =~ \"downloadUrl\":\"([^\"]+)\" ]]
curl -fsS "${BASH_REMATCH[1]}" | tar -xz

leave() { ./config.sh remove --unattended --auth PAT --token "$AZP_TOKEN"; }
trap leave EXIT
./config.sh --unattended --url "$AZP_URL" --auth PAT --token "$AZP_TOKEN" --pool "$AZP_POOL" --agent "$AZP_AGENT_NAME" \
  --replace --acceptTeeEula
./run.sh --once & # in the background, since only wait lets a trap run at once
agent=$!
trap 'kill -TERM $agent' TERM
wait $agent || wait $agent
