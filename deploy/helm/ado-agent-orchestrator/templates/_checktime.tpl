{{- /* Durations that the scaler refuses when it starts. */ -}}
{{- define "ado.settingMistakes" -}}
{{- range $path, $bounds := include "ado.durationBounds" . | fromYaml -}}
{{- $names := splitList "." $path -}}
{{- $value := get (get $.Values (first $names)) (last $names) -}}
{{- include "ado.durationMistakes" (merge (dict "path" $path "value" $value) $bounds) -}}
{{- end -}}
{{- end -}}

{{- /* These are the program's. */ -}}
{{- define "ado.durationBounds" -}}
settings.staleFor:
  min: 1s
  max: 1h
settings.requestTimeout:
  min: 100ms
  max: 5m
settings.acceptableWait:
  min: 1s
housekeeping.offlineAfter:
  min: 1s
{{- end -}}

{{- /* Given are path, value, min, and max if there is one. */ -}}
{{- define "ado.durationMistakes" -}}
{{- if .value -}}
{{- $length := include "ado.milliseconds" .value | float64 -}}
{{- if lt $length (include "ado.milliseconds" .min | float64) -}}
{{- println (printf "%s: %s must not be less than %s" .path .value .min) -}}
{{- else if and .max (gt $length (include "ado.milliseconds" .max | float64)) -}}
{{- println (printf "%s: %s must not be more than %s" .path .value .max) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The length of a duration, by a date that it is added to. */ -}}
{{- define "ado.milliseconds" -}}
{{- $date := toDate "2006-01-02" "2000-01-01" -}}
{{- divf (($date | mustDateModify .).Sub $date).Microseconds 1000 -}}
{{- end -}}

{{- /* Of the agents that wait for jobs, and of the pods that keep nodes for them. */ -}}
{{- define "ado.warmMistakes" -}}
{{- $path := .path -}}
{{- $pool := .pool -}}
{{- range $key := list "warm" "warmNodes" -}}
{{- include "ado.periodMistakes" (dict "warm" (get $pool $key) "max" $pool.max "path" (printf "%s.%s" $path $key)) -}}
{{- end -}}
{{- range $i, $p := $pool.warmNodes.periods -}}
{{- if or $p.busyPercent $p.max -}}
{{- println (printf "%s.warmNodes.periods[%d]: busyPercent and max are for warm only" $path $i) -}}
{{- end -}}
{{- end -}}
{{- if and $pool.warm.maxAge (not $.root.Values.housekeeping.endIdle) -}}
{{- println (printf "%s.warm.maxAge: requires housekeeping.endIdle" $path) -}}
{{- end -}}
{{- include "ado.durationMistakes" (dict "path" (print $path ".warm.maxAge") "value" $pool.warm.maxAge "min" "1m") -}}
{{- range $i, $p := $pool.warm.periods -}}
{{- $at := printf "%s.warm.periods[%d]" $path $i -}}
{{- if and $p.max (not $p.busyPercent) -}}
{{- println (printf "%s.max: requires busyPercent, which it bounds" $at) -}}
{{- else if and $p.max (lt (int $p.max) (int $p.minIdle)) -}}
{{- println (printf "%s.max: %d must not be less than minIdle, %d" $at (int $p.max) (int $p.minIdle)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The scaler warns of periods that overlap. */ -}}
{{- define "ado.periodMistakes" -}}
{{- if and .warm.timeZone (not .warm.periods) -}}
{{- println (printf "%s.timeZone: requires periods" .path) -}}
{{- end -}}
{{- range $i, $p := .warm.periods -}}
{{- $at := printf "%s.periods[%d]" $.path $i -}}
{{- if eq $p.from $p.to -}}
{{- println (printf "%s.to: must differ from from; the whole day is from 00:00 to 24:00" $at) -}}
{{- end -}}
{{- if gt (int $p.minIdle) (int $.max) -}}
{{- println (printf "%s.minIdle: %d must not be more than the agents' max, %d" $at (int $p.minIdle) (int $.max)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
