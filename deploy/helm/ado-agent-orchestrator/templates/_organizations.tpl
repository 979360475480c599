{{- /* All organizations, as JSON: {"list": […]}, each with every key. */ -}}
{{- define "ado.organizations" -}}
{{- $list := list -}}
{{- range .Values.organizations | default (list .Values.organization) -}}
{{- $defaults := include "ado.organizationDefaults" . | fromYaml -}}
{{- $list = append $list (mergeOverwrite $defaults .) -}}
{{- end -}}
{{- dict "list" $list | toJson -}}
{{- end -}}

{{- define "ado.organizationDefaults" -}}
url: ""
existingSecret: ""
existingSecretKey: token
auth:
  kind: pat
  tenantID: ""
  clientID: ""
  certificate: false
{{- end -}}

{{- /* By what two URLs of one organization are the same, as for the scaler. */ -}}
{{- define "ado.organizationKey" -}}
{{- $url := regexReplaceAll "/+$" (trim . | lower) "" -}}
{{- regexReplaceAll "^https?://([^/]+)\\.visualstudio\\.com(/defaultcollection)?$" $url "https://dev.azure.com/${1}" -}}
{{- end -}}

{{- /* Where the n-th organization's credential is in the scaler's container. */ -}}
{{- define "ado.credentialFile" -}}
/var/run/secrets/azure-devops/{{ . }}/credential
{{- end -}}

{{- /* Whether an organization's credential is in a Secret: true or nothing. */ -}}
{{- define "ado.hasSecret" -}}
{{- if has .auth.kind (list "pat" "service-principal") -}}
true
{{- end -}}
{{- end -}}

{{- /* The variables that name the only organization and its credential. */ -}}
{{- define "ado.organizationEnv" -}}
{{- $o := .organization -}}
- name: ORG_URL
  value: {{ $o.url | replace "$" "$$" | quote }}
{{- if eq $o.auth.kind "pat" }}
- name: ORG_PAT_FILE
  value: {{ include "ado.credentialFile" 0 }}
{{- else }}
- name: ORG_AUTH
  value: {{ $o.auth.kind }}
{{- with $o.auth.tenantID }}
- name: AZURE_TENANT_ID
  value: {{ . | quote }}
{{- end }}
{{- with $o.auth.clientID }}
- name: AZURE_CLIENT_ID
  value: {{ . | quote }}
{{- end }}
{{- if eq $o.auth.kind "service-principal" }}
- name: {{ ternary "AZURE_CLIENT_CERTIFICATE_PATH" "AZURE_CLIENT_SECRET_FILE" $o.auth.certificate }}
  value: {{ include "ado.credentialFile" 0 }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* The file that lists several. */ -}}
{{- define "ado.organizationsFile" -}}
organizations:
{{- range $i, $o := (include "ado.organizations" . | fromJson).list }}
  - url: {{ $o.url | quote }}
    {{- if eq $o.auth.kind "pat" }}
    patFile: {{ include "ado.credentialFile" $i }}
    {{- else }}
    auth: {{ $o.auth.kind }}
    {{- with $o.auth.tenantID }}
    tenantID: {{ . | quote }}
    {{- end }}
    {{- with $o.auth.clientID }}
    clientID: {{ . | quote }}
    {{- end }}
    {{- if eq $o.auth.kind "service-principal" }}
    {{ ternary "certificateFile" "clientSecretFile" $o.auth.certificate }}: {{ include "ado.credentialFile" $i }}
    {{- end }}
    {{- end }}
{{- end }}
{{- end -}}

{{- /* The annotations by which Azure's webhook knows a service account: of the
       first organization that asks for it, or of the given credential. */ -}}
{{- define "ado.workloadIdentityAnnotations" -}}
{{- if eq .kind "workload-identity" -}}
{{- with .clientID }}
azure.workload.identity/client-id: {{ . | quote }}
{{- end }}
{{- with .tenantID }}
azure.workload.identity/tenant-id: {{ . | quote }}
{{- end }}
{{- end -}}
{{- end -}}

{{- /* The first organization's auth that is workload identity, else a kind of "". */ -}}
{{- define "ado.workloadIdentity" -}}
{{- $found := dict "kind" "" -}}
{{- range (include "ado.organizations" . | fromJson).list -}}
{{- if and (eq .auth.kind "workload-identity") (eq $found.kind "") -}}
{{- $found = .auth -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{- /* What the service account of the agents is for: the auth of agents.credential,
       or else that of the organizations. */ -}}
{{- define "ado.agentsIdentity" -}}
{{- with .Values.agents.credential -}}
{{- if or .auth.kind .existingSecret -}}
{{- .auth | toJson -}}
{{- else -}}
{{- include "ado.workloadIdentity" $ -}}
{{- end -}}
{{- end -}}
{{- end -}}
