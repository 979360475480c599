{{- define "ado.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* It leaves room for suffixes such as -keda-client. */ -}}
{{- define "ado.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "ado.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "ado.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "ado.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ado.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ado.labels" -}}
{{ include "ado.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: ado-agent-orchestrator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "ado.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "ado.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "ado.agentServiceAccountName" -}}
{{- if .Values.agentServiceAccount.create -}}
{{- default (printf "%s-agents" (include "ado.fullname" .)) .Values.agentServiceAccount.name -}}
{{- else -}}
{{- .Values.agentServiceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "ado.image" -}}
{{- $image := .Values.image -}}
{{- $released := index (.Chart.Annotations | default dict) "ado-agent-orchestrator.io/scaler-digest" -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else if $image.tag -}}
{{ $image.repository }}:{{ $image.tag }}
{{- else if $released -}}
{{ $image.repository }}@{{ $released }}
{{- else -}}
{{ $image.repository }}:{{ .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "ado.agentImage" -}}
{{- $released := index (.Chart.Annotations | default dict) "ado-agent-orchestrator.io/agent-digest" -}}
ghcr.io/ado-agent-orchestrator/agent{{ ternary (printf "@%s" $released) (printf ":%s" .Chart.AppVersion) (not (empty $released)) }}
{{- end -}}

{{- define "ado.serviceHost" -}}
{{ include "ado.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{- define "ado.scalerAddress" -}}
{{- default (printf "%s:%v" (include "ado.serviceHost" .) .Values.service.port) .Values.scalerAddress -}}
{{- end -}}

{{- /* Which Secrets hold the certificates. */ -}}
{{- define "ado.tlsSecret" -}}
{{- if eq .Values.tls.mode "secret" -}}
{{ .Values.tls.existingSecret }}
{{- else -}}
{{ include "ado.fullname" . }}-tls
{{- end -}}
{{- end -}}

{{- define "ado.tlsClientSecret" -}}
{{- if eq .Values.tls.mode "secret" -}}
{{ .Values.tls.existingClientSecret }}
{{- else -}}
{{ include "ado.fullname" . }}-keda-client
{{- end -}}
{{- end -}}

{{- /* Whether there is housekeeping to do: true or nothing. */ -}}
{{- define "ado.viewedNamespaces" -}}
{{- $namespaces := .Values.kubernetes.namespaces | default (list .Release.Namespace) -}}
{{- dict "list" (ternary (list "") $namespaces (has "*" $namespaces)) | toJson -}}
{{- end -}}

{{- define "ado.housekeeping" -}}
{{- $h := .Values.housekeeping -}}
{{- if and .Values.kubernetes.enabled (or $h.placeholders $h.offlineAgents $h.endIdle (ne $h.stuckAfter "0")) -}}
true
{{- end -}}
{{- end -}}
