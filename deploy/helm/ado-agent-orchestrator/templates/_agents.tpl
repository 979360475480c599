{{- /* The ScaledJob's name for a pool, as jobtemplate.Name makes it. That folds
       upper and lower case of all scripts, which cannot be done here: a pool
       whose name is not ASCII needs a name of its own. */ -}}
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

{{- /* The agents' volumes: mount names what to give of each. */ -}}
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
{{- $volumes = concat $volumes $pool.volumes -}}
{{- $mounts = concat $mounts $pool.volumeMounts -}}
{{- with $pool.dockerSocketPath -}}
{{- $volumes = append $volumes (dict "name" "docker-volume" "hostPath" (dict "path" . "type" "Socket")) -}}
{{- $mounts = append $mounts (dict "name" "docker-volume" "mountPath" .) -}}
{{- end -}}
{{- dict "volumes" $volumes "mounts" $mounts | toJson -}}
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

{{- /* The container that runs the agent, as JSON. */ -}}
{{- define "ado.agentContainer" -}}
{{- $pool := .pool -}}
{{- $container := dict "name" "agent" "image" $pool.image "env" (include "ado.agentEnv" . | fromYamlArray) -}}
{{- $mounts := (include "ado.agentVolumes" . | fromJson).mounts -}}
{{- if $mounts -}}
{{- $_ := set $container "volumeMounts" $mounts -}}
{{- end -}}
{{- with $pool.resources -}}
{{- $_ := set $container "resources" . -}}
{{- end -}}
{{- $security := $pool.securityContext -}}
{{- if not (or $pool.unrestricted $pool.dockerSocketPath) -}}
{{- $security = mergeOverwrite (dict "allowPrivilegeEscalation" false "capabilities" (dict "drop" (list "ALL"))) $security -}}
{{- end -}}
{{- with $security -}}
{{- $_ := set $container "securityContext" . -}}
{{- end -}}
{{- $container = mergeOverwrite $container $pool.container -}}
{{- (include "ado.containers" (dict "containers" (list $container)) | fromJson).list | first | toJson -}}
{{- end -}}

{{- /* The template of the agents' pods, and what had to be left out of it, as JSON:
       {"template": …, "omitted": {path: true, …}}. */ -}}
{{- define "ado.agentTemplate" -}}
{{- $pool := .pool -}}
{{- $labels := dict "app.kubernetes.io/name" "azure-pipelines-agent" "app.kubernetes.io/part-of" "ado-agent-orchestrator" "app.kubernetes.io/managed-by" "ado-agent-orchestrator" "ado-agent-orchestrator.io/pool" $pool.name -}}
{{- if eq $pool.credential.auth.kind "workload-identity" -}}
{{- $_ := set $labels "azure.workload.identity/use" "true" -}}
{{- end -}}
{{- /* A build must not be moved to another node: it would begin anew, or fail. */ -}}
{{- $annotations := dict "cluster-autoscaler.kubernetes.io/safe-to-evict" "false" "karpenter.sh/do-not-disrupt" "true" -}}
{{- $spec := dict "restartPolicy" "Never" "terminationGracePeriodSeconds" ($pool.terminationGracePeriodSeconds | int64) "containers" (list (include "ado.agentContainer" . | fromJson)) -}}
{{- if $pool.serviceAccount -}}
{{- $_ := set $spec "serviceAccountName" $pool.serviceAccount -}}
{{- else -}}
{{- $_ := set $spec "automountServiceAccountToken" false -}}
{{- end -}}
{{- $security := $pool.podSecurityContext -}}
{{- if not (or $pool.unrestricted $pool.dockerSocketPath) -}}
{{- $security = mergeOverwrite (dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault")) $security -}}
{{- end -}}
{{- $sidecars := (include "ado.containers" (dict "containers" $pool.sidecars "sidecars" true) | fromJson).list -}}
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
