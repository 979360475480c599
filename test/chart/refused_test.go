package chart_test

import (
	"strings"
	"testing"
)

// refused are values that cannot be used, each with what its message has to say.
var refused = []struct {
	values string
	want   []string
}{
	// By the schema.
	{basis + "agentpools: []", []string{"additional properties 'agentpools' not allowed"}},
	{pooled("minimum: 1"), []string{"'/agentPools/0': additional properties 'minimum' not allowed"}},
	{basis + "agentPools: [{image: x}]", []string{"'/agentPools/0': missing property 'pool'"}},
	{basis + "agents: {pool: linux}", []string{"'/agents': additional properties 'pool' not allowed"}},
	{"organization: {url: contoso}", []string{"organization.url: does not begin with https://HOST"}},
	{"organization: {url: 'https://dev.azure.com/contoso', token: secret}", []string{"'/organization': additional properties 'token' not allowed"}},
	{"organization: {url: 'https://user:token@dev.azure.com/contoso'}", []string{"organization.url: has a user or password; use existingSecret for the token"}},
	{pooled("min: -1"), []string{"'/agentPools/0/min': minimum: got -1, want 0"}},
	{pooled("max: 0"), []string{"'/agentPools/0/max': minimum: got 0, want 1"}},
	{pooled("idleTimeout: 600"), []string{"'/agentPools/0/idleTimeout': got number, want null or string"}},
	{pooled("idleTimeout: ten minutes"), []string{`agentPools[0].idleTimeout: "ten minutes" must be a duration such as 30s or 1h30m, or 0`}},
	{pooled("capabilities: {java: 17}"), []string{"'/agentPools/0/capabilities/java': got number, want null or string"}},
	{pooled("capabilities: {'a,b': ''}"), []string{`agentPools[0].capabilities: "a,b" cannot be the name of a capability`}},
	{pooled("name: Linux_1"), []string{`agentPools[0].name: "Linux_1" must consist of at most 51 lower case letters`}},
	{pooled("resources: {limits: {memory: 1 Gi}}"), []string{`agentPools[0].resources.limits.memory: "1 Gi" must be a quantity such as 500m or 2Gi`}},
	{pooled("resources: {requests: {memroy: 1Gi}}"), []string{`agentPools[0].resources.requests: "memroy" must be cpu, memory, ephemeral-storage`}},
	{basis + "resources: {limits: {cpus: 1}}", []string{`resources.limits: "cpus" must be cpu, memory`}},
	{pooled("shard: half"), []string{`agentPools[0].shard: "half" must be K/N, such as 1/2`}},
	{pooled("dockerSocketPath: docker.sock"), []string{`agentPools[0].dockerSocketPath: "docker.sock" must be an absolute path`}},
	{basis + "settings: {pollingDelay: 10}", []string{"'/settings/pollingDelay': minimum: got 10, want 100"}},
	{basis + "settings: {staleFor: 2h, requestTimeout: 10m, acceptableWait: 0s}\nhousekeeping: {offlineAfter: 100ms}", []string{
		"settings.staleFor: 2h must not be more than 1h", "settings.requestTimeout: 10m must not be more than 5m",
		"settings.acceptableWait: 0s must not be less than 1s", "housekeeping.offlineAfter: 100ms must not be less than 1s",
	}},
	{basis + "settings: {staleFor: 9999999h}", []string{`settings.staleFor: "9999999h" must be a duration`}},
	{basis + "housekeeping: {endIdle: true}\nagentPools: [{pool: linux, warm: {maxAge: 59s}}]", []string{"agentPools[0].warm.maxAge: 59s must not be less than 1m"}},
	{basis + "settings: {logLevel: loud}", []string{"'/settings/logLevel': value must be one of 'debug', 'info', 'warn', 'error'"}},
	{basis + "tls: {mode: auto}", []string{"'/tls/mode': value must be one of 'none', 'secret', 'cert-manager', 'generate'"}},
	{"organization: {url: 'https://dev.azure.com/contoso', auth: {kind: ''}}", []string{"'/organization/auth/kind': value must be one of 'pat'"}},
	{basis + "replicaCount: two", []string{"'/replicaCount': got string, want integer"}},
	{basis + "kubernetes: {namespaces: 'ado,builds'}", []string{"'/kubernetes/namespaces': got string, want array"}},

	// By the chart.
	{"", []string{"organization.url: is required, such as https://dev.azure.com/contoso", "organization.existingSecret: is required"}},
	{"organization: {url: 'https://dev.azure.com/contoso', auth: {kind: service-principal}}", []string{"organization: a service principal requires existingSecret, auth.tenantID and auth.clientID"}},
	{"organization: {url: 'https://dev.azure.com/contoso', existingSecret: x, auth: {kind: workload-identity}}", []string{"organization.existingSecret: is not used with auth.kind workload-identity"}},
	{"organization: {url: 'https://dev.azure.com/contoso/project', existingSecret: x}", []string{"organization.url: must be https://dev.azure.com/ORGANIZATION, without a project"}},
	{"organization: {url: 'https://dev.azure.com', existingSecret: x}", []string{"organization.url: must be https://dev.azure.com/ORGANIZATION, without a project"}},
	{"organizations: [{url: 'https://contoso.visualstudio.com/project', existingSecret: x}]", []string{"organizations[0].url: must be https://ORGANIZATION.visualstudio.com, without a project"}},
	{"organization: {url: 'http://tfs/tfs/x', existingSecret: x}", []string{"organization.url: would send the credential over plain http"}},
	{
		basis + "organizations: [{url: 'https://dev.azure.com/a', existingSecret: x}, {url: 'https://dev.azure.com/A/', existingSecret: x}, {url: 'https://dev.azure.com/b'}]",
		[]string{"organization and organizations: cannot be combined", "organizations[1].url: is the organization of organizations[0] already", "organizations[2].existingSecret: is required"},
	},
	{
		"organizations: [{url: 'https://dev.azure.com/a', existingSecret: x}, {url: 'https://dev.azure.com/b', existingSecret: x}]\n" +
			"agentPools: [{pool: linux}, {pool: windows, organizationURL: 'https://dev.azure.com/c'}]",
		[]string{"agentPools[0].organizationURL: is required, since there are several organizations", "agentPools[1].organizationURL: is none of the organizations"},
	},
	{basis + "agentPools: [{pool: linux}, {pool: Linux}]", []string{"agentPools[1].name: agent-job-linux is the ScaledJob of agentPools[0] already"}},
	{basis + "agentPools: [{pool: Büro}]", []string{"agentPools[0].name: is required, since the pool's name is not in ASCII"}},
	{pooled("shard: 3/2"), []string{"agentPools[0].shard: 3/2 must be K/N with K from 1 to N, and N at most 64"}},
	{pooled("shard: 0/2"), []string{"agentPools[0].shard: 0/2 must be K/N"}},
	{pooled("shard: 1/65"), []string{"agentPools[0].shard: 1/65 must be K/N"}},
	{pooled("min: 5, minIdle: 6, max: 4"), []string{"agentPools[0].min: 5 must not be more than max, 4", "agentPools[0].minIdle: 6 must not be more than max, 4"}},
	{pooled(`warm: {periods: [{from: "7:30", to: "18:00", minIdle: 1}]}`), []string{`agentPools[0].warm.periods[0].from: "7:30" must be a time such as 07:30`}},
	{pooled(`warm: {periods: [{from: "07:30", to: "24:00"}]}`), []string{"missing property 'minIdle'"}},
	{pooled(`warm: {periods: [{days: "Monday", from: "07:30", to: "24:30", minIdle: 1}]}`), []string{`periods[0].days: "Monday" must be days such as Mon-Fri`, `periods[0].to: "24:30" must be a time such as 18:00`}},
	{
		pooled(`max: 4, warm: {periods: [{from: "07:30", to: "07:30", minIdle: 5, max: 4}, {from: "07:30", to: "08:30", minIdle: 4, busyPercent: 20, max: 3}], maxAge: 12h}`),
		[]string{
			"agentPools[0].warm.maxAge: requires housekeeping.endIdle",
			"agentPools[0].warm.periods[0].to: must differ from from", "agentPools[0].warm.periods[0].minIdle: 5 must not be more than the agents' max, 4",
			"agentPools[0].warm.periods[0].max: requires busyPercent", "agentPools[0].warm.periods[1].max: 3 must not be less than minIdle, 4",
		},
	},
	{
		pooled(`warmNodes: {timeZone: UTC}, warm: {}`),
		[]string{"agentPools[0].warmNodes.timeZone: requires periods"},
	},
	{
		pooled(`warmNodes: {periods: [{from: "07:30", to: "08:30", minIdle: 4, busyPercent: 20}]}`),
		[]string{"agentPools[0].warmNodes.periods[0]: busyPercent and max are for warm only"},
	},
	{
		pooled(`warmNodes: {periods: [{days: zz, from: aa, to: bb, minIdle: 1}], timeZone: "!!", priorityClassName: A B}`),
		[]string{
			`agentPools[0].warmNodes.periods[0].days: "zz" must be days such as Mon-Fri`, `agentPools[0].warmNodes.periods[0].from: "aa" must be a time such as 07:30`,
			`agentPools[0].warmNodes.periods[0].to: "bb" must be a time such as 18:00`, `agentPools[0].warmNodes.timeZone: "!!" must be an IANA time zone`,
			`agentPools[0].warmNodes.priorityClassName: "A B" must be a name of Kubernetes`,
		},
	},
	{
		pooled(`max: 4, warmNodes: {periods: [{from: "07:30", to: "07:30", minIdle: 5}]}`),
		[]string{
			"agentPools[0].warmNodes.periods[0].to: must differ from from",
			"agentPools[0].warmNodes.periods[0].minIdle: 5 must not be more than the agents' max, 4",
		},
	},
	{pooled("warm: {timeZone: Europe/Berlin}"), []string{"agentPools[0].warm.timeZone: requires periods"}},
	{pooled("env: [{name: AZP_TOKEN, value: x}]"), []string{"agentPools[0].env[0]: AZP_TOKEN is set by the other values"}},
	{
		pooled("isolateCredential: true, dockerSocketPath: /run/docker.sock, keeper: {env: []}, podTemplate: {spec: {hostPID: true}}"),
		[]string{"agentPools[0].isolateCredential: has no effect with dockerSocketPath", "agentPools[0].keeper.env: is set by the chart", "agentPools[0].podTemplate.spec.hostPID: lets jobs reach the credential"},
	},
	{pooled("container: {image: x}"), []string{"agentPools[0].container.image: has a separate value; leave it out, and set image"}},
	{pooled("podTemplate: {spec: {containers: [], restartPolicy: Always}}"), []string{"agentPools[0].podTemplate.spec.containers: has a separate value; set container and sidecars", "podTemplate.spec.restartPolicy: is always Never"}},
	{pooled("podTemplate: {metadata: {labels: {scaledjob.keda.sh/name: x}}}"), []string{"agentPools[0].podTemplate.metadata.labels: scaledjob.keda.sh/name is set by"}},
	{pooled("sidecars: [{image: x}, {name: a, restartPolicy: Never, env: [{name: AZP_TOKEN, value: x}]}]"), []string{
		"agentPools[0].sidecars[0].name: is required", "agentPools[0].sidecars[1].restartPolicy: is always Always", "agentPools[0].sidecars[1].env[0]: AZP_TOKEN must come from a Secret",
	}},
	{pooled("credential: {auth: {kind: service-principal}}"), []string{"agentPools[0].credential: a service principal requires"}},
	{pooled("credential: {auth: {kind: workload-identity}}"), []string{"agentPools[0].serviceAccount: is required for workload identity"}},
	{basis + "tls: {mode: secret}", []string{"tls.existingSecret: is required with mode secret", "tls.existingClientSecret: is required with mode secret"}},
	{basis + "tls: {mode: cert-manager}", []string{"tls.issuerRef.name: is required"}},
	{basis + "keda: {version: 2.13.0}", []string{"keda.version: 2.13.0 is too old; the oldest supported version is 2.14"}},
	{basis + "keda: {version: latest}", []string{`keda.version: "latest" must be a version such as 2.15.1`}},
	{pooled("serviceAccount: agents, credential: {auth: {kind: workload-identity}}") + "\nkeda: {version: 2.15.1}", []string{
		"agentPools[0]: auth.tenantID and auth.clientID are required, since this KEDA's ScaledJobs have no labels of pods",
	}},
	{basis + "podDisruptionBudget: {minAvailable: 0, maxUnavailable: 50%}", []string{"podDisruptionBudget: minAvailable and maxUnavailable cannot be combined; leave one of them out"}},
	{basis + "global: {imagePullSecrets: [A B, {name: C}]}", []string{`global.imagePullSecrets[0]: "A B" must be a name of Kubernetes`, `global.imagePullSecrets[1].name: "C" must be a name of Kubernetes`}},
	{basis + "podDisruptionBudget: {maxUnavailable: '1'}", []string{`podDisruptionBudget.maxUnavailable: "1" must be a number or a percentage of at most 100%`}},
	{basis + "podDisruptionBudget: {minAvailable: abc}", []string{`podDisruptionBudget.minAvailable: "abc" must be a number or a percentage of at most 100%`}},
	{basis + "strategy: {rollingUpdate: {maxUnavailable: 150%, maxSurge: abc}}", []string{
		`strategy.rollingUpdate.maxUnavailable: "150%" must be a number or a percentage of at most 100%`, `strategy.rollingUpdate.maxSurge: "abc" must be a number or a percentage such as 25%`,
	}},
	{basis + "kubernetes: {namespaces: [ado, builds, ado]}", []string{"kubernetes.namespaces: lists a namespace twice"}},
	{
		basis + "tls: {mode: secret, existingSecret: a, existingClientSecret: b}\nca: {existingConfigMap: ca}\nvolumes: [{name: tls}, {name: azure-devops-0}, {name: azure-devops-ca}, {name: x}]\n" +
			"initContainers: [{name: scaler, image: x}, {name: w, image: x}]\nextraContainers: [{name: w, image: x}]",
		[]string{
			"volumes[0].name: tls is the name of another volume", "volumes[1].name: azure-devops-0 is the name of another volume", "volumes[2].name: azure-devops-ca is the name of another volume",
			"initContainers[0].name: scaler is the name of another container", "initContainers[1].name: w is the name of another container", "extraContainers[0].name: w is the name of another container",
		},
	},
	{
		pooled("isolateCredential: true, volumes: [{name: agent-keeper}, {name: x}, {name: x}], sidecars: [{name: keeper, image: x}, {name: w, image: x}], initContainers: [{name: w, image: x}]"),
		[]string{
			"agentPools[0].volumes[0].name: agent-keeper is the name of another volume", "agentPools[0].volumes[1].name: x is the name of another volume",
			"agentPools[0].sidecars[0].name: keeper is the name of another container", "agentPools[0].initContainers[0].name: w is the name of another container",
		},
	},
	{pooled("dockerSocketPath: /run/docker.sock, volumes: [{name: docker-volume}]"), []string{"agentPools[0].volumes[0].name: docker-volume is the name of another volume"}},
	{basis + "serviceAccount: {name: x}\nagentServiceAccount: {create: true, name: x}", []string{"agentServiceAccount.name: x is the scaler's service account; choose another name"}},
	{pooled("name: x, warmNodes: {min: 1}") + "\nfullnameOverride: x-nodes", []string{"agentPools[0].name: the Deployment of its warmNodes, x-nodes, has the name of the scaler's; choose another name"}},
	{
		basis + "envFrom: [{}, {secretRef: {name: x}, configMapRef: {name: x}}]\nextraContainers: [{name: x, image: x, envFrom: [{prefix: x}]}]",
		[]string{
			"envFrom[0]: must have either secretRef or configMapRef", "envFrom[1]: must have either secretRef or configMapRef",
			"extraContainers[0].envFrom[0]: must have either secretRef or configMapRef",
		},
	},
	{
		pooled("envFrom: [{prefix: x}], env: [{name: A, value: x, valueFrom: {secretKeyRef: {name: x, key: x}}}], sidecars: [{name: x, image: x, envFrom: [{}]}]"),
		[]string{
			"agentPools[0].envFrom[0]: must have either secretRef or configMapRef", "agentPools[0].env[0]: A has value and valueFrom; leave one of them out",
			"agentPools[0].sidecars[0].envFrom[0]: must have either secretRef or configMapRef",
		},
	},
	{basis + "commonLabels: {a..b/x: z, Foo.com/x: z}\ncommonAnnotations: {a..b/x: z}", []string{
		`commonLabels: "a..b/x" cannot be the key of a label`, `commonLabels: "Foo.com/x" cannot be the key of a label`, `commonAnnotations: "a..b/x" cannot be the key of an annotation`,
	}},
	{basis + "extraObjects: ['kind: {{ nofunc }}']", []string{"ado.extraObjects", "nofunc"}},
	{basis + "extraObjects: [{kind: '{{ .Values.x.y }}'}]", []string{"ado.extraObjects", ".Values.x.y"}},
	{basis + "dnsPolicy: None\nstrategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}", []string{
		"dnsPolicy: None requires dnsConfig.nameservers", "strategy.rollingUpdate: cannot be combined with type Recreate; leave one of them out",
	}},
	{basis + "envFrom: [{secretRef: {name: A B}}]\nenv: [{name: A, valueFrom: {configMapKeyRef: {name: A/b, key: x}}}]", []string{
		`envFrom[0].secretRef.name: "A B" must be a name of Kubernetes`, `env[0].valueFrom.configMapKeyRef.name: "A/b" must be a name of Kubernetes`,
	}},
	{pooled("dnsPolicy: None, sidecars: [{name: x}]"), []string{"agentPools[0].dnsPolicy: None requires dnsConfig.nameservers", "agentPools[0].sidecars[0].image: is required"}},
	{basis + "service: {port: 8080}", []string{"service.port: must not be 8080, which is the port of the metrics in the same Service"}},
	{basis + "networkPolicy: {kedaNamespaces: KEDA}", []string{"'/networkPolicy/kedaNamespaces': got string, want array"}},
	{basis + "kubernetes: {enabled: false}\nhousekeeping: {placeholders: true}", []string{"housekeeping: requires kubernetes.enabled"}},
	{basis + "housekeeping: {stuckAfter: '0', deleteStuck: true}", []string{"housekeeping.deleteStuck: requires stuckAfter other than 0"}},
	{pooled("min: 0") + "\nkubernetes: {namespaces: [builds]}", []string{"kubernetes.namespaces: must hold ado, where the agentPools are"}},
}

// pooled has a pool with these fields.
func pooled(fields string) string { return basis + "agentPools: [{pool: linux, " + fields + "}]" }

func TestRefused(t *testing.T) {
	for _, test := range refused {
		_, err := files(t, parse(t, test.values))
		if err == nil {
			t.Errorf("taken:\n%s", test.values)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s\ngives\n%v\nwhich lacks\n%s", test.values, err, want)
			}
		}
	}
}
