package page_test

import (
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// TestInexact shows why a pool's metrics are not exact, and who got them.
func TestInexact(t *testing.T) {
	report := sample(t)
	report.Pools[0].Inexact = &explain.Inexact{Sentence: "nobody watches <Kubernetes>", Fix: "set KUBE=on"}
	report.Pools[0].Counted = []explain.Caller{{
		Namespace: "ado", Name: "night\u202eshift", Count: "owned", Asked: "exact", Value: 4, PolledAt: report.MadeAt,
	}}
	_, body := open(t, report, "/")
	has(t, body, `<strong>Not exact:</strong> <bdi>nobody watches &lt;Kubernetes&gt;</bdi>`, `<bdi>set KUBE=on</bdi>`,
		`<bdi>ado/nightshift</bdi></th><td>owned <small>instead of exact</small></td><td>4</td>`)
	if _, body := open(t, sample(t), "/"); strings.Contains(body, "Not exact") {
		t.Error("an exact pool says that it is not")
	}
}

// TestUnreadableOrganization answers whose fault it is before any pool is known.
func TestUnreadableOrganization(t *testing.T) {
	report := explain.Report{Organizations: []explain.Organization{{URL: "https://dev.azure.com/contoso", Error: "list pools: 401 <b>"}}}
	_, body := open(t, report, "/")
	has(t, body, `<title>Azure DevOps – `, `Look at <strong>Azure DevOps</strong>`, `cannot be read: <bdi>list pools: 401 &lt;b&gt;</bdi>`)
}
