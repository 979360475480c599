package main

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// TestExplainWithoutView has a real scaler that does not watch Kubernetes explain what it
// knows: the requests, who polled, and that the token was revoked.
func TestExplainWithoutView(t *testing.T) {
	ado := azureDevOps(t, "adotest-pat")
	if _, err := ado.Queue("Linux", adotest.Job{Pipeline: "app"}); err != nil {
		t.Fatal(err)
	}
	p := serve(t, "ORG_URL="+ado.URL(), "ORG_PAT=adotest-pat", "POLLING_DELAY=100", "STALE_FOR=1s")
	defer p.stop(t)
	p.settle(t, 1, codes.OK)
	out, log, exit := output(t, nil, "explain", "--address", p.httpAddr)
	for _, want := range []string{
		"the scaler does not watch Kubernetes (KUBE)", "POOL Linux", "not exact: the scaler does not watch Kubernetes", "fix: set KUBE=on",
		"ado/build   owned   1", "app", "coming", "0 stopped, 1 coming, 0 served, 0 finished",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it lacks %q", want)
		}
	}
	if exit != 0 || t.Failed() {
		t.Errorf("exit code %d: %s%s", exit, out, log)
	}
	if page := p.get(t, "/"); !strings.Contains(page, "Not exact:") || !strings.Contains(page, "ado/build") {
		t.Errorf("the page is %s", page)
	}
	ado.RevokePAT("adotest-pat")
	p.settle(t, 0, codes.Unauthenticated)
	if out, _, exit := output(t, nil, "explain", "--address", p.httpAddr); exit != 3 || !strings.Contains(out, `Azure DevOps cannot be read for pool "Linux"`) {
		t.Errorf("exit code %d: %s", exit, out)
	}
}
