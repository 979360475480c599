package chart_test

import (
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// alertCase has series in the notation of Prometheus' own tests, one value a
// minute: a+bxn is a, a+b, …, n times more; _xn is none. Time begins at 0.
type alertCase struct {
	name   string
	series string
	at     time.Duration
	// fires are the summaries of the alerts that fire then.
	fires []string
}

// alertCases has for each alert a case in which it fires, and ones that differ from
// it in one thing and in which it does not.
var alertCases = map[string][]alertCase{
	"AzurePipelinesScalerDown": {
		{
			"no replica is up", `up{namespace="ado",job="ado-agent-orchestrator",pod="a"} 0x20
			up{namespace="ado",job="other"} 1x20`, 6 * time.Minute,
			[]string{"No replica of the scaler ado/ado-agent-orchestrator can be reached."},
		},
		{
			"there is none", `up{namespace="ado",job="other"} 1x20`, 6 * time.Minute,
			[]string{"No replica of the scaler ado/ado-agent-orchestrator can be reached."},
		},
		{"one of two is up", `up{namespace="ado",job="ado-agent-orchestrator",pod="a"} 0x20
			up{namespace="ado",job="ado-agent-orchestrator",pod="b"} 1x20`, 15 * time.Minute, nil},
		{"a restart", `up{namespace="ado",job="ado-agent-orchestrator",pod="a"} 1x5 0x2 1x20`, 9 * time.Minute, nil},
	},
	"AzureDevOpsRequestsFail": {
		{
			"one organization of two is revoked", requests("fabrikam", "401", "0+6x30") + requests("fabrikam", "200", "9x30") + requests("contoso", "200", "0+6x30"),
			16 * time.Minute,
			[]string{"Most requests to https://dev.azure.com/fabrikam (jobrequests) fail."},
		},
		{
			"an expired token, answered with a page to sign in", requests("contoso", "203", "0+6x30"), 16 * time.Minute,
			[]string{"Most requests to https://dev.azure.com/contoso (jobrequests) fail."},
		},
		{"agents are removed", requests("contoso", "204", "0+6x30"), 16 * time.Minute, nil},
		{"a few fail", requests("contoso", "503", "0+1x30") + requests("contoso", "200", "0+6x30"), 16 * time.Minute, nil},
		{"for a moment", requests("contoso", "503", "0+6x2 12x30") + requests("contoso", "200", "0x2 0+6x30"), 12 * time.Minute, nil},
	},
	"AzureDevOpsSnapshotStale": {
		{
			"of both replicas", snapshot("a", "60x30") + snapshot("b", "120x30"), 16 * time.Minute,
			[]string{"The jobs of pool Linux of https://dev.azure.com/contoso were last read 14m 0s ago."},
		},
		{"of the replica that KEDA does not ask", snapshot("a", "60x4 _x30") + snapshot("b", "0+60x30"), 16 * time.Minute, nil},
		{"of a pool that nobody asks about", snapshot("a", "0x5 _x30"), 16 * time.Minute, nil},
	},
	"AzurePipelinesScalerFails": {
		{
			"all the time", handled("Unavailable", "0+6x30") + handled("OK", "0+6x30"), 21 * time.Minute,
			[]string{"KEDA's calls to the scaler fail with Unavailable."},
		},
		{"a call that was cancelled", handled("Canceled", "0+6x30") + handled("OK", "0+6x30"), 21 * time.Minute, nil},
		{"once", handled("Unavailable", "0x3 1x30") + handled("OK", "0+6x30"), 21 * time.Minute, nil},
	},
	"AzurePipelinesJobWaits": {
		{
			"for longer than it may", oldest("a", "60x30") + oldest("b", "60x30"), 18 * time.Minute,
			[]string{"A job of pool Linux of https://dev.azure.com/contoso has waited for an agent for 17m 0s."},
		},
		{"not so long", oldest("a", "180x30"), 18 * time.Minute, nil},
		{"none", oldest("a", "0x30"), 18 * time.Minute, nil},
		{"as the replica saw it that KEDA asked before", oldest("a", "60x30") + oldest("b", "0x30"), 18 * time.Minute, nil},
		{"in a pool that is served no more", oldest("a", "60x6 _x30"), 18 * time.Minute, nil},
	},
	"AzurePipelinesAgentStartFailed": {
		{
			"three times", failures("a", "0x3 1x3 2x3 3x9") + failures("b", "0x30"), 14 * time.Minute,
			[]string{"Jobs of ScaledJob ado/build failed 3 times in a row before accepting a job."},
		},
		{"twice", failures("a", "0x3 1x3 2x9"), 10 * time.Minute, nil},
		{"until one took a job", failures("a", "0x3 3x5 0x9"), 12 * time.Minute, nil},
	},
	"AzurePipelinesAgentPodNotStarted": {
		{
			"one", stuckJobs("a", "0x3 1x30") + stuckJobs("b", "0x30"), 10 * time.Minute,
			[]string{"Pods of ScaledJob ado/build have not started: ImagePullBackOff."},
		},
		{"for a moment", stuckJobs("a", "0x3 1x3 0x30"), 10 * time.Minute, nil},
	},
	"AzurePipelinesJobsLate": {
		{
			"all of them for an hour", late("a", "0+1x90") + waits("a", "0+1x90"), 70 * time.Minute,
			[]string{"Too many jobs of ScaledJob ado/build wait for an agent longer than 5m."},
		},
		{
			"none gets an agent", late("a", "0+1x90") + waits("a", "0x90"), 70 * time.Minute,
			[]string{"Too many jobs of ScaledJob ado/build wait for an agent longer than 5m."},
		},
		{
			"more than a share of a day", late("a", "0+2x500") + waits("a", "0+5x500"), 400 * time.Minute,
			[]string{"Too many jobs of ScaledJob ado/build wait for an agent longer than 5m."},
		},
		{"a few", late("a", "0+1x500") + waits("a", "0+5x500"), 400 * time.Minute, nil},
		{"two of two", late("a", "0x3 1x3 2x90") + waits("a", "0x3 1x3 2x90"), 10 * time.Minute, nil},
		{"an hour ago", late("a", "0+1x30 30x90") + waits("a", "0+1x120"), 70 * time.Minute, nil},
		{"as the replica counted that KEDA polled before", late("a", "30x120") + late("b", "0x120") + waits("a", "30x120") + waits("b", "0+1x120"), 70 * time.Minute, nil},
	},
	"AzureDevOpsCredentialExpires": {
		{"in a day", expiry("86400x30"), 10 * time.Minute, []string{"The credential of https://dev.azure.com/contoso expires in 23h 50m 0s."}},
		{"in a month", expiry("2592000x30"), 10 * time.Minute, nil},
	},
	"AzurePipelinesScalerTLSReloadFailed": {
		{
			"of one replica", reload("a", "1x30") + reload("b", "0x30"), 6 * time.Minute,
			[]string{"The scaler cannot use its TLS files; the last valid ones serve."},
		},
		{"while they are replaced", reload("a", "0x3 1x1 0x30"), 6 * time.Minute, nil},
	},
}

func metric(name string, keysAndValues ...string) func(values string) string {
	var pairs []string
	for i := 0; i < len(keysAndValues); i += 2 {
		pairs = append(pairs, keysAndValues[i]+`="`+keysAndValues[i+1]+`"`)
	}
	return func(values string) string { return name + "{" + strings.Join(pairs, ",") + "} " + values + "\n" }
}

func requests(organization, code, values string) string {
	return metric("ado_agent_orchestrator_azure_devops_requests_total", "organization", "https://dev.azure.com/"+organization,
		"operation", "jobrequests", "code", code, "pod", "a")(values)
}

func snapshot(pod, values string) string {
	return metric("ado_agent_orchestrator_snapshot_timestamp_seconds", "organization", "https://dev.azure.com/contoso", "pool", "Linux", "pod", pod)(values)
}

func oldest(pod, values string) string {
	return metric("ado_agent_orchestrator_pool_oldest_queued_timestamp_seconds", "organization", "https://dev.azure.com/contoso", "pool", "Linux", "pod", pod)(values)
}

func handled(code, values string) string {
	return metric("grpc_server_handled_total", "grpc_service", "externalscaler.ExternalScaler", "grpc_code", code, "pod", "a")(values)
}

func failures(pod, values string) string {
	return metric("ado_agent_orchestrator_consecutive_start_failures", "namespace", "ado", "name", "build", "pod", pod)(values)
}

func stuckJobs(pod, values string) string {
	return metric("ado_agent_orchestrator_stuck_jobs", "namespace", "ado", "name", "build", "reason", "ImagePullBackOff", "pod", pod)(values)
}

func late(pod, values string) string {
	return metric("ado_agent_orchestrator_late_jobs_total", "namespace", "ado", "name", "build", "pod", pod)(values)
}

func waits(pod, values string) string {
	return metric("ado_agent_orchestrator_job_wait_seconds_count", "namespace", "ado", "name", "build", "pod", pod)(values)
}

func expiry(values string) string {
	return metric("ado_agent_orchestrator_credential_expiry_timestamp_seconds", "organization", "https://dev.azure.com/contoso", "pod", "a")(values)
}

func reload(pod, values string) string {
	return metric("ado_agent_orchestrator_tls_reload_failed", "pod", pod)(values)
}

// TestAlerts evaluates the chart's rules as Prometheus does, once a minute.
func TestAlerts(t *testing.T) {
	alerts := alertRules(t)
	for name, cases := range alertCases {
		if _, ok := alerts[name]; !ok {
			t.Errorf("there is no alert %s", name)
			continue
		}
		for _, c := range cases {
			t.Run(name+"/"+strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
				if diff := cmp.Diff(c.fires, firing(t, alerts[name], c)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
	for name := range alerts {
		fires := slices.ContainsFunc(alertCases[name], func(c alertCase) bool { return len(c.fires) > 0 })
		silent := slices.ContainsFunc(alertCases[name], func(c alertCase) bool { return len(c.fires) == 0 })
		if !fires || !silent {
			t.Errorf("alert %s needs a case in which it fires, and one in which it does not", name)
		}
	}
}

// alertRules returns the chart's alerts, which Prometheus' own parser has checked.
func alertRules(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	object := ofKind(render(t, examples(t)["monitored"]), "PrometheusRule")[0]
	spec, _, err := unstructured.NestedMap(object.Object, "spec")
	if err != nil {
		t.Fatal(err)
	}
	content, err := yaml.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	groups, problems := rulefmt.Parse(content, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	alerts := map[string]rulefmt.Rule{}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			alerts[rule.Alert] = rule
		}
	}
	return alerts
}

// firing returns the summaries of the alerts that fire at the time of a case.
func firing(t *testing.T, rule rulefmt.Rule, c alertCase) (summaries []string) {
	t.Helper()
	var load strings.Builder
	load.WriteString("load 1m\n")
	for line := range strings.Lines(c.series) {
		if line = strings.TrimSpace(line); line != "" {
			load.WriteString("  " + line + "\n")
		}
	}
	storage := promqltest.LoadedStorage(t, load.String())
	defer storage.Close()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(rule.Expr)
	if err != nil {
		t.Fatal(err)
	}
	alert := rules.NewAlertingRule(rule.Alert, expr, time.Duration(rule.For), time.Duration(rule.KeepFiringFor),
		labels.FromMap(rule.Labels), labels.FromMap(rule.Annotations), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))
	query := rules.EngineQueryFunc(promqltest.NewTestEngine(t, false, 5*time.Minute, promqltest.DefaultMaxSamplesPerQuery), storage)
	for at := time.Duration(0); at <= c.at; at += time.Minute {
		if _, err := alert.Eval(t.Context(), 0, time.Unix(0, 0).Add(at), query, &url.URL{}, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, active := range alert.ActiveAlerts() {
		if active.State == rules.StateFiring {
			summaries = append(summaries, active.Annotations.Get("summary"))
		}
	}
	slices.Sort(summaries)
	return summaries
}
