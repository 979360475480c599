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

func TestIgnored(t *testing.T) {
	parser, err := setting.New(&struct {
		Serve struct {
			URL     string `env:"ORG_URL"`
			EndIdle bool   `env:"END_IDLE" default:"false"`
			Stuck   string `env:"STUCK_AFTER" default:"15m"`
			Address string `env:"GRPC_ADDR"`
		} `cmd:""`
		Run struct {
			URL string `env:"ORG_URL"`
		} `cmd:""`
	}{})
	if err != nil {
		t.Fatal(err)
	}
	commands := parser.Model().Children
	got := setting.Ignored(commands[1], commands[0], []string{
		"STUCK_AFTER=5m", "END_IDLE=true", "ORG_URL=https://dev.azure.com/contoso", "GRPC_ADDR=", "HOME=/",
	})
	want := []string{
		"the variable END_IDLE has no effect in run; it is a setting of serve",
		"the variable STUCK_AFTER has no effect in run; it is a setting of serve",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := setting.Ignored(commands[1], commands[0], []string{"END_IDLE=false", "STUCK_AFTER=15m"}); len(got) > 0 {
		t.Errorf("of defaults: %q", got)
	}
}
