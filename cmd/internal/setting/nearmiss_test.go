package setting_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
)

func TestNearMisses(t *testing.T) {
	parser, err := setting.New(&struct {
		URL       string         `env:"ORG_URL"`
		PAT       setting.Secret `env:"ORG_PAT"`
		CAFile    string         `env:"CA_FILE"`
		Pools     []string       `env:"AGENT_POOLS"`
		Namespace string         `env:"JOB_NAMESPACE"`
		Image     string         `env:"JOB_IMAGE"`
		Lease     string         `env:"LEASE_NAME"`
		HTTPAddr  string         `env:"HTTP_ADDR"`
		GRPCAddr  string         `env:"GRPC_ADDR"`
		Kube      string         `env:"KUBE"`
		Status    string         `env:"STATUS"`
	}{})
	if err != nil {
		t.Fatal(err)
	}
	otherNames := map[string]string{"ORG_TOKEN": "ORG_PAT", "HTTP_PORT": "HTTP_ADDR", "GRPC_PORT": "GRPC_ADDR", "MAX_AGENT_COUNT": "MAXIMUM_AGENT_COUNT"}
	for variable, meant := range map[string]string{
		"AGENT_POOL=linux": "AGENT_POOLS", "agent_pools=linux": "AGENT_POOLS", "AGETN_POOLS=linux": "AGENT_POOLS", "AGENTPOOLS=linux": "AGENT_POOLS",
		"JOB_NAMESPACES=ado": "JOB_NAMESPACE", "ORG_URI=x": "ORG_URL", "org_url=x": "ORG_URL", "ORG_TOKEN=s3cr3t": "ORG_PAT",
		"HTTP_PORT=8080": "HTTP_ADDR", "http_port=8080": "HTTP_ADDR",
		// These are of other programs.
		"AGENT_POOLS=linux": "", "HOME=/": "", "CUBE=1": "", "STATE=x": "", "JOB_NAME=ci": "", "JOB_STAGE=x": "", "POD_NAMESPACE=ado": "", "RELEASE_NAME=ado": "",
		"CI_FILE=x": "", "CSS_FILE=x": "", "ORG_ID=1": "", "ORG_NAME=x": "", "MAX_AGENT_COUNT=1": "",
		// Kubernetes sets these for Services called org, http and grpc.
		"ORG_PORT=tcp://10.0.0.1:80": "", "ORG_PORT_53_UDP=udp://10.0.0.1:53": "", "ORG_SERVICE_HOST=10.0.0.1": "", "ORG_PORT_80_TCP_ADDR=10.0.0.1": "",
		"HTTP_PORT=tcp://10.0.0.1:80": "", "GRPC_PORT=tcp://10.0.0.1:80": "", "GRPC_PORT_80_TCP_ADDR=10.0.0.1": "",
	} {
		var want []string
		if name, _, _ := strings.Cut(variable, "="); meant != "" {
			want = []string{"the variable " + name + " is not a setting; did you mean " + meant + "?"}
		}
		if diff := cmp.Diff(want, setting.NearMisses(parser.Model(), []string{variable}, otherNames)); diff != "" {
			t.Errorf("%s: %s", variable, diff)
		}
	}
	got := setting.NearMisses(parser.Model(), []string{"ORG_URI=x", "AGENT_POOL=x"}, nil)
	want := []string{
		"the variable AGENT_POOL is not a setting; did you mean AGENT_POOLS?",
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
