{{- /* Mistakes in the formats of strings, by files/formats.yaml, each in one line. */ -}}
{{- define "ado.formatMistakes" -}}
{{- range $format := .Files.Get "files/formats.yaml" | fromYamlArray -}}
{{- range $format.values -}}
{{- include "ado.walk" (dict "value" $.Values "names" (splitList "." .) "path" "" "format" $format) -}}
{{- end -}}
{{- range $path := $format.agents -}}
{{- $names := splitList "." $path -}}
{{- include "ado.walk" (dict "value" $.Values.agents "names" $names "path" "agents" "format" $format) -}}
{{- range $i, $pool := $.Values.agentPools -}}
{{- include "ado.walk" (dict "value" $pool "names" $names "path" (printf "agentPools[%d]" $i) "format" $format) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Follows the names to the values, and compares these with the format. */ -}}
{{- define "ado.walk" -}}
{{- if not .names -}}
{{- include "ado.compare" . -}}
{{- else -}}
{{- $name := first .names -}}
{{- $below := dict "names" (rest .names) "format" .format -}}
{{- if and (kindIs "slice" .value) (eq $name "<item>") -}}
{{- range $i, $item := .value -}}
{{- include "ado.walk" (merge (dict "value" $item "path" (printf "%s[%d]" $.path $i)) $below) -}}
{{- end -}}
{{- else if and (kindIs "map" .value) (eq $name "<key>") -}}
{{- range $key, $_ := .value -}}
{{- include "ado.walk" (merge (dict "value" $key "path" $.path) $below) -}}
{{- end -}}
{{- else if and (kindIs "map" .value) (eq $name "<value>") -}}
{{- range $key, $value := .value -}}
{{- include "ado.walk" (merge (dict "value" $value "path" (printf "%s.%s" $.path $key)) $below) -}}
{{- end -}}
{{- else if and (kindIs "map" .value) (hasKey .value $name) -}}
{{- $path := printf "%s.%s" .path $name | trimPrefix "." -}}
{{- include "ado.walk" (merge (dict "value" (get .value $name) "path" $path) $below) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ado.compare" -}}
{{- if and .value (kindIs "string" .value) -}}
{{- $long := gt (len .value) (int (.format.longest | default 10000)) -}}
{{- if or $long (not (regexMatch .format.pattern .value)) -}}
{{- $shown := ternary "" (printf " %q" (trunc 80 .value)) (empty .format.secret | not) -}}
{{- println (printf "%s:%s %s" (.path | quote | trimAll "\"") $shown .format.words) -}}
{{- end -}}
{{- end -}}
{{- end -}}
