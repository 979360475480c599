{{- /* The variables of a proxy, for the scaler and the agents. Nothing inside the
       cluster is reached by way of it, and neither is Azure's metadata service. */ -}}
{{- define "ado.proxyEnv" -}}
{{- with .Values.proxy }}
{{- with .http }}
- name: HTTP_PROXY
  value: {{ . | replace "$" "$$" | quote }}
{{- end }}
{{- with .https }}
- name: HTTPS_PROXY
  value: {{ . | replace "$" "$$" | quote }}
{{- end }}
{{- if or .http .https }}
{{- $direct := list "localhost" "127.0.0.1" "169.254.169.254" ".svc" ".cluster.local" "$(KUBERNETES_SERVICE_HOST)" }}
- name: NO_PROXY
  value: {{ join "," (concat $direct .exclude) | quote }}
{{- end }}
{{- end }}
{{- end -}}
