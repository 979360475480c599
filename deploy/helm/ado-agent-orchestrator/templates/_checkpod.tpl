{{- /* Variables of the scaler. */ -}}
{{- define "ado.envMistakes" -}}
{{- $own := include "ado.scalerEnv" . | fromYamlArray -}}
{{- include "ado.duplicateMistakes" (dict "own" $own "reserved" list "env" .Values.env "path" "") -}}
{{- include "ado.sourceMistakes" (dict "container" .Values "path" "") -}}
{{- range $key := list "initContainers" "extraContainers" -}}
{{- range $i, $container := get $.Values $key -}}
{{- include "ado.sourceMistakes" (dict "container" $container "path" (printf "%s[%d]." $key $i)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Given are pod, the values of the scaler or of a pool, and their path. */ -}}
{{- define "ado.dnsMistakes" -}}
{{- if and (eq .pod.dnsPolicy "None") (not .pod.dnsConfig.nameservers) -}}
{{- println (printf "%sdnsPolicy: None requires dnsConfig.nameservers" .path) -}}
{{- end -}}
{{- end -}}

{{- /* Variables of a container that have no source, or two. */ -}}
{{- define "ado.sourceMistakes" -}}
{{- range $i, $source := .container.envFrom -}}
{{- if eq (empty $source.secretRef) (empty $source.configMapRef) -}}
{{- println (printf "%senvFrom[%d]: must have either secretRef or configMapRef" $.path $i) -}}
{{- end -}}
{{- end -}}
{{- range $i, $variable := .container.env -}}
{{- if and $variable.value $variable.valueFrom -}}
{{- println (printf "%senv[%d]: %s has value and valueFrom; leave one of them out" $.path $i $variable.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Variables that the chart sets, which the values set again. */ -}}
{{- define "ado.duplicateMistakes" -}}
{{- $names := .reserved -}}
{{- range .own -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- range $i, $v := .env -}}
{{- $path := printf "%s.env[%d]" $.path $i | trimPrefix "." -}}
{{- if has $v.name $names -}}
{{- println (printf "%s: %s is set by the other values; leave it out" $path $v.name) -}}
{{- end -}}
{{- $names = append $names $v.name -}}
{{- end -}}
{{- end -}}

{{- /* What would let jobs reach the credential that is to be isolated. */ -}}
{{- define "ado.isolationMistakes" -}}
{{- if .pool.isolateCredential -}}
{{- if .pool.dockerSocketPath -}}
{{- println (printf "%s.isolateCredential: has no effect with dockerSocketPath: a job that can use the socket is root on the node" .path) -}}
{{- end -}}
{{- range $key := list "shareProcessNamespace" "hostPID" "automountServiceAccountToken" -}}
{{- if get ($.pool.podTemplate.spec | default dict) $key -}}
{{- println (printf "%s.podTemplate.spec.%s: lets jobs reach the credential; leave it out, or isolateCredential" $.path $key) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "name" "env" "restartPolicy" "volumeMounts" -}}
{{- if hasKey $.pool.keeper $key -}}
{{- println (printf "%s.keeper.%s: is set by the chart; leave it out" $.path $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What a pool must not say, since the contract with KEDA, Azure DevOps and the
       scaler does. */ -}}
{{- define "ado.reservedMistakes" -}}
{{- $path := .path -}}
{{- $pool := .pool -}}
{{- range $key := list "name" "image" "env" "envFrom" "resources" "securityContext" "volumeMounts" -}}
{{- if hasKey $pool.container $key -}}
{{- println (printf "%s.container.%s: has a separate value; leave it out%s" $path $key (ternary "" (print ", and set " $key) (eq $key "name"))) -}}
{{- end -}}
{{- end -}}
{{- $spec := $pool.podTemplate.spec | default dict -}}
{{- range $key, $value := include "ado.separateValues" . | fromYaml -}}
{{- if hasKey $spec $key -}}
{{- println (printf "%s.podTemplate.spec.%s: has a separate value; set %s" $path $key $value) -}}
{{- end -}}
{{- end -}}
{{- if hasKey $spec "restartPolicy" -}}
{{- println (printf "%s.podTemplate.spec.restartPolicy: is always Never: an agent takes one job" $path) -}}
{{- end -}}
{{- range $key, $_ := ($pool.podTemplate.metadata | default dict).labels | default dict -}}
{{- if or (regexMatch "^(scaledjob\\.keda\\.sh|batch\\.kubernetes\\.io|ado-agent-orchestrator\\.io)/" $key) (has $key (list "app.kubernetes.io/managed-by" "job-name" "controller-uid")) -}}
{{- println (printf "%s.podTemplate.metadata.labels: %s is set by Kubernetes, KEDA or the chart; leave it out" $path $key) -}}
{{- end -}}
{{- end -}}
{{- range $i, $c := $pool.initContainers -}}
{{- if has ($c.name | default "agent") (list "agent" "keeper") -}}
{{- println (printf "%s.initContainers[%d].name: is required, and must not be agent or keeper" $path $i) -}}
{{- end -}}
{{- end -}}
{{- range $i, $c := $pool.sidecars -}}
{{- $at := printf "%s.sidecars[%d]" $path $i -}}
{{- if eq ($c.name | default "agent") "agent" -}}
{{- println (printf "%s.name: is required, and must not be agent" $at) -}}
{{- end -}}
{{- if not $c.image -}}
{{- println (printf "%s.image: is required" $at) -}}
{{- end -}}
{{- if ne ($c.restartPolicy | default "Always") "Always" -}}
{{- println (printf "%s.restartPolicy: is always Always, or the Job would not end with its agent" $at) -}}
{{- end -}}
{{- range $j, $v := $c.env -}}
{{- if and (eq $v.name "AZP_TOKEN") $v.value -}}
{{- println (printf "%s.env[%d]: AZP_TOKEN must come from a Secret, by valueFrom.secretKeyRef" $at $j) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Fields of the pod's spec, and the values that they have. */ -}}
{{- define "ado.separateValues" -}}
containers: container and sidecars
initContainers: initContainers and sidecars
volumes: volumes
securityContext: podSecurityContext
nodeSelector: nodeSelector
tolerations: tolerations
affinity: affinity
serviceAccountName: serviceAccount
terminationGracePeriodSeconds: terminationGracePeriodSeconds
imagePullSecrets: imagePullSecrets
{{- end -}}

{{- /* Names that pods of the scaler or of a pool have twice. */ -}}
{{- define "ado.scalerNameMistakes" -}}
{{- $volumes := include "ado.volumes" . | fromYamlArray -}}
{{- include "ado.nameMistakes" (dict "path" "volumes" "items" .Values.volumes "all" $volumes "kind" "volume") -}}
{{- $containers := concat (list (dict "name" "scaler")) .Values.initContainers .Values.extraContainers -}}
{{- range $key := list "initContainers" "extraContainers" -}}
{{- include "ado.nameMistakes" (dict "path" $key "items" (get $.Values $key) "all" $containers "kind" "container") -}}
{{- end -}}
{{- end -}}

{{- define "ado.poolNameMistakes" -}}
{{- $path := .path -}}
{{- $pool := .pool -}}
{{- $volumes := include "ado.agentVolumes" . | fromYamlArray -}}
{{- include "ado.nameMistakes" (dict "path" (print $path ".volumes") "items" $pool.volumes "all" $volumes "kind" "volume") -}}
{{- $containers := concat (list (dict "name" "agent")) $pool.initContainers $pool.sidecars -}}
{{- if $pool.isolateCredential -}}
{{- $containers = append $containers (dict "name" "keeper") -}}
{{- end -}}
{{- range $key := list "initContainers" "sidecars" -}}
{{- include "ado.nameMistakes" (dict "path" (printf "%s.%s" $path $key) "items" (get $pool $key) "all" $containers "kind" "container") -}}
{{- end -}}
{{- end -}}

{{- /* Given are path and items of the values, and all, the list that has them. */ -}}
{{- define "ado.nameMistakes" -}}
{{- $names := list -}}
{{- range .all -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- range $i, $item := .items -}}
{{- if and $item.name (gt (sub (len $names) (len (without $names $item.name))) 1) -}}
{{- println (printf "%s[%d].name: %s is the name of another %s" $.path $i $item.name $.kind) -}}
{{- end -}}
{{- end -}}
{{- end -}}
