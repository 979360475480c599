{{- /* The fields below jobTargetRef that ScaledJobs of this KEDA do not have, as
       JSON: {"list": […]}. keda.version decides; without it, the CRD is looked up,
       once, since it is large. Users without rights in the whole cluster cannot read it. */ -}}
{{- define "ado.missingFields" -}}
{{- if not (hasKey . "missingFields") -}}
{{- $version := .Values.keda.version -}}
{{- $schema := dict -}}
{{- if not $version -}}
{{- $schema = include "ado.jobTargetRefSchema" . | fromJson -}}
{{- end -}}
{{- $missing := list -}}
{{- range $since, $fields := .Files.Get "files/keda-fields.yaml" | fromYaml -}}
{{- range $fields -}}
{{- if $version -}}
{{- if semverCompare (printf "<%s.0-0" $since) $version -}}
{{- $missing = append $missing . -}}
{{- end -}}
{{- else if $schema -}}
{{- if not (include "ado.hasField" (dict "schema" $schema "names" (splitList "." .))) -}}
{{- $missing = append $missing . -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := set . "missingFields" $missing -}}
{{- end -}}
{{- dict "list" .missingFields | toJson -}}
{{- end -}}

{{- /* The schema of jobTargetRef in the cluster's CRD, {} without a cluster. */ -}}
{{- define "ado.jobTargetRefSchema" -}}
{{- $schema := dict -}}
{{- $crd := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "scaledjobs.keda.sh" -}}
{{- range ($crd.spec | default dict).versions -}}
{{- if eq .name "v1alpha1" -}}
{{- $schema = .schema.openAPIV3Schema.properties.spec.properties.jobTargetRef -}}
{{- end -}}
{{- end -}}
{{- $schema | toJson -}}
{{- end -}}

{{- /* Whether a schema has a field: not empty if so. An asterisk among its names
       stands for any, and names of lists for their items. */ -}}
{{- define "ado.hasField" -}}
{{- $schema := .schema.items | default .schema -}}
{{- if or (empty .names) (get $schema "x-kubernetes-preserve-unknown-fields") -}}
true
{{- else -}}
{{- range $name, $property := $schema.properties -}}
{{- if has (first $.names) (list "*" $name) -}}
{{- include "ado.hasField" (dict "schema" $property "names" (rest $.names)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Whether this KEDA's ScaledJobs lack a field: true or nothing. */ -}}
{{- define "ado.lacks" -}}
{{- if has .field (include "ado.missingFields" .root | fromJson).list -}}
true
{{- end -}}
{{- end -}}

{{- /* Removes fields, each a list of names, from a value, and mappings that have
       nothing else. Their paths are added to omitted, a dict. */ -}}
{{- define "ado.omit" -}}
{{- if kindIs "slice" .value -}}
{{- range $i, $item := .value -}}
{{- include "ado.omit" (dict "value" $item "fields" $.fields "path" (printf "%s[%d]" $.path $i) "omitted" $.omitted) -}}
{{- end -}}
{{- else if kindIs "map" .value -}}
{{- range $name := keys .value | sortAlpha -}}
{{- $path := printf "%s.%s" $.path $name -}}
{{- $below := list -}}
{{- range $names := $.fields -}}
{{- if not (has (first $names) (list "*" $name)) -}}
{{- else if eq (len $names) 1 -}}
{{- $_ := unset $.value $name -}}
{{- $_ = set $.omitted $path true -}}
{{- else -}}
{{- $below = append $below (rest $names) -}}
{{- end -}}
{{- end -}}
{{- if and $below (hasKey $.value $name) -}}
{{- $before := len $.omitted -}}
{{- include "ado.omit" (dict "value" (get $.value $name) "fields" $below "path" $path "omitted" $.omitted) -}}
{{- if and (gt (len $.omitted) $before) (empty (get $.value $name)) -}}
{{- $_ := unset $.value $name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The namespaces where KEDA runs, as JSON: {"list": […]}. Those that it is
       usually in if it is not found. With networkPolicy.kedaNamespaces nothing is looked up. */ -}}
{{- define "ado.kedaNamespaces" -}}
{{- $usual := list "keda" "kube-system" "openshift-keda" -}}
{{- $found := .Values.networkPolicy.kedaNamespaces -}}
{{- if not $found -}}
{{- range $usual -}}
{{- if lookup "apps/v1" "Deployment" . "keda-operator" -}}
{{- $found = append $found . -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- range (lookup "apps/v1" "Deployment" "" "").items -}}
{{- if eq .metadata.name "keda-operator" -}}
{{- $found = append $found .metadata.namespace -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "list" ($found | default $usual) | toJson -}}
{{- end -}}
