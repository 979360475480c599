{{- /* The reference of an image. Given are root, image, which is a reference or a
       mapping, and the digest that the release has added to the chart. */ -}}
{{- define "ado.image" -}}
{{- if kindIs "string" .image -}}
{{- .image -}}
{{- else -}}
{{- $repository := .image.repository -}}
{{- with .image.registry | default (dig "global" "imageRegistry" "" .root.Values) -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (include "ado.withoutRegistry" $repository) -}}
{{- end -}}
{{- if .image.digest -}}
{{ $repository }}@{{ .image.digest }}
{{- else if .image.tag -}}
{{ $repository }}:{{ .image.tag }}
{{- else if .released -}}
{{ $repository }}@{{ .released }}
{{- else -}}
{{ $repository }}:{{ .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* A repository's first part is its registry if it looks like a host. */ -}}
{{- define "ado.withoutRegistry" -}}
{{- regexReplaceAll "^(localhost|[^/]*[.:][^/]*)/" . "" -}}
{{- end -}}

{{- define "ado.scalerImage" -}}
{{- $released := index (.Chart.Annotations | default dict) "ado-agent-orchestrator.io/scaler-digest" -}}
{{- include "ado.image" (dict "root" . "image" .Values.image "released" $released) -}}
{{- end -}}

{{- /* The image of a pool's agents. Given are root and pool. */ -}}
{{- define "ado.agentImage" -}}
{{- $released := index (.root.Chart.Annotations | default dict) "ado-agent-orchestrator.io/agent-digest" -}}
{{- include "ado.image" (dict "root" .root "image" .pool.image "released" $released) -}}
{{- end -}}

{{- /* Those of the chart and of all charts, each once. Those of all charts are names or
       mappings. */ -}}
{{- define "ado.imagePullSecrets" -}}
{{- $names := list -}}
{{- range concat .Values.imagePullSecrets (dig "global" "imagePullSecrets" list .Values | default list) -}}
{{- if kindIs "string" . -}}
{{- $names = append $names . -}}
{{- else -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- end -}}
{{- range $names | uniq }}
- name: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "ado.pullPolicy" -}}
{{- if kindIs "map" . -}}
{{- .pullPolicy -}}
{{- end -}}
{{- end -}}
