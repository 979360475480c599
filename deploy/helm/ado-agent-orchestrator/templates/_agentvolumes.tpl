{{- /* The volumes of the agents' pods. Given are root and pool. */ -}}
{{- define "ado.agentVolumes" -}}
{{- $credential := .pool.credential -}}
{{- if and (eq $credential.auth.kind "service-principal") $credential.auth.certificate }}
- name: azure-devops-credential
  secret:
    secretName: {{ $credential.existingSecret | quote }}
    items:
      - key: {{ $credential.existingSecretKey | quote }}
        path: credential
{{- end }}
{{- if .pool.mountIdentity }}
- name: azure-identity-token
  projected:
    sources:
      - serviceAccountToken:
          audience: api://AzureADTokenExchange
          expirationSeconds: 3600
          path: azure-identity-token
{{- end }}
{{- include "ado.caVolume" .root }}
{{- with .pool.volumes }}
{{ toYaml . }}
{{- end }}
{{- if .pool.isolateCredential }}
- name: agent-keeper
  emptyDir: {}
{{- end }}
{{- with .pool.dockerSocketPath }}
- name: docker-volume
  hostPath:
    path: {{ . | quote }}
    type: Socket
{{- end }}
{{- end -}}

{{- /* What the agent's container mounts. */ -}}
{{- define "ado.agentMounts" -}}
{{- if not .pool.isolateCredential }}
{{- include "ado.credentialMounts" .pool }}
{{- end }}
{{- include "ado.caMount" .root }}
{{- with .pool.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- if .pool.isolateCredential }}
{{- include "ado.sharedMount" . }}
{{- end }}
{{- with .pool.dockerSocketPath }}
- name: docker-volume
  mountPath: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "ado.keeperMounts" -}}
{{- include "ado.credentialMounts" .pool }}
{{- include "ado.caMount" .root }}
{{- include "ado.sharedMount" . }}
{{- end -}}

{{- define "ado.credentialMounts" -}}
{{- if and (eq .credential.auth.kind "service-principal") .credential.auth.certificate }}
- name: azure-devops-credential
  mountPath: /var/run/secrets/azure-devops
  readOnly: true
{{- end }}
{{- if .mountIdentity }}
- name: azure-identity-token
  mountPath: /var/run/secrets/azure/tokens
  readOnly: true
{{- end }}
{{- end -}}

{{- define "ado.sharedMount" }}
- name: agent-keeper
  mountPath: /azp/shared
{{- end -}}
