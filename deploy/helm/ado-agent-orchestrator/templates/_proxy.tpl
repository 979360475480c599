{{- /* The variables of a proxy, for the scaler and the agents. Nothing inside the
       cluster is reached by way of it, and neither is Azure's metadata service. Given
       are root, and env, which may have a proxy too. */ -}}
{{- define "ado.proxyEnv" -}}
{{- $env := .env }}
{{- with .root.Values.proxy }}
{{- with .http }}
- name: HTTP_PROXY
  value: {{ . | replace "$" "$$" | quote }}
{{- end }}
{{- with .https }}
- name: HTTPS_PROXY
  value: {{ . | replace "$" "$$" | quote }}
{{- end }}
{{- if or .http .https .exclude (include "ado.proxyInEnv" $env) }}
{{- $direct := list "localhost" "127.0.0.1" "169.254.169.254" ".svc" ".cluster.local" "$(KUBERNETES_SERVICE_HOST)" }}
- name: NO_PROXY
  value: {{ join "," (concat $direct .exclude) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Whether variables set a proxy without exceptions: true or nothing. */ -}}
{{- define "ado.proxyInEnv" -}}
{{- $names := list -}}
{{- range . -}}
{{- $names = append $names (upper .name) -}}
{{- end -}}
{{- if and (or (has "HTTP_PROXY" $names) (has "HTTPS_PROXY" $names)) (not (has "NO_PROXY" $names)) -}}
true
{{- end -}}
{{- end -}}
