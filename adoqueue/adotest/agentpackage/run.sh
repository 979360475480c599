#!/usr/bin/env bash
# Listens for requests and runs them, that is to say: waits for as long as each
# of them asks. With --once it takes a single one. SIGINT and SIGTERM cancel what
# runs and end the agent.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
source ./agent.sh
tries=10 # a request that was received has to be finished

# poll MILLISECONDS waits for a message and sets $status and $body. It runs in
# the background, since only `wait` lets a trap run at once.
poll() {
  local url="$server_url/_apis/$pool/messages?sessionId=$session&lastMessageId=$last_message&api-version=$api_version" code=0
  curl "${curl_options[@]}" --max-time "$(seconds "$1")" --output .message --write-out '%{http_code}' "$url" \
    < <(credential) >.status 2>.error &
  waiting_for=$!
  [[ -z $stopping ]] || kill "$waiting_for" 2>/dev/null
  wait "$waiting_for" || code=$?
  [[ -z $stopping ]] || wait "$waiting_for" 2>/dev/null
  waiting_for=
  status=000 body=
  case $code in
    0) status=$(<.status) body=$(<.message) ;;
    28) status=202 ;; # curl's own limit: as good as no message
  esac
}

# nap MILLISECONDS ends early on a signal.
nap() {
  sleep "$(seconds "$1")" &
  waiting_for=$!
  [[ -z $stopping ]] || kill "$waiting_for" 2>/dev/null
  wait "$waiting_for" 2>/dev/null
  waiting_for=
}

stop() {
  stopping=true
  [[ -z $waiting_for ]] || kill "$waiting_for" 2>/dev/null
}

# clock sets $now, in milliseconds.
clock() { now=$((${EPOCHREALTIME/[.,]/} / 1000)); }
seconds() { printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)); }

# open_session waits for an earlier session of this agent to end.
open_session() {
  local try payload
  read_capabilities "$agent_name"
  quote "$HOSTNAME" && payload="{\"ownerName\":$quoted"
  quote "$agent_name" && payload+=",\"agent\":{\"id\":$agent_id,\"name\":$quoted,\"systemCapabilities\":$capabilities}}"
  for ((try = 0; try < 60; try++)); do
    [[ -z $stopping ]] || return 1
    insist POST "$pool/sessions" "$payload"
    case $status in
      200)
        session=$(json_text sessionId)
        return 0
        ;;
      409)
        say "A session for this agent already exists."
        nap 1000
        ;;
      *) fail "An error occurred: cannot create a session ($status): $(json_text message)" ;;
    esac
  done
  fail "An error occurred: cannot create a session: $(json_text message)"
}

# acknowledge takes a message off the queue; for a job that means it is received.
# One that could not be taken off comes again.
acknowledge() {
  local message
  message=$(json_number messageId)
  insist DELETE "$pool/messages/$message?sessionId=$session"
  [[ $status != 2?? ]] || last_message=$message
}

# run_job takes the request of $body and ends it, one way or the other.
run_job() {
  local request lock name duration lease
  request=$(json_number requestId) lock=$(json_text lockToken) name=$(json_text jobName)
  duration=$(json_number durationMilliseconds) lease=$(json_number lockMilliseconds)
  result=$(json_text result)
  acknowledge
  [[ $status == 2?? ]] || return 1
  say "Running job: $name"
  if ! work; then
    say "Job $name is lost: $(json_text message)"
    return 0
  fi
  insist DELETE "$pool/jobrequests/$request?lockToken=$lock&result=$result&agentShuttingDown=${once:-${stopping:-false}}"
  say "Job $name completed with result: ${result^}"
}

# work waits for the job's duration, a cancellation or a signal, and renews the
# lock meanwhile. It fails when the request was taken away.
work() {
  local renewal=$((lease / 3 < 60000 ? lease / 3 : 60000)) left
  clock
  local end=$((now + duration)) renewed=$now
  while clock && left=$((end - now)) && ((left > 0)) && [[ -z $stopping ]]; do
    if ((now - renewed >= renewal)); then
      insist PATCH "$pool/jobrequests/$request?lockToken=$lock" "{\"requestId\":$request}"
      [[ $status != 4?? ]] || return 1
      renewed=$now
    fi
    poll $((left < renewal ? left : renewal))
    if [[ $status == 200 ]]; then
      local kind
      kind=$(json_text messageType)
      acknowledge
      [[ $kind != JobCancellation ]] || break
    elif [[ $status != 202 ]]; then
      nap $((left < 1000 ? left : 1000))
    fi
  done
  if ((left > 0)); then
    result=canceled
  fi
}

listen() {
  while [[ -z $stopping ]]; do
    poll 60000
    case $status in
      200)
        if [[ $(json_text messageType) != PipelineAgentJobRequest ]]; then
          acknowledge
        elif run_job && [[ -n $once ]]; then
          return
        fi
        ;;
      202) ;;
      404) open_session || return ;; # it expired, perhaps because this host slept
      401) fail "An error occurred: the agent no longer exists on the server. Please reconfigure the agent." ;;
      *) nap 1000 ;;
    esac
  done
}

if ((EUID == 0)) && [[ -z ${AGENT_ALLOW_RUNASROOT-} ]]; then
  fail "Must not run interactively with sudo"
fi

once=
for flag in "$@"; do
  case ${flag,,} in
    --once) once=true ;;
    --version)
      echo 4.255.0
      exit 0
      ;;
  esac
done

[[ -f .agent && -f .credentials ]] || fail "An error occurred: Not configured. Run config.(sh/cmd) to configure the agent."
body=$(<.agent)
server_url=$(json_text serverUrl)
agent_name=$(json_text agentName)
agent_id=$(json_number agentId)
pool=distributedtask/pools/$(json_number poolId)
connect_through "$(json_text proxyUrl)" "$(json_text caFile)"
agent_token=$(<.credentials)

stopping=
waiting_for=
trap stop INT TERM

last_message=0
open_session || exit 0
say "Listening for Jobs"
listen
[[ -z $stopping ]] || say "Exiting..."
insist DELETE "$pool/sessions/$session"
exit 0
