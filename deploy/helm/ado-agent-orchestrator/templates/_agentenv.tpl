{{- /* The agents' variables, in jobtemplate's order. Given are root and pool. */ -}}
{{- define "ado.agentEnv" -}}
{{ include "ado.ownAgentEnv" . }}
{{- with .pool.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Those of them that the chart sets. */ -}}
{{- define "ado.ownAgentEnv" -}}
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
      name: {{ .pool.credential.existingSecret | quote }}
      key: {{ .pool.credential.existingSecretKey | quote }}
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
{{- include "ado.proxyEnv" (dict "root" .root "env" .pool.env) }}
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
      name: {{ .existingSecret | quote }}
      key: {{ .existingSecretKey | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* The variables of the agent's container if the credential is isolated. */ -}}
{{- define "ado.runnerEnv" -}}
{{- $hidden := include "ado.keeperVariables" .pool | fromYamlArray -}}
{{ include "ado.roleEnv" "runner" }}
{{- range include "ado.agentEnv" . | fromYamlArray }}
{{- if not (has .name $hidden) }}
{{ list . | toYaml }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* The names of those that only the keeper has. */ -}}
{{- define "ado.keeperVariables" -}}
- AZP_URL
- AZP_POOL
- AZP_TOKEN
- AZP_AGENT_NAME
- AZP_CAPABILITIES
- AZP_IDLE_TIMEOUT
- AZP_AUTH
{{- if ne .credential.auth.kind "pat" }}
- AZURE_TENANT_ID
- AZURE_CLIENT_ID
- AZURE_CLIENT_SECRET
- AZURE_CLIENT_SECRET_FILE
- AZURE_CLIENT_CERTIFICATE_PATH
- AZURE_CLIENT_CERTIFICATE_PASSWORD
- AZURE_FEDERATED_TOKEN_FILE
- AZURE_AUTHORITY_HOST
- IDENTITY_ENDPOINT
- IDENTITY_HEADER
- MSI_ENDPOINT
- MSI_SECRET
{{- end }}
{{- end -}}

{{- define "ado.roleEnv" -}}
- name: AZP_ROLE
  value: {{ . }}
- name: AZP_SHARED_DIR
  value: /azp/shared
{{- end -}}
