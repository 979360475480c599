{{- /* What the schema cannot see, or could not say as well: all mistakes in the
       values are reported together. */ -}}
{{- define "ado.check" -}}
{{- $mistakes := include "ado.formatMistakes" . -}}
{{- if not $mistakes -}}
{{- /* These take the formats for right. */ -}}
{{- $mistakes = include "ado.mistakes" . -}}
{{- end -}}
{{- with $mistakes | trim | splitList "\n" | compact -}}
{{- fail (printf "\n\nThe values cannot be used:\n- %s\n" (join "\n- " .)) -}}
{{- end -}}
{{- end -}}

{{- /* One mistake in each line. */ -}}
{{- define "ado.mistakes" -}}
{{- include "ado.organizationMistakes" . -}}
{{- include "ado.scalerMistakes" . -}}
{{- include "ado.settingMistakes" . -}}
{{- include "ado.envMistakes" . -}}
{{- include "ado.scalerNameMistakes" . -}}
{{- include "ado.dnsMistakes" (dict "pod" .Values "path" "") -}}
{{- $names := dict -}}
{{- range $i, $pool := .Values.agentPools -}}
{{- $path := printf "agentPools[%d]" $i -}}
{{- include "ado.poolMistakes" (dict "root" $ "pool" $pool "path" $path) -}}
{{- $name := include "ado.scaledJobName" $pool -}}
{{- with get $names $name -}}
{{- println (printf "%s.name: %s is the ScaledJob of %s already; give each a name" $path $name .) -}}
{{- end -}}
{{- $_ := set $names $name $path -}}
{{- end -}}
{{- end -}}

{{- define "ado.organizationMistakes" -}}
{{- if and .Values.organization.url .Values.organizations -}}
{{- println "organization and organizations: cannot be combined; list all in organizations" -}}
{{- else if not (or .Values.organization.url .Values.organizations) -}}
{{- println "organization.url: is required, such as https://dev.azure.com/contoso" -}}
{{- end -}}
{{- $keys := dict -}}
{{- range $i, $o := (include "ado.organizations" . | fromJson).list -}}
{{- $path := ternary "organization" (printf "organizations[%d]" $i) (empty $.Values.organizations) -}}
{{- include "ado.credentialMistakes" (dict "path" $path "credential" $o) -}}
{{- include "ado.urlMistakes" (dict "path" $path "url" (trim $o.url) "allowHTTP" $.Values.allowHTTP) -}}
{{- $key := include "ado.organizationKey" $o.url -}}
{{- if hasKey $keys $key -}}
{{- println (printf "%s.url: is the organization of %s already" $path (get $keys $key)) -}}
{{- end -}}
{{- $_ := set $keys $key $path -}}
{{- end -}}
{{- include "ado.identityMistakes" . -}}
{{- end -}}

{{- /* What the scaler refuses too, in its words. The messages do not have the URL,
       which may hold a password. */ -}}
{{- define "ado.urlMistakes" -}}
{{- $host := regexReplaceAll "(?i)^https?://([^/]*@)?([^/:?#]*).*$" .url "${2}" | lower -}}
{{- if not .url -}}
{{- else if regexMatch "^[^/]*//[^/?#]*@" .url -}}
{{- println (printf "%s.url: has a user or password; use existingSecret for the token" .path) -}}
{{- else if not (regexMatch "(?i)^https?://([^\\s/?#:\\[\\]%\"\\\\^`{|}<>]+|\\[[0-9a-f:.]+\\])(:[0-9]*)?([/?#]|$)" .url) -}}
{{- println (printf "%s.url: does not begin with https://HOST" .path) -}}
{{- else if regexMatch "[?#]" .url -}}
{{- println (printf "%s.url: has a query or fragment; end it after the organization's name" .path) -}}
{{- else if regexMatch "[[:cntrl:]]|%([^0-9A-Fa-f]|.[^0-9A-Fa-f]|.?$)" .url -}}
{{- println (printf "%s.url: is no URL; it has the form https://dev.azure.com/ORGANIZATION" .path) -}}
{{- else if and (eq $host "dev.azure.com") (not (regexMatch "^[^/]+//[^/]+/[^/]+/*$" .url)) -}}
{{- println (printf "%s.url: must be https://dev.azure.com/ORGANIZATION, without a project" .path) -}}
{{- else if and (hasSuffix ".visualstudio.com" $host) (not (regexMatch "(?i)^[^/]+//[^/]+(/defaultcollection)?/*$" .url)) -}}
{{- println (printf "%s.url: must be https://ORGANIZATION.visualstudio.com, without a project" .path) -}}
{{- else if and (regexMatch "(?i)^http://" .url) (not .allowHTTP) (not (regexMatch "(?i)^http://(localhost|127\\.[0-9.]+|\\[::1\\])([:/]|$)" .url)) -}}
{{- println (printf "%s.url: would send the credential over plain http; use https, or set allowHTTP" .path) -}}
{{- end -}}
{{- end -}}

{{- /* Azure's webhook reads the client ID from the service account, so one that the
       chart creates must have it. */ -}}
{{- define "ado.identityMistakes" -}}
{{- $auth := include "ado.workloadIdentity" . | fromJson -}}
{{- if and (eq $auth.kind "workload-identity") .Values.serviceAccount.create (not (or $auth.clientID (get .Values.serviceAccount.annotations "azure.workload.identity/client-id"))) -}}
{{- println (printf "%s.auth.clientID: is required for workload identity; or set serviceAccount.create to false, and serviceAccount.name to an account that has it" (ternary "organization" "organizations" (empty .Values.organizations))) -}}
{{- end -}}
{{- end -}}

{{- /* Of an organization, or of agents.credential. */ -}}
{{- define "ado.credentialMistakes" -}}
{{- $c := .credential -}}
{{- $kind := $c.auth.kind -}}
{{- if and (eq $kind "pat") (not $c.existingSecret) -}}
{{- println (printf "%s.existingSecret: is required, a Secret with a personal access token; or set auth.kind" .path) -}}
{{- else if and (eq $kind "service-principal") (not (and $c.existingSecret $c.auth.tenantID $c.auth.clientID)) -}}
{{- println (printf "%s: a service principal requires existingSecret, auth.tenantID and auth.clientID" .path) -}}
{{- else if and (has $kind (list "workload-identity" "managed-identity")) $c.existingSecret -}}
{{- println (printf "%s.existingSecret: is not used with auth.kind %s; leave one of them out" .path $kind) -}}
{{- end -}}
{{- end -}}

{{- define "ado.scalerMistakes" -}}
{{- if not (regexMatch "^[a-z]" (include "ado.fullname" .)) -}}
{{- println (printf "fullnameOverride: is required, since the release's name, %s, does not begin with a letter, as the name of a Service must" .Release.Name) -}}
{{- end -}}
{{- if eq (int .Values.service.port) 8080 -}}
{{- println "service.port: must not be 8080, which is the port of the metrics in the same Service" -}}
{{- end -}}
{{- if and (kindIs "map" .Values.image) (not .Values.image.repository) -}}
{{- println "image.repository: is required" -}}
{{- end -}}
{{- if and (eq (.Values.strategy.type | default "") "Recreate") .Values.strategy.rollingUpdate -}}
{{- println "strategy.rollingUpdate: cannot be combined with type Recreate; leave one of them out" -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
{{- if and (ne (toString .minAvailable) "") (ne (toString .maxUnavailable) "") -}}
{{- println "podDisruptionBudget: minAvailable and maxUnavailable cannot be combined; leave one of them out" -}}
{{- end -}}
{{- end -}}
{{- with .Values.keda.version -}}
{{- if semverCompare "<2.14.0-0" . -}}
{{- println (printf "keda.version: %s is too old; the oldest supported version is 2.14" .) -}}
{{- end -}}
{{- end -}}
{{- with .Values.tls -}}
{{- if and (eq .mode "secret") (not .existingSecret) -}}
{{- println "tls.existingSecret: is required with mode secret" -}}
{{- end -}}
{{- if and (eq .mode "secret") .mutual (not .existingClientSecret) -}}
{{- println "tls.existingClientSecret: is required with mode secret; or set mutual to false" -}}
{{- end -}}
{{- if and (eq .mode "cert-manager") (not .issuerRef.name) -}}
{{- println "tls.issuerRef.name: is required with mode cert-manager" -}}
{{- end -}}
{{- end -}}
{{- $h := .Values.housekeeping -}}
{{- if and (not .Values.kubernetes.enabled) (or $h.placeholders $h.offlineAgents $h.deleteStuck $h.endIdle $h.annotateJobs $h.evictableIdle) -}}
{{- println "housekeeping: requires kubernetes.enabled, to see the ScaledJobs and Jobs" -}}
{{- end -}}
{{- if and $h.deleteStuck (eq $h.stuckAfter "0") -}}
{{- println "housekeeping.deleteStuck: requires stuckAfter other than 0" -}}
{{- end -}}
{{- if and .Values.serviceAccount.create .Values.agentServiceAccount.create (eq (include "ado.serviceAccountName" .) (include "ado.agentServiceAccountName" .)) -}}
{{- println (printf "agentServiceAccount.name: %s is the scaler's service account; choose another name" (include "ado.serviceAccountName" .)) -}}
{{- end -}}
{{- $namespaces := .Values.kubernetes.namespaces -}}
{{- if ne (len $namespaces) (uniq $namespaces | len) -}}
{{- println "kubernetes.namespaces: lists a namespace twice" -}}
{{- end -}}
{{- if and $namespaces .Values.agentPools (not (has (include "ado.namespace" .) $namespaces)) (not (has "*" $namespaces)) -}}
{{- println (printf "kubernetes.namespaces: must hold %s, where the agentPools are" (include "ado.namespace" .)) -}}
{{- end -}}
{{- end -}}

{{- /* Given are root, pool as it is in the values, and its path. */ -}}
{{- define "ado.poolMistakes" -}}
{{- $path := .path -}}
{{- $root := .root -}}
{{- if not (or .pool.name (regexMatch "^[ -~]+$" .pool.pool)) -}}
{{- println (printf "%s.name: is required, since the pool's name is not in ASCII" $path) -}}
{{- end -}}
{{- $keys := list -}}
{{- range (include "ado.organizations" $root | fromJson).list -}}
{{- $keys = append $keys (include "ado.organizationKey" .url) -}}
{{- end -}}
{{- if and .pool.organizationURL (not (has (include "ado.organizationKey" .pool.organizationURL) $keys)) -}}
{{- println (printf "%s.organizationURL: is none of the organizations" $path) -}}
{{- else if and (gt (len $keys) 1) (not .pool.organizationURL) -}}
{{- println (printf "%s.organizationURL: is required, since there are several organizations" $path) -}}
{{- end -}}
{{- $pool := include "ado.agentPool" . | fromJson -}}
{{- $own := mergeOverwrite (deepCopy $root.Values.agents.credential) (.pool.credential | default dict) -}}
{{- if or $own.existingSecret $own.auth.kind -}}
{{- include "ado.credentialMistakes" (dict "path" (print $path ".credential") "credential" $pool.credential) -}}
{{- end -}}
{{- if and (eq $pool.credential.auth.kind "workload-identity") (not $pool.serviceAccount) -}}
{{- println (printf "%s.serviceAccount: is required for workload identity; or set agentServiceAccount.create" $path) -}}
{{- end -}}
{{- include "ado.poolIdentityMistakes" (dict "root" $root "pool" $pool "path" $path) -}}
{{- if and (kindIs "map" $pool.image) (not $pool.image.repository) -}}
{{- println (printf "%s.image.repository: is required" $path) -}}
{{- end -}}
{{- if and $pool.mountIdentity (not (and $pool.credential.auth.tenantID $pool.credential.auth.clientID)) -}}
{{- println (printf "%s: auth.tenantID and auth.clientID are required, since this KEDA's ScaledJobs have no labels of pods, without which Azure's webhook does not set them" $path) -}}
{{- end -}}
{{- range $key := list "min" "minIdle" -}}
{{- if gt (int (get $pool $key)) (int $pool.max) -}}
{{- println (printf "%s.%s: %d must not be more than max, %d" $path $key (int (get $pool $key)) (int $pool.max)) -}}
{{- end -}}
{{- end -}}
{{- with $pool.shard -}}
{{- $index := splitList "/" . | first | atoi -}}
{{- $count := splitList "/" . | last | atoi -}}
{{- if or (lt $index 1) (gt $index $count) (gt $count 64) -}}
{{- println (printf "%s.shard: %s must be K/N with K from 1 to N, and N at most 64" $path .) -}}
{{- end -}}
{{- end -}}
{{- $own := include "ado.ownAgentEnv" (dict "root" $root "pool" $pool) | fromYamlArray -}}
{{- include "ado.duplicateMistakes" (dict "own" $own "reserved" (list "AZP_TOKEN" "AZP_CAPABILITIES" "AZP_IDLE_TIMEOUT" "AZP_AUTH" "AZP_CA_FILE") "env" $pool.env "path" $path) -}}
{{- include "ado.dnsMistakes" (dict "pod" $pool "path" (print $path ".")) -}}
{{- include "ado.sourceMistakes" (dict "container" $pool "path" (print $path ".")) -}}
{{- range $key := list "initContainers" "sidecars" -}}
{{- range $i, $container := get $pool $key -}}
{{- include "ado.sourceMistakes" (dict "container" $container "path" (printf "%s.%s[%d]." $path $key $i)) -}}
{{- end -}}
{{- end -}}
{{- include "ado.warmMistakes" (dict "root" $root "pool" $pool "path" $path) -}}
{{- include "ado.poolNameMistakes" (dict "root" $root "pool" $pool "path" $path) -}}
{{- if and (or $pool.warmNodes.min $pool.warmNodes.periods) (eq (include "ado.fullname" $root) (printf "%s-nodes" $pool.name)) -}}
{{- println (printf "%s.name: the Deployment of its warmNodes, %s-nodes, has the name of the scaler's; choose another name" $path $pool.name) -}}
{{- end -}}
{{- include "ado.isolationMistakes" (dict "pool" $pool "path" $path) -}}
{{- include "ado.reservedMistakes" (dict "pool" $pool "path" $path) -}}
{{- end -}}

{{- /* Of pods whose service account the chart creates for agents. */ -}}
{{- define "ado.poolIdentityMistakes" -}}
{{- $created := and .root.Values.agentServiceAccount.create (eq .pool.serviceAccount (include "ado.agentServiceAccountName" .root)) -}}
{{- if and (eq .pool.credential.auth.kind "workload-identity") $created (not .pool.credential.auth.clientID) (not (get .root.Values.agentServiceAccount.annotations "azure.workload.identity/client-id")) -}}
{{- println (printf "%s: auth.clientID is required for workload identity with agentServiceAccount.create" .path) -}}
{{- end -}}
{{- end -}}
