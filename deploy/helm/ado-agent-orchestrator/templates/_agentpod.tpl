{{- /* The template of the agents' pods, and what had to be left out of it, as JSON:
       {"template": …, "omitted": {path: true, …}}. Given are root and pool. */ -}}
{{- define "ado.agentTemplate" -}}
{{- $template := mergeOverwrite (include "ado.agentPod" . | fromYaml) .pool.podTemplate -}}
{{- $missing := list -}}
{{- range (include "ado.missingFields" .root | fromJson).list -}}
{{- $missing = append $missing (splitList "." .) -}}
{{- end -}}
{{- $omitted := dict -}}
{{- $value := dict "template" $template -}}
{{- include "ado.omit" (dict "value" $value "fields" $missing "path" "spec.jobTargetRef" "omitted" $omitted) -}}
{{- dict "template" $template "omitted" $omitted | toJson -}}
{{- end -}}

{{- /* The template without what podTemplate has. */ -}}
{{- define "ado.agentPod" -}}
metadata:
  labels:
    {{- $labels := mergeOverwrite (dict) .root.Values.commonLabels .pool.podLabels }}
    {{- toYaml (mergeOverwrite $labels (include "ado.agentPodLabels" .pool | fromYaml)) | nindent 4 }}
  {{- with mergeOverwrite (include "ado.agentPodAnnotations" . | fromYaml) .pool.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  restartPolicy: Never
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .pool.terminationGracePeriodSeconds | int64 }}
  {{- with .pool.serviceAccount }}
  serviceAccountName: {{ . | quote }}
  {{- end }}
  {{- if or .pool.isolateCredential (not .pool.serviceAccount) }}
  automountServiceAccountToken: false
  {{- end }}
  {{- with include "ado.agentPodSecurity" .pool | fromYaml }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "ado.agentInitContainers" . | trim }}
  initContainers:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    - {{- include "ado.agentContainer" . | nindent 6 }}
  {{- with include "ado.agentVolumes" . | trim }}
  volumes:
    {{- . | nindent 4 }}
  {{- end }}
  {{- range $key := list "priorityClassName" "runtimeClassName" "dnsPolicy" }}
  {{- with get $.pool $key }}
  {{ $key }}: {{ . | quote }}
  {{- end }}
  {{- end }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "hostAliases" "dnsConfig" }}
  {{- with get $.pool $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with include "ado.imagePullSecrets" .root | trim }}
  imagePullSecrets:
    {{- . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "ado.agentPodLabels" -}}
app.kubernetes.io/name: azure-pipelines-agent
app.kubernetes.io/part-of: ado-agent-orchestrator
app.kubernetes.io/managed-by: ado-agent-orchestrator
ado-agent-orchestrator.io/pool: {{ .name | quote }}
ado-agent-orchestrator.io/launcher: ado-agent
{{- if eq .credential.auth.kind "workload-identity" }}
azure.workload.identity/use: "true"
{{- end }}
{{- end -}}

{{- /* A build must not be moved to another node: it would restart, or fail. Where the
       scaler protects builds, an idle agent has nothing that holds it: by default the
       cluster autoscaler evicts no pod with an emptyDir. */ -}}
{{- define "ado.agentPodAnnotations" -}}
{{- if include "ado.evictableIdle" .root }}
{{- $volumes := list }}
{{- range .pool.volumes }}
{{- if hasKey . "emptyDir" }}
{{- $volumes = append $volumes .name }}
{{- end }}
{{- end }}
{{- if .pool.isolateCredential }}
{{- $volumes = append $volumes "agent-keeper" }}
{{- end }}
{{- with $volumes }}
cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes: {{ join "," . | quote }}
{{- end }}
{{- else }}
cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
karpenter.sh/do-not-disrupt: "true"
{{- end }}
{{- with .pool }}
{{- if .isolateCredential }}
{{- $others := list }}
{{- range concat .initContainers .sidecars }}
{{- $others = append $others .name }}
{{- end }}
azure.workload.identity/skip-containers: {{ join ";" (append $others "agent") | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "ado.agentPodSecurity" -}}
{{- $security := dict -}}
{{- if not (or .unrestricted .dockerSocketPath) -}}
{{- $security = dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- end -}}
{{- toYaml (mergeOverwrite $security .podSecurityContext) -}}
{{- end -}}

{{- define "ado.agentSecurity" -}}
{{- $security := dict -}}
{{- if not (or .unrestricted .dockerSocketPath) -}}
{{- $security = dict "allowPrivilegeEscalation" false "capabilities" (dict "drop" (list "ALL")) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $security .securityContext) -}}
{{- end -}}

{{- /* The containers that start before the agent: the keeper, those that end
       first, and those that end with the agent. */ -}}
{{- define "ado.agentInitContainers" -}}
{{- if .pool.isolateCredential }}
- {{- include "ado.keeperContainer" . | nindent 2 }}
{{- end }}
{{- range .pool.initContainers }}
- {{- include "ado.withProtocols" . | nindent 2 }}
{{- end }}
{{- range .pool.sidecars }}
- {{- include "ado.withProtocols" (mergeOverwrite (deepCopy .) (dict "restartPolicy" "Always")) | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* A container with the protocols that KEDA's CRD demands. */ -}}
{{- define "ado.withProtocols" -}}
{{- $container := deepCopy . -}}
{{- range $container.ports -}}
{{- $_ := set . "protocol" (.protocol | default "TCP") -}}
{{- end -}}
{{- toYaml $container -}}
{{- end -}}

{{- /* The sidecar that holds the credential. */ -}}
{{- define "ado.keeperContainer" -}}
{{- toYaml (mergeOverwrite (include "ado.ownKeeperContainer" . | fromYaml) .pool.keeper) -}}
{{- end -}}

{{- define "ado.ownKeeperContainer" -}}
name: keeper
image: {{ include "ado.agentImage" . | toYaml }}
{{- with .pool.container.imagePullPolicy | default (include "ado.pullPolicy" .pool.image) }}
imagePullPolicy: {{ . | quote }}
{{- end }}
restartPolicy: Always
env:
  {{- include "ado.roleEnv" "keeper" | nindent 2 }}
  {{- include "ado.agentEnv" . | nindent 2 }}
resources:
  requests:
    cpu: 50m
    memory: 128Mi
{{- with include "ado.agentSecurity" .pool | fromYaml }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  {{- include "ado.keeperMounts" . | trim | nindent 2 }}
{{- end -}}

{{- /* The container that runs the agent. */ -}}
{{- define "ado.agentContainer" -}}
{{- include "ado.withProtocols" (mergeOverwrite (include "ado.ownAgentContainer" . | fromYaml) .pool.container) -}}
{{- end -}}

{{- define "ado.ownAgentContainer" -}}
name: agent
image: {{ include "ado.agentImage" . | toYaml }}
{{- with include "ado.pullPolicy" .pool.image }}
imagePullPolicy: {{ . | quote }}
{{- end }}
env:
  {{- include (ternary "ado.runnerEnv" "ado.agentEnv" .pool.isolateCredential) . | nindent 2 }}
{{- with .pool.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "ado.agentMounts" . | trim }}
volumeMounts:
  {{- . | nindent 2 }}
{{- end }}
{{- with .pool.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "ado.agentSecurity" .pool | fromYaml }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
