package chart_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// effect is a value that changes what is rendered, beside those that it needs.
type effect struct {
	value any
	needs map[string]any
}

// effects are for values that none of the trials changes anything by. Those of agents
// are for the items of agentPools too.
var effects = map[string]effect{
	"affinity":                             {value: object("nodeAffinity", object())},
	"dnsConfig":                            {value: object("nameservers", list("10.0.0.10"))},
	"dnsPolicy":                            {value: "Default"},
	"envFrom":                              {value: list(object("secretRef", object("name", "x")))},
	"hostAliases":                          {value: list(object("ip", "10.0.0.1", "hostnames", list("tfs")))},
	"housekeeping.offlineAfter":            {value: "5m"},
	"housekeeping.stuckAfter":              {value: "20m"},
	"image.digest":                         {value: "sha256:" + strings.Repeat("1", 64)},
	"image.pullPolicy":                     {value: "Always"},
	"extraContainers":                      {value: list(object("name", "x", "image", "x"))},
	"initContainers":                       {value: list(object("name", "x", "image", "x"))},
	"kubernetes.namespaces":                {value: list("ado", "builds")},
	"metrics.prometheusRule.runbookURL":    {value: "https://runbooks.example.com"},
	"metrics.serviceMonitor.interval":      {value: "15s"},
	"metrics.serviceMonitor.scrapeTimeout": {value: "5s"},
	"networkPolicy.egress":                 {value: list(object("to", list(object("podSelector", object()))))},
	"networkPolicy.metricsFrom":            {value: list(object("podSelector", object()))},
	"keda.version":                         {value: "2.14.1"},
	"organization.url":                     {value: "https://dev.azure.com/b"},
	"proxy.http":                           {value: "http://proxy.example.com:3128"},
	"settings.pollingDelay":                {value: 2000},
	"agents.isolateCredential":             {true, object("agentPools", list(object("pool", "linux")))},
	"organizations":                        {list(organization("b")), object("organization", object(), "organizations", list(organization("a")))},
	"organization.auth.kind":               {value: "managed-identity", needs: object("organization", object("url", "https://dev.azure.com/a", "auth", object("kind", "workload-identity", "clientID", "x")))},
	"organization.auth.certificate":        {true, principal},
	"organization.auth.clientID":           {"b", principal},
	"organization.auth.tenantID":           {"b", principal},
	"podSecurityContext":                   {value: object("fsGroup", 1)},
	"scalerAddress":                        {value: "scaler.example.com:9090"},
	"securityContext":                      {value: object("readOnlyRootFilesystem", false)},
	"settings.acceptableWait":              {value: "1m"},
	"settings.logFormat":                   {value: "console"},
	"settings.logLevel":                    {value: "debug"},
	"settings.requestTimeout":              {value: "5s"},
	"settings.staleFor":                    {value: "1m"},
	"strategy":                             {value: object("type", "Recreate")},
	"tls.clientDuration":                   {"100h", issued},
	"tls.issuerRef":                        {object("name", "other"), issued},
	"tls.mode":                             {value: "none"},
	"tolerations":                          {value: list(object("operator", "Exists"))},
	"topologySpreadConstraints":            {value: list(object("maxSkew", 1, "topologyKey", "zone", "whenUnsatisfiable", "ScheduleAnyway"))},
	"volumeMounts":                         {value: list(object("name", "x", "mountPath", "/x"))},
	"volumes":                              {value: list(object("name", "x", "emptyDir", object()))},
	"agents.container":                     {value: object("tty", true)},
	"agents.credential.auth.certificate":   {true, agentPrincipal},
	"agents.credential.auth.clientID":      {"b", agentPrincipal},
	"agents.credential.auth.kind":          {"managed-identity", object("agents.credential.auth", object("kind", "workload-identity", "clientID", "x"))},
	"agents.credential.auth.tenantID":      {"b", agentPrincipal},
	"agents.credential.existingSecretKey":  {"x", object("agents.credential.existingSecret", "own")},
	"agents.dockerSocketPath":              {"/run/docker.sock", object("agentPools", list(object("pool", "linux")))},
	"agents.idleTimeout":                   {value: "1h"},
	"agents.keeper":                        {value: object("resources", object("limits", object("memory", "1Gi")))},
	"agents.organizationURL":               {"https://dev.azure.com/b", object("organization", object(), "organizations", list(organization("a"), organization("b")), "agentPools[0].organizationURL", "https://dev.azure.com/a")},
	"agents.podTemplate":                   {value: object("spec", object("schedulerName", "packer"))},
	"agents.sidecars":                      {value: list(object("name", "x", "image", "x"))},
	"agents.shard":                         {value: "1/2"},
	"agents.warm.maxAge":                   {"12h", object("housekeeping.endIdle", true)},
	"agents.warm.periods":                  {value: periods},
	"agents.warm.timeZone":                 {"Europe/Berlin", object("agents.warm.periods", periods)},
	"agents.warmNodes.command":             {list("x"), object("agents.warmNodes.min", 1)},
	"agents.warmNodes.periods":             {value: periods},
	"agents.warmNodes.priorityClassName":   {"low", object("agents.warmNodes.min", 1)},
	"agents.warmNodes.timeZone":            {"Europe/Berlin", object("agents.warmNodes.periods", periods)},
}

var (
	periods        = list(object("from", "07:30", "to", "18:00", "minIdle", 1))
	principal      = object("organization", object("url", "https://dev.azure.com/a", "existingSecret", "x", "auth", serviceOf("a")))
	agentPrincipal = object("agents.credential.existingSecret", "x", "agents.credential.auth", serviceOf("a"))
	issued         = object("tls", object("mode", "cert-manager", "issuerRef", object("name", "x")))
)

func list(items ...any) []any { return items }

// object makes a mapping of keys and values in turn.
func object(pairs ...any) map[string]any {
	o := map[string]any{}
	for pair := range slices.Chunk(pairs, 2) {
		o[pair[0].(string)] = pair[1]
	}
	return o
}

func organization(name string) map[string]any {
	return object("url", "https://dev.azure.com/"+name, "existingSecret", "x")
}

func serviceOf(name string) map[string]any {
	return object("kind", "service-principal", "tenantID", name, "clientID", name)
}

// TestEveryValueHasEffect wants each value to reach an object: some value changes what
// is rendered, in fields that exist.
func TestEveryValueHasEffect(t *testing.T) {
	plain, err := renderedWith(t, nil, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, preset := range presets(t) {
		e, listed := effectOf(path)
		values, without := trials[kindOf(preset)], plain
		if listed {
			values = []any{e.value}
		}
		if len(e.needs) > 0 {
			if without, err = renderedWith(t, e.needs, "", nil); err != nil {
				t.Errorf("%s: without it: %v", path, err)
				continue
			}
		}
		with, ok, err := changed(t, e.needs, path, values, without)
		if !ok {
			t.Errorf("%s changes no object (%v)", path, err)
		}
		if !listed {
			continue // TestEveryValue reads what the trials render
		}
		for _, object := range objects(t, with) {
			for _, problem := range unacceptable(t, object) {
				t.Errorf("%s: %#v: %s %s: %v", path, e.value, object.GetKind(), object.GetName(), problem)
			}
		}
	}
}

// changed returns what is rendered with the first of the values that changes it.
func changed(t *testing.T, needs map[string]any, path string, values []any, without string) (with string, ok bool, err error) {
	t.Helper()
	for _, value := range values {
		if with, err = renderedWith(t, needs, path, value); err == nil && with != without {
			return with, true, nil
		}
	}
	return "", false, err
}

// effectOf finds the effect that is listed for a value.
func effectOf(path string) (e effect, listed bool) {
	general := strings.Replace(path, "agentPools[0].", "agents.", 1)
	if e, listed = effects[general]; !listed {
		e, listed = effects[strings.TrimPrefix(general, "agents.")]
	}
	return e, listed
}

// renderedWith renders everything with what a value needs and the value.
func renderedWith(t *testing.T, needs map[string]any, path string, value any) (string, error) {
	t.Helper()
	values := everything(t, "", nil)
	set := func(path string, value any) {
		if name, ok := strings.CutPrefix(path, "agentPools[0]."); ok {
			put(values["agentPools"].([]any)[0].(map[string]any), name, value)
		} else {
			put(values, path, value)
		}
	}
	for path, value := range needs {
		set(path, copied(t, value))
	}
	if path != "" {
		set(path, copied(t, value))
	}
	rendered, err := files(t, values)
	return manifests(rendered), err
}

// copied keeps what a value is put into apart from the list of effects.
func copied(t *testing.T, value any) (c any) {
	t.Helper()
	data, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}
