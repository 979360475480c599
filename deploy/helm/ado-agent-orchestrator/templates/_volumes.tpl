{{- /* The scaler's volumes, in the order of its mounts. */ -}}
{{- define "ado.volumes" -}}
{{- $volumes := list -}}
{{- range $i, $o := (include "ado.organizations" . | fromJson).list -}}
{{- if include "ado.hasSecret" $o -}}
{{- $item := dict "key" $o.existingSecretKey "path" "credential" -}}
{{- $volumes = append $volumes (dict "name" (printf "azure-devops-%d" $i) "secret" (dict "secretName" $o.existingSecret "items" (list $item))) -}}
{{- end -}}
{{- end -}}
{{- if .Values.organizations -}}
{{- $volumes = append $volumes (dict "name" "organizations" "configMap" (dict "name" (printf "%s-organizations" (include "ado.fullname" .)))) -}}
{{- end -}}
{{- with .Values.ca -}}
{{- if .existingConfigMap -}}
{{- $volumes = append $volumes (dict "name" "azure-devops-ca" "configMap" (dict "name" .existingConfigMap "items" (list (dict "key" .key "path" "ca.crt")))) -}}
{{- end -}}
{{- end -}}
{{- if ne .Values.tls.mode "none" -}}
{{- $volumes = append $volumes (dict "name" "tls" "secret" (dict "secretName" (include "ado.tlsSecret" .))) -}}
{{- end -}}
{{- with concat $volumes .Values.volumes -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{- define "ado.mounts" -}}
{{- $mounts := list -}}
{{- range $i, $o := (include "ado.organizations" . | fromJson).list -}}
{{- if include "ado.hasSecret" $o -}}
{{- $mounts = append $mounts (dict "name" (printf "azure-devops-%d" $i) "mountPath" (dir (include "ado.credentialFile" $i)) "readOnly" true) -}}
{{- end -}}
{{- end -}}
{{- if .Values.organizations -}}
{{- $mounts = append $mounts (dict "name" "organizations" "mountPath" "/etc/ado-agent-orchestrator" "readOnly" true) -}}
{{- end -}}
{{- if .Values.ca.existingConfigMap -}}
{{- $mounts = append $mounts (dict "name" "azure-devops-ca" "mountPath" "/etc/azure-devops/ca" "readOnly" true) -}}
{{- end -}}
{{- if ne .Values.tls.mode "none" -}}
{{- $mounts = append $mounts (dict "name" "tls" "mountPath" "/var/run/secrets/tls" "readOnly" true) -}}
{{- end -}}
{{- with concat $mounts .Values.volumeMounts -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
