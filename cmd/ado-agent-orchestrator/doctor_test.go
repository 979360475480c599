package main

import (
	"strings"
	"testing"
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
	s := settings{view: viewFlags{Kube: on, KubeNamespaces: []string{"ado"}}}
	for _, right := range s.rights("home") {
		if right.Without != "" {
			optional[right.Verb+" "+right.Resource+" in "+right.Namespace] = true
		}
	}
	for _, want := range []string{"list pods in ado", "watch pods in ado", "list scaledobjects in ado", "watch scaledobjects in ado"} {
		if !optional[want] {
			t.Errorf("%s is missing: %v", want, optional)
		}
	}
	if len(optional) != 4 {
		t.Errorf("optional rights: %v", optional)
	}
}
