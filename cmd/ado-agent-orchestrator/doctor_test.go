package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
)

// TestDoctorRefusesSettings requires the same problems as of serve.
func TestDoctorRefusesSettings(t *testing.T) {
	_, log, exit := output(t, []string{"ORG_URL=contoso", "POLLING_DELAY=1"}, "doctor")
	if exit != 1 {
		t.Errorf("exit %d", exit)
	}
	for _, want := range []string{"ORG_URL", "POLLING_DELAY"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s: %s", want, log)
		}
	}
}

// TestDoctorWithoutCluster still checks Azure DevOps.
func TestDoctorWithoutCluster(t *testing.T) {
	ado := azureDevOps(t, "adotest-pat")
	for _, test := range []struct {
		kube, want string
		exit       int
	}{
		{"off", "unknown  Kubernetes: it is not used (KUBE=off)", 0},
		{"auto", "fault    Kubernetes: rights, KEDA, ScaledJobs and their pools are not checked: KUBECONFIG names", 1},
	} {
		got, log, exit := output(t, []string{
			"ORG_URL=" + ado.URL(), "ORG_PAT=adotest-pat", "ALLOW_HTTP=true", "KUBE=" + test.kube, "KUBECONFIG=/nowhere/kubeconfig",
		}, "doctor")
		if exit != test.exit || !strings.Contains(got, test.want) || !strings.Contains(got, "the credential (pat) is accepted; visible pools: 1;") ||
			exit == 1 && !strings.Contains(log, "faults found: 1\n") {
			t.Errorf("KUBE=%s: exit %d, %s%s", test.kube, exit, got, log)
		}
	}
}

func TestMetricsURL(t *testing.T) {
	for address, want := range map[string]string{
		":8080": "http://127.0.0.1:8080/metrics", "[::]:8080": "http://127.0.0.1:8080/metrics", "10.0.0.1:80": "http://10.0.0.1:80/metrics",
		"127.0.0.1:0": "", "nonsense": "",
	} {
		if got := metricsURL(address); got != want {
			t.Errorf("%s gives %q, want %q", address, got, want)
		}
	}
}

// TestDoctorKnowsOptionalRights has doctor ask for what the view of Kubernetes can do
// without too.
func TestDoctorKnowsOptionalRights(t *testing.T) {
	optional := map[string]bool{}
	s := settings{view: viewFlags{Kube: on, KubeNamespaces: []string{"ado"}}, housekeeper: (&housekeepingFlags{}).housekeeper(&scaledJobFlags{}, true)}
	for _, right := range s.rights("home") {
		if right.Without != "" {
			optional[right.Verb+" "+right.Resource+" in "+right.Namespace] = true
		}
	}
	want := map[string]bool{"patch jobs in ado": true}
	for _, resource := range []string{"pods", "scaledobjects", "events"} {
		want["list "+resource+" in ado"], want["watch "+resource+" in ado"] = true, true
	}
	if diff := cmp.Diff(want, optional); diff != "" {
		t.Errorf("optional rights (-want +got):\n%s", diff)
	}
}

// TestDoctorNamesObjects has doctor ask for rights as the chart grants them: to one
// object only, where the scaler needs no other.
func TestDoctorNamesObjects(t *testing.T) {
	s := settings{view: viewFlags{Kube: off}, housekeeper: housekeeper{Settings: housekeeping.Settings{Placeholders: true}}}
	s.LeaseName, s.Election = "scaler", on
	got := map[string]string{}
	for _, right := range s.rights("home") {
		got[right.Verb+" "+right.Resource] = right.Name
	}
	want := map[string]string{"get namespaces": "home", "get leases": "scaler", "create leases": "", "update leases": "scaler"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names of objects (-want +got):\n%s", diff)
	}
}
