{{- /* The variables that the chart sets in the scaler's container. */ -}}
{{- define "ado.scalerEnv" -}}
{{- if .Values.organizations -}}
- name: ORGANIZATIONS_FILE
  value: /etc/ado-agent-orchestrator/organizations.yaml
{{- else -}}
{{- $organization := (include "ado.organizations" . | fromJson).list | first -}}
{{ include "ado.organizationEnv" (dict "organization" $organization) }}
{{- end }}
{{- if .Values.ca.existingConfigMap }}
- name: CA_FILE
  value: /etc/azure-devops/ca/ca.crt
{{- end }}
{{- if .Values.allowHTTP }}
- name: ALLOW_HTTP
  value: "true"
{{- end }}
- name: POLLING_DELAY
  value: {{ .Values.settings.pollingDelay | int64 | quote }}
- name: STALE_FOR
  value: {{ .Values.settings.staleFor }}
- name: REQUEST_TIMEOUT
  value: {{ .Values.settings.requestTimeout }}
- name: ACCEPTABLE_WAIT
  value: {{ .Values.settings.acceptableWait }}
- name: CAP_BY_PARALLEL_JOBS
  value: {{ .Values.settings.capByParallelJobs | quote }}
- name: STATUS
  value: {{ .Values.settings.status | quote }}
- name: KUBE
  value: {{ ternary "on" "off" .Values.kubernetes.enabled | quote }}
{{- if .Values.kubernetes.enabled }}
{{- with join "," (include "ado.viewedNamespaces" . | fromJson).list }}
- name: KUBE_NAMESPACES
  value: {{ . | quote }}
{{- end }}
{{- end }}
- name: SCALER_ADDRESS
  value: {{ include "ado.scalerAddress" . | quote }}
{{ include "ado.housekeepingEnv" . }}
{{- if ne .Values.tls.mode "none" }}
- name: TLS_CERT_FILE
  value: /var/run/secrets/tls/tls.crt
- name: TLS_KEY_FILE
  value: /var/run/secrets/tls/tls.key
{{- if .Values.tls.mutual }}
- name: TLS_CLIENT_CA_FILE
  value: /var/run/secrets/tls/ca.crt
{{- end }}
{{- end }}
- name: LOG_LEVEL
  value: {{ .Values.settings.logLevel }}
- name: LOG_FORMAT
  value: {{ .Values.settings.logFormat }}
{{- include "ado.proxyEnv" (dict "root" . "env" .Values.env) }}
{{- end -}}

{{- define "ado.housekeepingEnv" -}}
- name: LEADER_ELECTION
  value: {{ ternary "on" "off" (eq (include "ado.housekeeping" .) "true") | quote }}
{{- if include "ado.housekeeping" . }}
- name: LEASE_NAME
  value: {{ include "ado.fullname" . | quote }}
{{- end }}
{{- with .Values.housekeeping }}
- name: PLACEHOLDERS
  value: {{ .placeholders | quote }}
- name: OFFLINE_AGENTS
  value: {{ .offlineAgents | quote }}
- name: OFFLINE_AFTER
  value: {{ .offlineAfter }}
- name: STUCK_AFTER
  value: {{ ternary .stuckAfter "0" $.Values.kubernetes.enabled | quote }}
- name: DELETE_STUCK
  value: {{ .deleteStuck | quote }}
- name: END_IDLE
  value: {{ .endIdle | quote }}
- name: ANNOTATE_JOBS
  value: {{ .annotateJobs | quote }}
- name: EVICTABLE_IDLE
  value: {{ .evictableIdle | quote }}
- name: HOUSEKEEPING_DRY_RUN
  value: {{ .dryRun | quote }}
{{- with .owner }}
- name: HOUSEKEEPING_OWNER
  value: {{ . | replace "$" "$$" | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* The fields of the scaler's pods that the pods of helm test have too. */ -}}
{{- define "ado.podFields" -}}
{{- range $key := list "priorityClassName" "runtimeClassName" "dnsPolicy" }}
{{- with get $.Values $key }}
{{ $key }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- with include "ado.imagePullSecrets" . | trim }}
imagePullSecrets:
  {{- . | nindent 2 }}
{{- end }}
{{- range $key := list "hostAliases" "dnsConfig" "nodeSelector" "tolerations" }}
{{- with get $.Values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* The scaler's volumes, in the order of its mounts. */ -}}
{{- define "ado.volumes" -}}
{{- range $i, $o := (include "ado.organizations" . | fromJson).list }}
{{- if include "ado.hasSecret" $o }}
- name: azure-devops-{{ $i }}
  secret:
    secretName: {{ $o.existingSecret | quote }}
    items:
      - key: {{ $o.existingSecretKey | quote }}
        path: credential
{{- end }}
{{- end }}
{{- if .Values.organizations }}
- name: organizations
  configMap:
    name: {{ include "ado.fullname" . }}-organizations
{{- end }}
{{- include "ado.caVolume" . }}
{{- if ne .Values.tls.mode "none" }}
- name: tls
  secret:
    secretName: {{ include "ado.tlsSecret" . | quote }}
{{- end }}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ado.mounts" -}}
{{- range $i, $o := (include "ado.organizations" . | fromJson).list }}
{{- if include "ado.hasSecret" $o }}
- name: azure-devops-{{ $i }}
  mountPath: {{ dir (include "ado.credentialFile" $i) }}
  readOnly: true
{{- end }}
{{- end }}
{{- if .Values.organizations }}
- name: organizations
  mountPath: /etc/ado-agent-orchestrator
  readOnly: true
{{- end }}
{{- include "ado.caMount" . }}
{{- if ne .Values.tls.mode "none" }}
- name: tls
  mountPath: /var/run/secrets/tls
  readOnly: true
{{- end }}
{{- with .Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The additional authorities, for the scaler and the agents. */ -}}
{{- define "ado.caVolume" -}}
{{- with .Values.ca.existingConfigMap }}
- name: azure-devops-ca
  configMap:
    name: {{ . | quote }}
    items:
      - key: {{ $.Values.ca.key | quote }}
        path: ca.crt
{{- end }}
{{- end -}}

{{- define "ado.caMount" -}}
{{- if .Values.ca.existingConfigMap }}
- name: azure-devops-ca
  mountPath: /etc/azure-devops/ca
  readOnly: true
{{- end }}
{{- end -}}

{{- /* The scaler restarts if what it reads only at its start changes. It reads
       tokens, secrets and certificates again by itself. */ -}}
{{- define "ado.checksums" -}}
{{- if .Values.organizations }}
checksum/organizations: {{ include "ado.organizationsFile" . | sha256sum }}
{{- end }}
{{- with .Values.ca.existingConfigMap }}
{{- with lookup "v1" "ConfigMap" (include "ado.namespace" $) . }}
checksum/ca: {{ get (.data | default dict) $.Values.ca.key | toString | sha256sum }}
{{- end }}
{{- end }}
{{- with include "ado.envContent" . }}
checksum/env: {{ sha256sum . }}
{{- end }}
{{- end -}}

{{- /* The Secrets and ConfigMaps of env and envFrom. Their UIDs, which only readers of
       them know, keep others from guessing a password by the checksum. */ -}}
{{- define "ado.envContent" -}}
{{- $kinds := dict "secretRef" "Secret" "secretKeyRef" "Secret" "configMapRef" "ConfigMap" "configMapKeyRef" "ConfigMap" -}}
{{- $sources := .Values.envFrom -}}
{{- range .Values.env -}}
{{- $sources = append $sources (.valueFrom | default dict) -}}
{{- end -}}
{{- range $source := $sources -}}
{{- range $field, $kind := $kinds -}}
{{- with (get $source $field | default dict).name -}}
{{- with lookup "v1" $kind (include "ado.namespace" $) . -}}
{{- println .metadata.uid (toJson .data) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
