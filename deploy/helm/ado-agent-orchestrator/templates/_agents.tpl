{{- /* The ScaledJob's name for a pool, as jobtemplate.Name makes it. That folds
       upper and lower case of all scripts, which cannot be done here: a pool
       whose name is not ASCII requires a name. */ -}}
{{- define "ado.scaledJobName" -}}
{{- if .name -}}
{{- .name -}}
{{- else -}}
{{- $prefix := "agent-job-" -}}
{{- $room := sub 51 (len $prefix) | int -}}
{{- $folded := lower .pool -}}
{{- $label := regexReplaceAll "[^a-z0-9]+" $folded "-" | trimAll "-" -}}
{{- if and (eq $label $folded) (le (len $label) $room) (not (regexMatch "(^|-)[0-9a-f]{8}$" $label)) -}}
{{- print $prefix $label -}}
{{- else -}}
{{- $label = regexReplaceAll "-+$" (trunc (int (sub $room 9)) $label) "" -}}
{{- print $prefix $label (ternary "-" "" (ne $label "")) (sha256sum $folded | trunc 8) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* One of agentPools laid over agents, with its name, its organization's URL
       and its credential, as JSON. Given are root and pool. */ -}}
{{- define "ado.agentPool" -}}
{{- $root := .root -}}
{{- $pool := mergeOverwrite (deepCopy $root.Values.agents) (deepCopy .pool) -}}
{{- $organizations := (include "ado.organizations" $root | fromJson).list -}}
{{- $organization := first $organizations -}}
{{- range $organizations -}}
{{- if and $pool.organizationURL (eq (lower .url | trimSuffix "/") (lower $pool.organizationURL | trimSuffix "/")) -}}
{{- $organization = . -}}
{{- end -}}
{{- end -}}
{{- $credential := $pool.credential -}}
{{- if and (not $credential.existingSecret) (not $credential.auth.kind) -}}
{{- $credential = pick $organization "existingSecret" "existingSecretKey" "auth" -}}
{{- end -}}
{{- $_ := set $pool "credential" (merge (dict "auth" (dict "kind" ($credential.auth.kind | default "pat"))) $credential) -}}
{{- $_ = set $pool "organizationURL" $organization.url -}}
{{- $_ = set $pool "image" ($pool.image | default (include "ado.agentImage" $root)) -}}
{{- $_ = set $pool "name" (include "ado.scaledJobName" $pool) -}}
{{- $_ = set $pool "serviceAccount" ($pool.serviceAccount | default (include "ado.agentServiceAccountName" $root)) -}}
{{- /* Without labels of theirs, Azure's webhook ignores the pods. */ -}}
{{- $unlabelled := include "ado.lacks" (dict "root" $root "field" "template.metadata.labels") -}}
{{- $_ = set $pool "mountIdentity" (and (eq $pool.credential.auth.kind "workload-identity") (ne $unlabelled "")) -}}
{{- $pool | toJson -}}
{{- end -}}

{{- define "ado.capabilities" -}}
{{- $items := list -}}
{{- range $name, $value := .capabilities -}}
{{- $items = append $items (ternary $name (printf "%s=%s" $name $value) (empty $value)) -}}
{{- end -}}
{{- join "," $items -}}
{{- end -}}

{{- /* The periods of a warm value in the scaler's grammar. */ -}}
{{- define "ado.warm" -}}
{{- $list := list -}}
{{- range .periods -}}
{{- $text := printf "%s-%s %d" .from .to (.minIdle | int64) -}}
{{- with .days -}}
{{- $text = printf "%s %s" . $text -}}
{{- end -}}
{{- with .busyPercent -}}
{{- $text = printf "%s +%d%%" $text (. | int64) -}}
{{- end -}}
{{- with .max -}}
{{- $text = printf "%s max %d" $text (. | int64) -}}
{{- end -}}
{{- $list = append $list $text -}}
{{- end -}}
{{- join "; " $list -}}
{{- end -}}

{{- /* The metadata of a pool's trigger, as YAML. Given are root and pool. */ -}}
{{- define "ado.triggerMetadata" -}}
scalerAddress: {{ include "ado.scalerAddress" .root | quote }}
organizationURL: {{ .pool.organizationURL | quote }}
poolName: {{ .pool.pool | quote }}
{{- with include "ado.capabilities" .pool }}
capabilities: {{ . | quote }}
{{- end }}
{{- with .pool.priority }}
priority: {{ . | int64 | quote }}
{{- end }}
{{- with .pool.shard }}
shard: {{ . | quote }}
{{- end }}
{{- with .pool.minIdle }}
minIdle: {{ . | int64 | quote }}
{{- end }}
{{- with include "ado.warm" .pool.warm }}
warm: {{ . | quote }}
{{- end }}
{{- with .pool.warm.timeZone }}
warmTimeZone: {{ . | quote }}
{{- end }}
{{- with .pool.warm.maxAge }}
warmMaxAge: {{ . | quote }}
{{- end }}
{{- end -}}

{{- /* The agents' variables, in jobtemplate's order. */ -}}
{{- define "ado.agentEnv" -}}
- name: AZP_URL
  value: {{ .pool.organizationURL | replace "$" "$$" | quote }}
- name: AZP_POOL
  value: {{ .pool.pool | replace "$" "$$" | quote }}
- name: AZP_AGENT_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- if eq .pool.credential.auth.kind "pat" }}
- name: AZP_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ .pool.credential.existingSecret }}
      key: {{ .pool.credential.existingSecretKey }}
{{- end }}
{{- with include "ado.capabilities" .pool }}
- name: AZP_CAPABILITIES
  value: {{ . | replace "$" "$$" | quote }}
{{- end }}
{{- if ne .pool.idleTimeout "0" }}
- name: AZP_IDLE_TIMEOUT
  value: {{ .pool.idleTimeout }}
{{- end }}
- name: AZP_GRACE_PERIOD
  value: {{ printf "%ds" (int64 .pool.terminationGracePeriodSeconds) }}
{{- include "ado.agentIdentityEnv" .pool.credential }}
{{- if .pool.mountIdentity }}
- name: AZURE_FEDERATED_TOKEN_FILE
  value: /var/run/secrets/azure/tokens/azure-identity-token
{{- end }}
{{- if .root.Values.ca.existingConfigMap }}
- name: AZP_CA_FILE
  value: /etc/azure-devops/ca/ca.crt
{{- end }}
{{- if .root.Values.allowHTTP }}
- name: AZP_ALLOW_HTTP
  value: "true"
{{- end }}
{{- with .pool.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The variables of an agent that has an Entra identity in place of a token. */ -}}
{{- define "ado.agentIdentityEnv" -}}
{{- if ne .auth.kind "pat" }}
- name: AZP_AUTH
  value: {{ .auth.kind }}
{{- with .auth.tenantID }}
- name: AZURE_TENANT_ID
  value: {{ . | quote }}
{{- end }}
{{- with .auth.clientID }}
- name: AZURE_CLIENT_ID
  value: {{ . | quote }}
{{- end }}
{{- if eq .auth.kind "service-principal" }}
{{- if .auth.certificate }}
- name: AZURE_CLIENT_CERTIFICATE_PATH
  value: /var/run/secrets/azure-devops/credential
{{- else }}
- name: AZURE_CLIENT_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .existingSecretKey }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* The agents' volumes, what the agent's container mounts of them, and what the
       keeper does. */ -}}
{{- define "ado.agentVolumes" -}}
{{- $pool := .pool -}}
{{- $volumes := list -}}
{{- $mounts := list -}}
{{- if and (eq $pool.credential.auth.kind "service-principal") $pool.credential.auth.certificate -}}
{{- $volumes = append $volumes (dict "name" "azure-devops-credential" "secret" (dict "secretName" $pool.credential.existingSecret "items" (list (dict "key" $pool.credential.existingSecretKey "path" "credential")))) -}}
{{- $mounts = append $mounts (dict "name" "azure-devops-credential" "mountPath" "/var/run/secrets/azure-devops" "readOnly" true) -}}
{{- end -}}
{{- if $pool.mountIdentity -}}
{{- $token := dict "audience" "api://AzureADTokenExchange" "expirationSeconds" 3600 "path" "azure-identity-token" -}}
{{- $volumes = append $volumes (dict "name" "azure-identity-token" "projected" (dict "sources" (list (dict "serviceAccountToken" $token)))) -}}
{{- $mounts = append $mounts (dict "name" "azure-identity-token" "mountPath" "/var/run/secrets/azure/tokens" "readOnly" true) -}}
{{- end -}}
{{- with .root.Values.ca.existingConfigMap -}}
{{- $volumes = append $volumes (dict "name" "azure-devops-ca" "configMap" (dict "name" . "items" (list (dict "key" $.root.Values.ca.key "path" "ca.crt")))) -}}
{{- $mounts = append $mounts (dict "name" "azure-devops-ca" "mountPath" "/etc/azure-devops/ca" "readOnly" true) -}}
{{- end -}}
{{- $keeper := $mounts -}}
{{- if $pool.isolateCredential -}}
{{- $mounts = list -}}
{{- range $keeper -}}
{{- if eq .name "azure-devops-ca" -}}
{{- $mounts = append $mounts . -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $volumes = concat $volumes $pool.volumes -}}
{{- $mounts = concat $mounts $pool.volumeMounts -}}
{{- if $pool.isolateCredential -}}
{{- $shared := dict "name" "agent-keeper" "mountPath" "/azp/shared" -}}
{{- $volumes = append $volumes (dict "name" "agent-keeper" "emptyDir" (dict)) -}}
{{- $mounts = append $mounts $shared -}}
{{- $keeper = append $keeper $shared -}}
{{- end -}}
{{- with $pool.dockerSocketPath -}}
{{- $volumes = append $volumes (dict "name" "docker-volume" "hostPath" (dict "path" . "type" "Socket")) -}}
{{- $mounts = append $mounts (dict "name" "docker-volume" "mountPath" .) -}}
{{- end -}}
{{- dict "volumes" $volumes "mounts" $mounts "keeper" $keeper | toJson -}}
{{- end -}}

{{- /* Containers with the protocols that KEDA's CRD demands, and, for sidecars,
       their restartPolicy; as JSON: {"list": […]}. */ -}}
{{- define "ado.containers" -}}
{{- $list := list -}}
{{- range .containers -}}
{{- $container := deepCopy . -}}
{{- range $container.ports -}}
{{- $_ := set . "protocol" (.protocol | default "TCP") -}}
{{- end -}}
{{- if $.sidecars -}}
{{- $_ := set $container "restartPolicy" "Always" -}}
{{- end -}}
{{- $list = append $list $container -}}
{{- end -}}
{{- dict "list" $list | toJson -}}
{{- end -}}

{{- /* Of variables, those that the agent's container may have if the credential is
       isolated; as JSON: {"list": […]}. */ -}}
{{- define "ado.runnerEnv" -}}
{{- $hidden := list "AZP_URL" "AZP_POOL" "AZP_TOKEN" "AZP_AGENT_NAME" "AZP_CAPABILITIES" "AZP_IDLE_TIMEOUT" "AZP_AUTH" -}}
{{- if ne .pool.credential.auth.kind "pat" -}}
{{- $hidden = concat $hidden (list "AZURE_TENANT_ID" "AZURE_CLIENT_ID" "AZURE_CLIENT_SECRET" "AZURE_CLIENT_SECRET_FILE" "AZURE_CLIENT_CERTIFICATE_PATH" "AZURE_CLIENT_CERTIFICATE_PASSWORD" "AZURE_FEDERATED_TOKEN_FILE" "AZURE_AUTHORITY_HOST" "IDENTITY_ENDPOINT" "IDENTITY_HEADER" "MSI_ENDPOINT" "MSI_SECRET") -}}
{{- end -}}
{{- $list := include "ado.roleEnv" "runner" | fromYamlArray -}}
{{- range .env -}}
{{- if not (has .name $hidden) -}}
{{- $list = append $list . -}}
{{- end -}}
{{- end -}}
{{- dict "list" $list | toJson -}}
{{- end -}}

{{- define "ado.roleEnv" -}}
- name: AZP_ROLE
  value: {{ . }}
- name: AZP_SHARED_DIR
  value: /azp/shared
{{- end -}}

{{- /* The security context of a container beside its own values, as JSON. */ -}}
{{- define "ado.agentSecurity" -}}
{{- $security := .securityContext -}}
{{- if not (or .unrestricted .dockerSocketPath) -}}
{{- $security = mergeOverwrite (dict "allowPrivilegeEscalation" false "capabilities" (dict "drop" (list "ALL"))) $security -}}
{{- end -}}
{{- $security | toJson -}}
{{- end -}}

{{- /* The sidecar that holds the credential, as JSON. */ -}}
{{- define "ado.keeperContainer" -}}
{{- $pool := .pool -}}
{{- $env := concat (include "ado.roleEnv" "keeper" | fromYamlArray) (include "ado.agentEnv" . | fromYamlArray) -}}
{{- $container := dict "name" "keeper" "image" $pool.image "restartPolicy" "Always" "env" $env "volumeMounts" (include "ado.agentVolumes" . | fromJson).keeper "resources" (dict "requests" (dict "cpu" "50m" "memory" "128Mi")) -}}
{{- with $pool.container.imagePullPolicy -}}
{{- $_ := set $container "imagePullPolicy" . -}}
{{- end -}}
{{- with include "ado.agentSecurity" $pool | fromJson -}}
{{- $_ := set $container "securityContext" . -}}
{{- end -}}
{{- mergeOverwrite $container $pool.keeper | toJson -}}
{{- end -}}

{{- /* The container that runs the agent, as JSON. */ -}}
{{- define "ado.agentContainer" -}}
{{- $pool := .pool -}}
{{- $env := include "ado.agentEnv" . | fromYamlArray -}}
{{- if $pool.isolateCredential -}}
{{- $env = (include "ado.runnerEnv" (dict "pool" $pool "env" $env) | fromJson).list -}}
{{- end -}}
{{- $container := dict "name" "agent" "image" $pool.image "env" $env -}}
{{- $mounts := (include "ado.agentVolumes" . | fromJson).mounts -}}
{{- if $mounts -}}
{{- $_ := set $container "volumeMounts" $mounts -}}
{{- end -}}
{{- with $pool.resources -}}
{{- $_ := set $container "resources" . -}}
{{- end -}}
{{- with include "ado.agentSecurity" $pool | fromJson -}}
{{- $_ := set $container "securityContext" . -}}
{{- end -}}
{{- $container = mergeOverwrite $container $pool.container -}}
{{- (include "ado.containers" (dict "containers" (list $container)) | fromJson).list | first | toJson -}}
{{- end -}}

{{- /* The template of the agents' pods, and what had to be left out of it, as JSON:
       {"template": …, "omitted": {path: true, …}}. */ -}}
{{- define "ado.agentTemplate" -}}
{{- $pool := .pool -}}
{{- $labels := dict "app.kubernetes.io/name" "azure-pipelines-agent" "app.kubernetes.io/part-of" "ado-agent-orchestrator" "app.kubernetes.io/managed-by" "ado-agent-orchestrator" "ado-agent-orchestrator.io/pool" $pool.name "ado-agent-orchestrator.io/launcher" "ado-agent" -}}
{{- if eq $pool.credential.auth.kind "workload-identity" -}}
{{- $_ := set $labels "azure.workload.identity/use" "true" -}}
{{- end -}}
{{- /* A build must not be moved to another node: it would restart, or fail. */ -}}
{{- $annotations := dict "cluster-autoscaler.kubernetes.io/safe-to-evict" "false" "karpenter.sh/do-not-disrupt" "true" -}}
{{- $spec := dict "restartPolicy" "Never" "enableServiceLinks" false "terminationGracePeriodSeconds" ($pool.terminationGracePeriodSeconds | int64) "containers" (list (include "ado.agentContainer" . | fromJson)) -}}
{{- if $pool.serviceAccount -}}
{{- $_ := set $spec "serviceAccountName" $pool.serviceAccount -}}
{{- end -}}
{{- if or $pool.isolateCredential (not $pool.serviceAccount) -}}
{{- $_ := set $spec "automountServiceAccountToken" false -}}
{{- end -}}
{{- $security := $pool.podSecurityContext -}}
{{- if not (or $pool.unrestricted $pool.dockerSocketPath) -}}
{{- $security = mergeOverwrite (dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault")) $security -}}
{{- end -}}
{{- $sidecars := (include "ado.containers" (dict "containers" $pool.sidecars "sidecars" true) | fromJson).list -}}
{{- if $pool.isolateCredential -}}
{{- $others := list -}}
{{- range $sidecars -}}
{{- $others = append $others .name -}}
{{- end -}}
{{- $_ := set $annotations "azure.workload.identity/skip-containers" (join ";" (append $others "agent")) -}}
{{- $sidecars = prepend $sidecars (include "ado.keeperContainer" . | fromJson) -}}
{{- end -}}
{{- $volumes := (include "ado.agentVolumes" . | fromJson).volumes -}}
{{- range $key, $value := dict "securityContext" $security "initContainers" $sidecars "volumes" $volumes "nodeSelector" $pool.nodeSelector "tolerations" $pool.tolerations "affinity" $pool.affinity "imagePullSecrets" .root.Values.imagePullSecrets -}}
{{- if $value -}}
{{- $_ := set $spec $key $value -}}
{{- end -}}
{{- end -}}
{{- $template := mergeOverwrite (dict "metadata" (dict "labels" $labels "annotations" $annotations) "spec" $spec) $pool.podTemplate -}}
{{- $omitted := dict -}}
{{- $missing := list -}}
{{- range (include "ado.missingFields" .root | fromJson).list -}}
{{- $missing = append $missing (splitList "." .) -}}
{{- end -}}
{{- include "ado.omit" (dict "value" (dict "template" $template) "fields" $missing "path" "spec.jobTargetRef" "omitted" $omitted) -}}
{{- dict "template" $template "omitted" $omitted | toJson -}}
{{- end -}}
