{{- define "ado.name" -}}
{{- default .Chart.Name .Values.nameOverride | include "ado.short" -}}
{{- end -}}

{{- define "ado.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | include "ado.short" -}}
{{- else if contains (include "ado.name" .) .Release.Name -}}
{{- .Release.Name | include "ado.short" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "ado.name" .) | include "ado.short" -}}
{{- end -}}
{{- end -}}

{{- /* A name with room for suffixes such as -keda-client. The name of a release may
       have dots, which that of a Service may not. */ -}}
{{- define "ado.short" -}}
{{- regexReplaceAll "-+$" (replace "." "-" . | trunc 40) "" -}}
{{- end -}}

{{- define "ado.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{- define "ado.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ado.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- /* Those of the pods of helm test, which the NetworkPolicy lets in. */ -}}
{{- define "ado.testLabels" -}}
app.kubernetes.io/name: {{ printf "%s-test" (include "ado.name" .) | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "ado.labels" -}}
{{ include "ado.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: ado-agent-orchestrator
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | quote }}
{{- end -}}

{{- /* Metadata of an object beside its namespace. Given are root, name, and
       optionally labels and annotations that the values have for it. */ -}}
{{- define "ado.metadata" -}}
name: {{ .name | quote }}
labels:
  {{- $own := .ownLabels | default (include "ado.labels" .root) | fromYaml }}
  {{- toYaml (mergeOverwrite (dict) .root.Values.commonLabels (.labels | default dict) $own) | nindent 2 }}
{{- with mergeOverwrite (dict) .root.Values.commonAnnotations (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Metadata of an object in the chart's namespace. */ -}}
{{- define "ado.namespacedMetadata" -}}
namespace: {{ include "ado.namespace" .root | quote }}
{{ include "ado.metadata" . }}
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

{{- define "ado.serviceHost" -}}
{{ include "ado.fullname" . }}.{{ include "ado.namespace" . }}.svc
{{- end -}}

{{- define "ado.scalerAddress" -}}
{{- default (printf "%s:%d" (include "ado.serviceHost" .) (int64 .Values.service.port)) .Values.scalerAddress -}}
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

{{- /* The namespaces that the scaler watches, as JSON: {"list": […]}; the only one is
       "" if it watches all. */ -}}
{{- define "ado.viewedNamespaces" -}}
{{- $namespaces := .Values.kubernetes.namespaces | default (list (include "ado.namespace" .)) -}}
{{- dict "list" (ternary (list "") $namespaces (has "*" $namespaces)) | toJson -}}
{{- end -}}

{{- /* Whether there is housekeeping to do: true or nothing. */ -}}
{{- define "ado.housekeeping" -}}
{{- $h := .Values.housekeeping -}}
{{- if and .Values.kubernetes.enabled (or $h.placeholders $h.offlineAgents $h.endIdle $h.annotateJobs $h.evictableIdle (ne $h.stuckAfter "0")) -}}
true
{{- end -}}
{{- end -}}

{{- /* Whether the scaler protects agents with a job, and only them: true or nothing. */ -}}
{{- define "ado.evictableIdle" -}}
{{- with .Values.housekeeping -}}
{{- if and .evictableIdle (not .dryRun) -}}
true
{{- end -}}
{{- end -}}
{{- end -}}
