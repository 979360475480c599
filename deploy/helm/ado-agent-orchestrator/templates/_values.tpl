{{- /* Not empty if there is anything to render. Each file asks it first, since it
       prepares the values: defaults in place of null, and a check of them all. */ -}}
{{- define "ado.enabled" -}}
{{- if not (hasKey . "prepared") -}}
{{- $defaults := .Files.Get "files/defaults.yaml" | fromYaml -}}
{{- $_ := set . "Values" (mergeOverwrite $defaults .Values) -}}
{{- if .Values.enabled -}}
{{- include "ado.check" . -}}
{{- end -}}
{{- $_ = set . "prepared" true -}}
{{- end -}}
{{- if .Values.enabled -}}
true
{{- end -}}
{{- end -}}
