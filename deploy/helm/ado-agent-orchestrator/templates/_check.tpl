{{- /* What the schema cannot see, or could not say as well: all mistakes in the
       values are reported together. */ -}}
{{- define "ado.check" -}}
{{- $mistakes := include "ado.mistakes" . | trim | splitList "\n" | compact -}}
{{- if $mistakes -}}
{{- fail (printf "\n\nThe values cannot be used:\n- %s\n" (join "\n- " $mistakes)) -}}
{{- end -}}
{{- end -}}

{{- /* One mistake in each line. */ -}}
{{- define "ado.mistakes" -}}
{{- include "ado.organizationMistakes" . -}}
{{- include "ado.scalerMistakes" . -}}
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
{{- println "organization and organizations: exclude each other; list all in organizations" -}}
{{- else if not (or .Values.organization.url .Values.organizations) -}}
{{- println "organization.url: is needed, such as https://dev.azure.com/contoso" -}}
{{- end -}}
{{- $urls := dict -}}
{{- range $i, $o := (include "ado.organizations" . | fromJson).list -}}
{{- $path := ternary "organization" (printf "organizations[%d]" $i) (empty $.Values.organizations) -}}
{{- include "ado.credentialMistakes" (dict "path" $path "credential" $o) -}}
{{- $host := (urlParse $o.url).hostname -}}
{{- if and (hasPrefix "http://" $o.url) (not $.Values.allowHTTP) (not (or (eq $host "localhost") (hasPrefix "127." $host))) -}}
{{- println (printf "%s.url: would send the credential over plain http; use https, or set allowHTTP" $path) -}}
{{- end -}}
{{- include "ado.projectMistakes" (dict "path" $path "url" $o.url) -}}
{{- $url := lower $o.url | trimSuffix "/" -}}
{{- if hasKey $urls $url -}}
{{- println (printf "%s.url: %s is listed twice" $path $o.url) -}}
{{- end -}}
{{- $_ := set $urls $url true -}}
{{- end -}}
{{- end -}}

{{- /* A URL of Azure DevOps Services without an organization, or with a project,
       which the scaler refuses too. */ -}}
{{- define "ado.projectMistakes" -}}
{{- $host := lower (urlParse .url).hostname -}}
{{- $parts := (urlParse .url).path | trimAll "/" | splitList "/" | compact -}}
{{- if and (eq $host "dev.azure.com") (ne (len $parts) 1) -}}
{{- println (printf "%s.url: must be https://dev.azure.com/ORGANIZATION, without a project" .path) -}}
{{- else if and (hasSuffix ".visualstudio.com" $host) $parts (ne (lower (join "/" $parts)) "defaultcollection") -}}
{{- println (printf "%s.url: must be https://ORGANIZATION.visualstudio.com, without a project" .path) -}}
{{- end -}}
{{- end -}}

{{- /* Of an organization, or of agents.credential. */ -}}
{{- define "ado.credentialMistakes" -}}
{{- $c := .credential -}}
{{- $kind := $c.auth.kind -}}
{{- if and (eq $kind "pat") (not $c.existingSecret) -}}
{{- println (printf "%s.existingSecret: is needed, a Secret with a personal access token; or set auth.kind" .path) -}}
{{- else if and (eq $kind "service-principal") (not (and $c.existingSecret $c.auth.tenantID $c.auth.clientID)) -}}
{{- println (printf "%s: a service principal needs existingSecret, auth.tenantID and auth.clientID" .path) -}}
{{- else if and (has $kind (list "workload-identity" "managed-identity")) $c.existingSecret -}}
{{- println (printf "%s.existingSecret: is not used with auth.kind %s; leave one of them out" .path $kind) -}}
{{- end -}}
{{- end -}}

{{- define "ado.scalerMistakes" -}}
{{- with .Values.keda.version -}}
{{- if semverCompare "<2.14.0-0" . -}}
{{- println (printf "keda.version: %s is too old; the oldest supported version is 2.14" .) -}}
{{- end -}}
{{- end -}}
{{- with .Values.tls -}}
{{- if and (eq .mode "secret") (not .existingSecret) -}}
{{- println "tls.existingSecret: is needed with mode secret" -}}
{{- end -}}
{{- if and (eq .mode "secret") .mutual (not .existingClientSecret) -}}
{{- println "tls.existingClientSecret: is needed with mode secret; or set mutual to false" -}}
{{- end -}}
{{- if and (eq .mode "cert-manager") (not .issuerRef.name) -}}
{{- println "tls.issuerRef.name: is needed with mode cert-manager" -}}
{{- end -}}
{{- end -}}
{{- $h := .Values.housekeeping -}}
{{- if and (not .Values.kubernetes.enabled) (or $h.placeholders $h.offlineAgents $h.deleteStuck $h.endIdle) -}}
{{- println "housekeeping: needs kubernetes.enabled, to see the ScaledJobs and Jobs" -}}
{{- end -}}
{{- if and $h.deleteStuck (eq $h.stuckAfter "0") -}}
{{- println "housekeeping.deleteStuck: needs stuckAfter other than 0" -}}
{{- end -}}
{{- $namespaces := .Values.kubernetes.namespaces -}}
{{- if and $namespaces .Values.agentPools (not (has .Release.Namespace $namespaces)) (not (has "*" $namespaces)) -}}
{{- println (printf "kubernetes.namespaces: must hold %s, where the agentPools are" .Release.Namespace) -}}
{{- end -}}
{{- end -}}

{{- /* Given are root, pool as it is in the values, and its path. */ -}}
{{- define "ado.poolMistakes" -}}
{{- $path := .path -}}
{{- $root := .root -}}
{{- if not (or .pool.name (regexMatch "^[ -~]+$" .pool.pool)) -}}
{{- println (printf "%s.name: is needed, since the pool's name is not in ASCII" $path) -}}
{{- end -}}
{{- $urls := list -}}
{{- range (include "ado.organizations" $root | fromJson).list -}}
{{- $urls = append $urls (lower .url | trimSuffix "/") -}}
{{- end -}}
{{- if and .pool.organizationURL (not (has (lower .pool.organizationURL | trimSuffix "/") $urls)) -}}
{{- println (printf "%s.organizationURL: is none of the organizations" $path) -}}
{{- else if and (gt (len $urls) 1) (not .pool.organizationURL) -}}
{{- println (printf "%s.organizationURL: is needed, since there are several organizations" $path) -}}
{{- end -}}
{{- $pool := include "ado.agentPool" . | fromJson -}}
{{- $own := mergeOverwrite (deepCopy $root.Values.agents.credential) (.pool.credential | default dict) -}}
{{- if or $own.existingSecret $own.auth.kind -}}
{{- include "ado.credentialMistakes" (dict "path" (print $path ".credential") "credential" $pool.credential) -}}
{{- end -}}
{{- if and (eq $pool.credential.auth.kind "workload-identity") (not $pool.serviceAccount) -}}
{{- println (printf "%s.serviceAccount: is needed for workload identity; or set agentServiceAccount.create" $path) -}}
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
{{- include "ado.warmMistakes" (dict "root" $root "pool" $pool "path" (print $path ".warm")) -}}
{{- include "ado.isolationMistakes" (dict "pool" $pool "path" $path) -}}
{{- include "ado.reservedMistakes" (dict "pool" $pool "path" $path) -}}
{{- end -}}

{{- /* Of the agents that wait for jobs. What periods say together is checked by the
       scaler. */ -}}
{{- define "ado.warmMistakes" -}}
{{- $path := .path -}}
{{- $pool := .pool -}}
{{- with $pool.warm -}}
{{- if and .timeZone (not .periods) -}}
{{- println (printf "%s.timeZone: requires periods" $path) -}}
{{- end -}}
{{- if and .maxAge (not $.root.Values.housekeeping.endIdle) -}}
{{- println (printf "%s.maxAge: requires housekeeping.endIdle" $path) -}}
{{- end -}}
{{- range $i, $p := .periods -}}
{{- $at := printf "%s.periods[%d]" $path $i -}}
{{- if eq $p.from $p.to -}}
{{- println (printf "%s.to: must differ from from; the whole day is from 00:00 to 24:00" $at) -}}
{{- end -}}
{{- if gt (int $p.minIdle) (int $pool.max) -}}
{{- println (printf "%s.minIdle: %d must not be more than the agents' max, %d" $at (int $p.minIdle) (int $pool.max)) -}}
{{- end -}}
{{- if and $p.max (not $p.busyPercent) -}}
{{- println (printf "%s.max: requires busyPercent, which it bounds" $at) -}}
{{- else if and $p.max (lt (int $p.max) (int $p.minIdle)) -}}
{{- println (printf "%s.max: %d must not be less than minIdle, %d" $at (int $p.max) (int $p.minIdle)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What would let jobs reach the credential that is to be isolated. */ -}}
{{- define "ado.isolationMistakes" -}}
{{- if .pool.isolateCredential -}}
{{- if .pool.dockerSocketPath -}}
{{- println (printf "%s.isolateCredential: has no effect with dockerSocketPath: a job that can use the socket is root on the node" .path) -}}
{{- end -}}
{{- range $key := list "shareProcessNamespace" "hostPID" "automountServiceAccountToken" -}}
{{- if get ($.pool.podTemplate.spec | default dict) $key -}}
{{- println (printf "%s.podTemplate.spec.%s: lets jobs reach the credential; leave it out, or isolateCredential" $.path $key) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "name" "env" "restartPolicy" "volumeMounts" -}}
{{- if hasKey $.pool.keeper $key -}}
{{- println (printf "%s.keeper.%s: is set by the chart; leave it out" $.path $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What a pool must not say, since the contract with KEDA, Azure DevOps and the
       scaler does. */ -}}
{{- define "ado.reservedMistakes" -}}
{{- $path := .path -}}
{{- $pool := .pool -}}
{{- $variables := list "AZP_URL" "AZP_POOL" "AZP_AGENT_NAME" "AZP_TOKEN" "AZP_CAPABILITIES" "AZP_IDLE_TIMEOUT" "AZP_GRACE_PERIOD" "AZP_AUTH" "AZP_CA_FILE" -}}
{{- range $i, $v := $pool.env -}}
{{- if has $v.name $variables -}}
{{- println (printf "%s.env[%d]: %s is set by the other values; leave it out" $path $i $v.name) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "name" "image" "env" "resources" "securityContext" "volumeMounts" -}}
{{- if hasKey $pool.container $key -}}
{{- println (printf "%s.container.%s: has a separate value; leave it out%s" $path $key (ternary "" (print ", and set " $key) (eq $key "name"))) -}}
{{- end -}}
{{- end -}}
{{- $spec := $pool.podTemplate.spec | default dict -}}
{{- $instead := dict "containers" "container and sidecars" "initContainers" "sidecars" "volumes" "volumes" "securityContext" "podSecurityContext" "nodeSelector" "nodeSelector" "tolerations" "tolerations" "affinity" "affinity" "serviceAccountName" "serviceAccount" "terminationGracePeriodSeconds" "terminationGracePeriodSeconds" "imagePullSecrets" "imagePullSecrets" -}}
{{- range $key, $value := $instead -}}
{{- if hasKey $spec $key -}}
{{- println (printf "%s.podTemplate.spec.%s: has a separate value; set %s" $path $key $value) -}}
{{- end -}}
{{- end -}}
{{- if hasKey $spec "restartPolicy" -}}
{{- println (printf "%s.podTemplate.spec.restartPolicy: is always Never: an agent takes one job" $path) -}}
{{- end -}}
{{- range $key, $_ := ($pool.podTemplate.metadata | default dict).labels | default dict -}}
{{- if or (regexMatch "^(scaledjob\\.keda\\.sh|batch\\.kubernetes\\.io|ado-agent-orchestrator\\.io)/" $key) (has $key (list "app.kubernetes.io/managed-by" "job-name" "controller-uid")) -}}
{{- println (printf "%s.podTemplate.metadata.labels: %s is set by Kubernetes, KEDA or the chart; leave it out" $path $key) -}}
{{- end -}}
{{- end -}}
{{- range $i, $c := $pool.sidecars -}}
{{- $at := printf "%s.sidecars[%d]" $path $i -}}
{{- if eq ($c.name | default "agent") "agent" -}}
{{- println (printf "%s.name: is needed, and must not be agent" $at) -}}
{{- end -}}
{{- if ne ($c.restartPolicy | default "Always") "Always" -}}
{{- println (printf "%s.restartPolicy: is always Always, or the Job would not end with its agent" $at) -}}
{{- end -}}
{{- range $j, $v := $c.env -}}
{{- if and (eq $v.name "AZP_TOKEN") $v.value -}}
{{- println (printf "%s.env[%d]: AZP_TOKEN must come from a Secret, by valueFrom.secretKeyRef" $at $j) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
