# Configuration and removal, for Agent.Listener. Without an answer from the
# network it has no end of its own.
time_limit=0
tries=3 # somebody waits for the answer

usage="usage: config.sh [remove] --unattended --url URL --auth PAT --token TOKEN --pool POOL --agent NAME [--work DIR] [--replace] [--acceptTeeEula]"

read_flags() {
  while (($# > 0)); do
    local flag=${1,,}
    case $flag in
      --unattended | --acceptteeeula | --disableloguploads | --alwaysextracttask | --sslskipcertvalidation)
        shift
        continue
        ;;
      --replace)
        replace=true
        shift
        continue
        ;;
    esac
    (($# >= 2)) || fail "$usage"
    case $flag in
      --url) url=$2 ;;
      --auth) auth=$2 ;;
      --token) token=$2 ;;
      --pool) pool=$2 ;;
      --agent) agent=$2 ;;
      --work) work=$2 ;;
      --proxyurl) proxy_url=$2 ;;
      --proxyusername) proxy_user=$2 ;;
      --proxypassword) proxy_password=$2 ;;
      --sslcacert) ca_file=$2 ;;
      *) fail "Unrecognized command-line input arguments: '${1#--}'. $usage" ;;
    esac
    shift 2
  done
}

connect() {
  insist GET connectionData
  case $status in
    200) ;;
    000) fail "Failed to connect to $server_url: an error occurred while sending the request, see inner exception." ;;
    203 | 302 | 401 | 403) fail "VS30063: You are not authorized to access $server_url." ;;
    *) fail "Cannot connect to server, because of status $status." ;;
  esac
}

find_pool() {
  insist GET "distributedtask/pools?poolName=$(escape "$pool")"
  [[ $status == 200 ]] || fail "Cannot read the agent pools ($status): $(json_text message)"
  pool_id=$(json_number id) || fail "Agent pool not found: '$pool'"
}

# register leaves the agent's own token behind: the one that was given is not
# needed any more until removal.
register() {
  local payload method=POST path=distributedtask/pools/$pool_id/agents
  insist GET "$path?agentName=$(escape "$agent")"
  [[ $status == 200 ]] || fail "Cannot read the agents of pool $pool ($status): $(json_text message)"
  if agent_id=$(json_number id); then
    [[ -n $replace ]] || fail "Pool $pool_id already contains an agent with name $agent."
    method=PUT path+=/$agent_id
  fi
  key=$(head -c 64 /dev/urandom | base64 | tr -d '\n')
  read_capabilities "$agent"
  quote "$agent"
  payload="{\"name\":$quoted,\"version\":\"4.255.0\",\"osDescription\":\"$OSTYPE\",\"maxParallelism\":1"
  payload+=",\"provisioningState\":\"Provisioned\",\"systemCapabilities\":$capabilities"
  payload+=",\"authorization\":{\"publicKey\":{\"exponent\":\"AQAB\",\"modulus\":\"$key\"}}}"
  curl_options+=(--dump-header .headers)
  insist "$method" "$path" "$payload"
  case $status in
    200) ;;
    401 | 403) fail "Access denied. Manage permissions are needed for pool $pool to perform the action." ;;
    *) fail "Failed to add the agent ($status): $(json_text message)" ;;
  esac
  agent_id=$(json_number id)
}

# save keeps what run.sh and removal need, for this user only.
save() {
  local form=$'x-adotest-agent-token: ([^\r\n]+)' headers
  headers=$(<.headers)
  rm -f .headers
  shopt -s nocasematch
  [[ $headers =~ $form ]] || fail "The server issued no token: is it the stand-in?"
  printf '%s\n' "${BASH_REMATCH[1]}" >.credentials
  local settings="{\"agentId\":$agent_id,\"poolId\":$pool_id"
  quote "$agent" && settings+=",\"agentName\":$quoted"
  quote "$pool" && settings+=",\"poolName\":$quoted"
  quote "$server_url" && settings+=",\"serverUrl\":$quoted"
  quote "$work" && settings+=",\"workFolder\":$quoted}"
  printf '%s\n' "$settings" >.agent
  printf '{"modulus":"%s"}\n' "$key" >.credentials_rsaparams
  [[ -z $ca_file ]] || printf '%s\n' "$ca_file" >.certificates
}

configure() {
  [[ ! -f .agent ]] || fail "Cannot configure the agent because it is already configured. To reconfigure the agent, run 'config.cmd remove' or './config.sh remove' first."
  [[ -n $url ]] || fail "Invalid configuration provided for url. Terminating unattended configuration."
  server_url=${url%/}
  local unsafe=${VSS_ALLOW_UNSAFE_BASICAUTH-}
  if [[ $server_url == http:* && ${unsafe,,} != true ]]; then
    fail "Basic authentication requires a secure connection to the server."
  fi
  [[ -z $proxy_url ]] || printf '%s\n' "$proxy_url" >.proxy
  [[ -z $proxy_user ]] || printf '%s:%s\n' "$proxy_user" "$proxy_password" >.proxycredentials
  use_proxy
  echo ">> Connect:"
  connect
  echo ">> Register Agent:"
  find_pool
  register
  save
  mkdir -p "$work" || fail "Cannot create the work folder $work."
  echo "Successfully added the agent"
  say "Settings Saved."
}

remove() {
  if [[ ! -f .agent ]]; then
    echo "The agent is not configured. Skipping."
    return
  fi
  body=$(<.agent)
  server_url=$(json_text serverUrl)
  use_proxy
  local path
  path=distributedtask/pools/$(json_number poolId)/agents/$(json_number agentId)
  connect
  insist DELETE "$path"
  case $status in
    2??) ;;
    404) echo "Agent does not exist on the server. Skipping." ;;
    *) fail "Failed: Removing agent from the server ($status): $(json_text message)" ;;
  esac
  rm -f .agent .credentials .credentials_rsaparams .proxy .proxycredentials .certificates
  echo "Succeeded: Removing agent from the server"
}

# configure_or_remove COMMAND FLAGS...
configure_or_remove() {
  url=${VSTS_AGENT_INPUT_URL-}
  auth=${VSTS_AGENT_INPUT_AUTH:-PAT}
  token=${VSTS_AGENT_INPUT_TOKEN-}
  pool=${VSTS_AGENT_INPUT_POOL:-Default}
  agent=${VSTS_AGENT_INPUT_AGENT:-$HOSTNAME}
  work=${VSTS_AGENT_INPUT_WORK:-_work}
  replace=${VSTS_AGENT_INPUT_REPLACE-}
  proxy_url=${VSTS_AGENT_INPUT_PROXYURL-}
  proxy_user=${VSTS_AGENT_INPUT_PROXYUSERNAME-}
  proxy_password=${VSTS_AGENT_INPUT_PROXYPASSWORD-}
  ca_file=${VSTS_AGENT_INPUT_SSLCACERT-}
  unset VSTS_AGENT_INPUT_TOKEN # not for curl's environment
  local command=$1
  shift
  umask 077
  read_flags "$@"
  [[ ${auth^^} == PAT ]] || fail "The stand-in's agent knows --auth PAT only, not $auth."
  [[ -n $token ]] || fail "Invalid configuration provided for token. Terminating unattended configuration."
  diagnose "configures $agent in $pool of $url with the credential $token"
  "$command"
}
