# Shared by config.sh and run.sh of the stand-in's agent: JSON without jq, and
# REST calls whose credential never shows in a list of processes. Functions
# return text in variables where they can, since fifty agents share two cores
# and every $(...) is a process.

api_version=7.1-preview

say() { printf '%(%Y-%m-%d %H:%M:%SZ)T: %s\n' -1 "$*"; }
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

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
}

curl_options=(-q --silent --show-error --config - --connect-timeout 10
  --header 'Accept: application/json' --header 'X-TFS-FedAuthRedirect: Suppress')

# connect_through PROXY CA_FILE, either of which may be empty.
connect_through() {
  [[ -z $1 ]] || curl_options+=(--proxy "$1")
  [[ -z $2 ]] || curl_options+=(--cacert "$2")
}

# request METHOD PATH [BODY] sets $status and $body; $status is 000 when there
# was no answer.
request() {
  local url=$server_url/_apis/$2 answer data=()
  [[ $url == *\?* ]] && url+="&api-version=$api_version" || url+="?api-version=$api_version"
  [[ -z ${3-} ]] || data=(--header 'Content-Type: application/json' --data-raw "$3")
  answer=$(credential | curl "${curl_options[@]}" --max-time 60 --request "$1" \
    --write-out '\n%{http_code}' "${data[@]}" "$url")
  body=${answer%$'\n'*}
  status=${answer##*$'\n'}
  status=${status:-000}
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

# read_capabilities AGENT sets $capabilities to what the agent registers: facts
# about itself, and the environment but for what VSO_AGENT_IGNORE (a comma list)
# names.
read_capabilities() {
  local ignored=",${VSO_AGENT_IGNORE-}," name value os=Linux arch=X64
  [[ $OSTYPE != darwin* ]] || os=Darwin
  [[ $HOSTTYPE != aarch64 && $HOSTTYPE != arm64 ]] || arch=ARM64
  capabilities="{\"Agent.Version\":\"4.255.0\",\"Agent.OS\":\"$os\",\"Agent.OSArchitecture\":\"$arch\""
  quote "$1" && capabilities+=",\"Agent.Name\":$quoted"
  quote "$HOSTNAME" && capabilities+=",\"Agent.ComputerName\":$quoted"
  quote "$PWD" && capabilities+=",\"Agent.HomeDirectory\":$quoted"
  while read -r name; do
    value=${!name-}
    [[ $name == VSTS_AGENT_INPUT_* || $name == _ || ${ignored^^} == *",${name^^},"* ]] && continue
    ((${#value} < 1024)) || continue
    quote "$value" && capabilities+=",\"$name\":$quoted"
  done < <(compgen -e)
  capabilities+='}'
}
