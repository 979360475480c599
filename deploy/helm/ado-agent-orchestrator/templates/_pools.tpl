{{- /* The ScaledJob's name for a pool, as jobtemplate.Name makes it. That folds
       upper and lower case of all scripts, which cannot be done here: a pool
       whose name is not ASCII requires a name. */ -}}
{{- define "ado.scaledJobName" -}}
{{- if .name -}}
{{- .name -}}
{{- else -}}
{{- $prefix := "agent-job-" -}}
{{- $room := sub 51 (len $prefix) | int -}}
{{- $folded := lower .pool -}}
{{- $label := regexReplaceAll "[^a-z0-9]+" $folded "-" | trimAll "-" -}}
{{- if and (eq $label $folded) (le (len $label) $room) (not (regexMatch "(^|-)[0-9a-f]{8}$" $label)) -}}
{{- print $prefix $label -}}
{{- else -}}
{{- $label = regexReplaceAll "-+$" (trunc (int (sub $room 9)) $label) "" -}}
{{- print $prefix $label (ternary "-" "" (ne $label "")) (sha256sum $folded | trunc 8) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* One of agentPools laid over agents, with its name, its organization's URL
       and its credential, as JSON. Given are root and pool. */ -}}
{{- define "ado.agentPool" -}}
{{- $root := .root -}}
{{- $defaults := deepCopy $root.Values.agents -}}
{{- if kindIs "string" .pool.image -}}
{{- $defaults = omit $defaults "image" -}}
{{- end -}}
{{- $pool := mergeOverwrite $defaults (deepCopy .pool) -}}
{{- $organizations := (include "ado.organizations" $root | fromJson).list -}}
{{- $organization := first $organizations -}}
{{- $key := include "ado.organizationKey" ($pool.organizationURL | default "") -}}
{{- range $organizations -}}
{{- if eq (include "ado.organizationKey" .url) $key -}}
{{- $organization = . -}}
{{- end -}}
{{- end -}}
{{- $credential := $pool.credential -}}
{{- if and (not $credential.existingSecret) (not $credential.auth.kind) -}}
{{- $credential = pick $organization "existingSecret" "existingSecretKey" "auth" -}}
{{- end -}}
{{- $kind := dict "kind" ($credential.auth.kind | default "pat") -}}
{{- $_ := set $pool "credential" (merge (dict "auth" $kind) $credential) -}}
{{- $_ = set $pool "organizationURL" $organization.url -}}
{{- $_ = set $pool "name" (include "ado.scaledJobName" $pool) -}}
{{- $_ = set $pool "serviceAccount" ($pool.serviceAccount | default (include "ado.agentServiceAccountName" $root)) -}}
{{- /* Without labels of theirs, Azure's webhook ignores the pods. */ -}}
{{- $unlabelled := include "ado.lacks" (dict "root" $root "field" "template.metadata.labels") -}}
{{- $_ = set $pool "mountIdentity" (and (eq $pool.credential.auth.kind "workload-identity") (ne $unlabelled "")) -}}
{{- $pool | toJson -}}
{{- end -}}

{{- define "ado.capabilities" -}}
{{- $items := list -}}
{{- range $name, $value := .capabilities -}}
{{- $items = append $items (ternary $name (printf "%s=%s" $name $value) (empty $value)) -}}
{{- end -}}
{{- join "," $items -}}
{{- end -}}

{{- /* The periods of a warm value in the scaler's grammar. */ -}}
{{- define "ado.warm" -}}
{{- $list := list -}}
{{- range .periods -}}
{{- $text := printf "%s-%s %d" .from .to (.minIdle | int64) -}}
{{- with .days -}}
{{- $text = printf "%s %s" . $text -}}
{{- end -}}
{{- with .busyPercent -}}
{{- $text = printf "%s +%d%%" $text (. | int64) -}}
{{- end -}}
{{- with .max -}}
{{- $text = printf "%s max %d" $text (. | int64) -}}
{{- end -}}
{{- $list = append $list $text -}}
{{- end -}}
{{- join "; " $list -}}
{{- end -}}

{{- /* The metadata of a pool's trigger, as YAML. Given are root and pool. */ -}}
{{- define "ado.triggerMetadata" -}}
scalerAddress: {{ include "ado.scalerAddress" .root | quote }}
organizationURL: {{ .pool.organizationURL | quote }}
poolName: {{ .pool.pool | quote }}
{{- with include "ado.capabilities" .pool }}
capabilities: {{ . | quote }}
{{- end }}
{{- with .pool.priority }}
priority: {{ . | int64 | quote }}
{{- end }}
{{- with .pool.shard }}
shard: {{ . | quote }}
{{- end }}
{{- with .pool.minIdle }}
minIdle: {{ . | int64 | quote }}
{{- end }}
{{- with include "ado.warm" .pool.warm }}
warm: {{ . | quote }}
{{- end }}
{{- with .pool.warm.timeZone }}
warmTimeZone: {{ . | quote }}
{{- end }}
{{- with .pool.warm.maxAge }}
warmMaxAge: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "ado.scaledJobLabels" -}}
app.kubernetes.io/name: azure-pipelines-agent
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/part-of: ado-agent-orchestrator
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
ado-agent-orchestrator.io/pool: {{ .pool.name | quote }}
ado-agent-orchestrator.io/launcher: ado-agent
{{- end -}}
