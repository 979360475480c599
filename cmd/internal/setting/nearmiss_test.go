package setting_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
)

func TestNearMisses(t *testing.T) {
	parser, err := setting.New(&struct {
		URL       string         `env:"ORG_URL"`
		PAT       setting.Secret `env:"ORG_PAT"`
		Pools     []string       `env:"AGENT_POOLS"`
		Namespace string         `env:"JOB_NAMESPACE"`
		Kube      string         `env:"KUBE"`
	}{})
	if err != nil {
		t.Fatal(err)
	}
	got := setting.NearMisses(parser.Model(), []string{
		"AGENT_POOL=linux", "ORG_TOKEN=s3cr3t", "ORG_URI=x", "JOB_NAMESPACES=ado", "AGENT_POOLS=linux", "HOME=/", "CUBE=1", "JOB_NAME=ci",
		"ORG_SERVICE_HOST=10.0.0.1", "ORG_PORT_80_TCP_ADDR=10.0.0.1",
	}, "ORG_")
	want := []string{
		"the variable AGENT_POOL is not a setting; did you mean AGENT_POOLS?",
		"the variable JOB_NAMESPACES is not a setting; did you mean JOB_NAMESPACE?",
		"the variable ORG_TOKEN is not a setting; did you mean ORG_URL, ORG_PAT?",
		"the variable ORG_URI is not a setting; did you mean ORG_URL?",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
