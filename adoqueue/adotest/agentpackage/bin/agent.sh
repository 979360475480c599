# Shared by the programs of the stand-in's agent: JSON without jq, and REST calls
# whose credential never shows in a list of processes. Functions return text in
# variables where they can, since fifty agents share two cores and every $(...)
# is a process. $root is the agent's folder.

api_version=7.1-preview

say() { printf '%(%Y-%m-%d %H:%M:%SZ)T: %s\n' -1 "$*"; }
fail() {
  diagnose "$*"
  printf '%s\n' "$*" >&2
  exit 1
}

# open_log KIND begins a log in _diag, which says more than the output does.
open_log() {
  mkdir -p "$root/_diag"
  printf -v log '%s/_diag/%s_%(%Y%m%d-%H%M%S)T-%d-utc.log' "$root" "$1" -1 $$
}
diagnose() { printf '[%(%Y-%m-%d %H:%M:%SZ)T INFO] %s\n' -1 "$*" >>"$log"; }

# quote TEXT sets $quoted to TEXT as a JSON string.
quote() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\r'/\\r}
  text=${text//$'\t'/\\t}
  quoted="\"${text//[[:cntrl:]]/}\""
}

# json_number NAME and json_text NAME print the first such field of $body. They
# know no nesting, and see into strings, where quotes are escaped.
json_number() {
  local form="\\\\?\"$1\\\\?\":([0-9]+)"
  [[ $body =~ $form ]] && printf '%s' "${BASH_REMATCH[1]}"
}
json_text() {
  local form="\\\\?\"$1\\\\?\":\\\\?\"([^\"\\]*)"
  [[ $body =~ $form ]] && printf '%s' "${BASH_REMATCH[1]}"
}

# escape TEXT percent-encodes every byte.
escape() { printf '%s' "$1" | od -An -v -tx1 | tr -d '\n' | tr ' ' '%'; }

# credential prints curl's configuration; it goes to curl's standard input.
credential() {
  if [[ -n ${agent_token-} ]]; then
    printf 'header = "Authorization: Bearer %s"\n' "$agent_token"
  else
    printf 'header = "Authorization: Basic %s"\n' "$(printf ':%s' "$token" | base64 | tr -d '\n')"
  fi
  [[ -z ${proxy_login-} ]] || printf 'proxy-user = "%s"\n' "$proxy_login"
}

curl_options=(-q --silent --show-error --config - --connect-timeout 10
  --header 'Accept: application/json' --header 'X-TFS-FedAuthRedirect: Suppress')
# Its own requests trust SSL_CERT_FILE alone: --sslcacert is for git.
unset CURL_CA_BUNDLE SSL_CERT_DIR
time_limit=60 # seconds for a request; 0 is none

# use_proxy takes the proxy of config, else that of the environment, unless
# .proxybypass or no_proxy says otherwise. Of those in the environment, only the
# spelling in lower case counts.
use_proxy() {
  local proxy= pattern patterns=()
  [[ ! -f .proxycredentials ]] || proxy_login=$(<.proxycredentials)
  [[ ! -f .proxy ]] || proxy=$(<.proxy)
  proxy=${proxy:-${VSTS_HTTP_PROXY-}}
  proxy=${proxy:-${http_proxy-}}
  if [[ -f .proxybypass ]]; then
    mapfile -t patterns <.proxybypass
  fi
  local names
  IFS=',;' read -r -a names <<<"${no_proxy-}"
  for pattern in "${names[@]}"; do
    pattern=${pattern// /}
    patterns+=("${pattern//./\\.}")
  done
  for pattern in "${patterns[@]}"; do
    if [[ -n $pattern && $server_url =~ $pattern ]]; then
      proxy=
    fi
  done
  if [[ -n $proxy ]]; then
    curl_options+=(--proxy "$proxy" --noproxy '')
  else
    curl_options+=(--noproxy '*')
  fi
}

# request METHOD PATH [BODY] sets $status, $body and $failure, curl's exit code;
# $status is 000 when there was no answer.
request() {
  local url=$server_url/_apis/$2 answer data=()
  [[ $url == *\?* ]] && url+="&api-version=$api_version" || url+="?api-version=$api_version"
  [[ -z ${3-} ]] || data=(--header 'Content-Type: application/json' --data-raw "$3")
  answer=$(credential | curl "${curl_options[@]}" --max-time "$time_limit" --request "$1" \
    --write-out '\n%{http_code}' "${data[@]}" "$url" 2>>"$log")
  failure=$?
  body=${answer%$'\n'*}
  status=${answer##*$'\n'}
  status=${status:-000}
  case $failure in
    5 | 6 | 7) diagnose "System.Net.Sockets.SocketException (00000001, $failure): $server_url cannot be reached" ;;
    60) diagnose "System.Security.Authentication.AuthenticationException: the remote certificate is invalid" ;;
    52 | 56) diagnose "System.Net.Http.HttpIOException: the response ended prematurely" ;;
    28) diagnose "System.Threading.Tasks.TaskCanceledException: the request timed out" ;;
  esac
}

# insist is request, tried $tries times while the server is overloaded, out of
# order or shows pages to sign in.
insist() {
  local try
  for ((try = 1; try <= tries; try++)); do
    request "$@"
    case $status in
      000 | 203 | 3?? | 429 | 5??) sleep $((try < 3 ? try : 3)) ;;
      *) return 0 ;;
    esac
  done
}

# The programs that the agent looks for: capability, and name of the program
# where that is another.
scanned=(ant AzureGuestAgent:waagent bundler:bundle clang cmake curl docker dotnet git gulp java JDK:javac make
  maven:mvn node.js:node npm python python3 sh subversion:svn ruby rake svn)

# read_capabilities AGENT sets $capabilities to what the agent registers: facts
# about itself, the programs that it finds, and the environment but for what
# VSO_AGENT_IGNORE (a comma list, compared with case) names.
read_capabilities() {
  local -A all=() ignored=([TERM]=1 [SHLVL]=1 [SYSTEM_ACCESSTOKEN]=1)
  local name value names
  IFS=, read -r -a names <<<"${VSO_AGENT_IGNORE-}"
  for name in "${names[@]}"; do
    name=${name# } name=${name% }
    [[ -z $name ]] || ignored[$name]=1
  done
  while read -r name; do
    value=${!name-}
    # Flags of config have no twin among the capabilities, nor have bash's own
    # variable and the switches of the stand-in.
    [[ $name == VSTS_AGENT_INPUT_* || $name == ADOTEST_* || $name == _ || -n ${ignored[$name]-} ]] && continue
    ((${#value} < 1024)) || continue
    all[$name]=$value
  done < <(compgen -e)
  for name in "${scanned[@]}"; do
    value=$(type -P "${name#*:}") && all[${name%:*}]=$value
  done
  all[Agent.Name]=$1
  all[Agent.Version]=$version
  all[Agent.OS]=Linux all[Agent.OSArchitecture]=X64
  [[ $OSTYPE != darwin* ]] || all[Agent.OS]=Darwin
  [[ $HOSTTYPE != aarch64 && $HOSTTYPE != arm64 ]] || all[Agent.OSArchitecture]=ARM64
  all[Agent.ComputerName]=$HOSTNAME
  all[Agent.HomeDirectory]=$root
  all[InteractiveSession]=True
  capabilities=
  for name in "${!all[@]}"; do
    quote "$name" && capabilities+="${capabilities:+,}$quoted"
    quote "${all[$name]}" && capabilities+=":$quoted"
  done
  capabilities="{$capabilities}"
}
