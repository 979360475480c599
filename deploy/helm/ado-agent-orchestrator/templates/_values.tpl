{{- /* Not empty if there is anything to render. Each file asks it first, since it
       prepares the values: defaults in place of null, and a check of them all. */ -}}
{{- define "ado.enabled" -}}
{{- if not (hasKey . "prepared") -}}
{{- $defaults := .Files.Get "files/defaults.yaml" | fromYaml -}}
{{- $values := deepCopy .Values -}}
{{- $_ := unset $values "extraObjects" -}}
{{- include "ado.removeNulls" $values -}}
{{- $values = mergeOverwrite $defaults $values -}}
{{- $_ = set $values "extraObjects" (.Values.extraObjects | default list) -}}
{{- $_ = set . "Values" $values -}}
{{- if .Values.enabled -}}
{{- include "ado.check" . -}}
{{- end -}}
{{- $_ = set . "prepared" true -}}
{{- end -}}
{{- if .Values.enabled -}}
true
{{- end -}}
{{- end -}}

{{- /* A value that is null is unset: Helm does not remove those in lists. */ -}}
{{- define "ado.removeNulls" -}}
{{- if kindIs "map" . -}}
{{- range $name, $value := . -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $ $name -}}
{{- else -}}
{{- include "ado.removeNulls" $value -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" . -}}
{{- range . -}}
{{- include "ado.removeNulls" . -}}
{{- end -}}
{{- end -}}
{{- end -}}
