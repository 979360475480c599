package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// older is the environment of the older orchestrator's README.
var older = []string{
	"ORG_URL=https://dev.azure.com/contoso", "ORG_PAT=s3cr3t", "AGENT_POOLS=Pool1,Pool2",
	"JOB_IMAGE=registry.example.com/agent:1", "JOB_NAMESPACE=ado",
}

// namedSecret names the agents' Secret, which render requires.
const namedSecret = "JOB_TOKEN_SECRET=azure-devops/token"

// TestNoCommand distinguishes the modes by what they complain about: run lacks a
// cluster, serve with pools a sound address.
func TestNoCommand(t *testing.T) {
	for name, tt := range map[string]struct {
		env  []string
		want string
	}{
		"pools":            {older, "agents require Kubernetes: "},
		"pools and scaler": {append([]string{"SCALER_ADDRESS=scaler", "POLLING_DELAY=1"}, older...), "POLLING_DELAY"},
		"nothing":          {nil, "ORG_URL (--org-url): is missing"},
		"empty pools":      {append([]string{}, append(older, "AGENT_POOLS=")...), "AGENT_POOLS (--agent-pools): names no pool"},
	} {
		env := append([]string{"HOME=" + t.TempDir(), "KUBECONFIG=" + filepath.Join(t.TempDir(), "none"), "LOG_LEVEL=error"}, tt.env...)
		_, log, exit := output(t, env)
		if exit != 1 || !strings.Contains(log, tt.want) {
			t.Errorf("%s: exit %d, %s, want %s", name, exit, log, tt.want)
		}
	}
}

// TestMistakesAboutAgents wants all of them at once, and nothing of the token.
func TestMistakesAboutAgents(t *testing.T) {
	definition := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(definition, []byte("apiVersion: batch/v1\nkind: Job\nspec:\n  templat: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"ORG_URL=https://dev.azure.com/contoso", "ORG_PAT=s3cr3t", "AGENT_POOLS=linux, Linux,", "POLLING_DELAY=50",
		"JOB_DEFINITION_FILE=" + definition, "JOB_LIMITS=memory=lots", "JOB_NODE_SELECTOR=ssd", "JOB_TTL=long",
		"MINIMUM_AGENT_COUNT=5", "MAXIMUM_AGENT_COUNT=4", "MINIMUM_IDLE_AGENT_COUNT=-1", "RUN_ONCE=often",
		"INITIALIZE_NAMESPACE=maybe", "JOB_TOKEN_SECRET=token", "HOST_TYPE=aci", "LEADER_ELECTION=no", "JOB_CAPABILITIES=a b", "SHARD=3/2",
	}
	_, log, exit := output(t, env)
	if exit != 1 {
		t.Errorf("exit %d", exit)
	}
	for _, want := range []string{
		`AGENT_POOLS (--agent-pools): names the pool "Linux" twice`,
		"JOB_IMAGE (--job-image): is missing",
		`POLLING_DELAY (--polling-delay): "50" is too small; the minimum is 100ms`,
		"job.yaml:4: spec.templat: unknown field",
		`JOB_LIMITS (--job-limits): memory: "lots" is not a quantity`,
		`JOB_NODE_SELECTOR (--job-node-selector): "ssd" does not have the form name=value`,
		`JOB_TTL (--job-ttl): "long" is not a duration`,
		"MINIMUM_AGENT_COUNT (--minimum-agent-count), MAXIMUM_AGENT_COUNT (--maximum-agent-count): 5 must not be more than 4",
		`MINIMUM_IDLE_AGENT_COUNT (--minimum-idle-agent-count): "-1" is too small; the minimum is 0`,
		`RUN_ONCE (--run-once): "often" is neither true nor false`,
		`INITIALIZE_NAMESPACE (--initialize-namespace): "maybe" is neither true nor false`,
		`JOB_TOKEN_SECRET (--job-token-secret): "token" does not have the form NAME/KEY`,
		`HOST_TYPE (--host-type): "aci" is not supported`,
		`LEADER_ELECTION (--leader-election): "no" is not one of auto, on, off`,
		"JOB_CAPABILITIES (--job-capabilities): ",
		"SHARD (--shard): must be K/N, such as 1/2",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if t.Failed() {
		t.Log(log)
	}
	if strings.Contains(log, "s3cr3t") {
		t.Error("the token shows in the log")
	}
}

func TestServeNeedsItsAddressForPools(t *testing.T) {
	_, log, exit := output(t, append([]string{"KUBE=off"}, older...), "serve")
	if exit != 1 || !strings.Contains(log, "SCALER_ADDRESS (--scaler-address): is missing") {
		t.Errorf("exit %d: %s", exit, log)
	}
}

func TestRender(t *testing.T) {
	for _, tt := range []struct {
		golden string
		env    []string
		args   []string
	}{
		{"scaledjobs.yaml", []string{"SCALER_ADDRESS=ado-agent-orchestrator.ado.svc:9090", namedSecret}, nil},
		{"jobs.yaml", []string{namedSecret}, []string{"--job"}},
		{"settings.yaml", []string{
			"AGENT_POOLS=Windows Build/äö", "SCALER_ADDRESS=scaler:9090", "SCALER_AUTHENTICATION=scaler", "JOB_PREFIX=ci-",
			"JOB_CAPABILITIES=docker,java=17", "JOB_REQUESTS=cpu=1,memory=2Gi", "JOB_LIMITS=memory=4Gi",
			"JOB_NODE_SELECTOR=disk=ssd", "JOB_SERVICE_ACCOUNT=agent", "JOB_TOKEN_SECRET=ado/pat", "JOB_TTL=1m",
			"JOB_IDLE_TIMEOUT=0", "JOB_GRACE_PERIOD=2h", "JOB_DOCKER_SOCKET_PATH=/var/run/docker.sock",
			"MINIMUM_AGENT_COUNT=1", "MAXIMUM_AGENT_COUNT=7", "MINIMUM_IDLE_AGENT_COUNT=2", "POLLING_INTERVAL=10s", "SHARD=1/2",
		}, nil},
	} {
		got, log, exit := output(t, append(append([]string{}, older...), tt.env...), append([]string{"render"}, tt.args...)...)
		if exit != 0 || log != "" || strings.Contains(got, "s3cr3t") {
			t.Errorf("%s: exit %d: %s", tt.golden, exit, log)
		}
		golden := filepath.Join("testdata", tt.golden)
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (run with -update to accept): %s", tt.golden, diff)
		}
	}
}

// TestRenderNeedsNoCredential is for those who render in a separate pipeline. Nothing
// makes the agents' Secret there, so its name is required.
func TestRenderNeedsNoCredential(t *testing.T) {
	env := []string{"ORG_URL=https://dev.azure.com/contoso", "AGENT_POOLS=Pool1", "JOB_IMAGE=agent:1"}
	got, log, exit := output(t, append(env, namedSecret), "render", "--job")
	if exit != 0 || !strings.Contains(got, "secretKeyRef") || !strings.Contains(got, "name: azure-devops") {
		t.Errorf("exit %d: %s\n%s", exit, log, got)
	}
	for _, args := range [][]string{{"render", "--job"}, {"render", "--scaler-address=s:1"}} {
		if got, log, exit := output(t, env, args...); exit != 1 || got != "" || !strings.Contains(log, "JOB_TOKEN_SECRET (--job-token-secret): is missing; render creates no Secret") {
			t.Errorf("%v: exit %d: %s\n%s", args, exit, log, got)
		}
	}
	if _, log, exit := output(t, append(env, "ORG_AUTH=workload-identity"), "render", "--job"); exit != 0 {
		t.Errorf("without a token: exit %d: %s", exit, log)
	}
}

// TestShardWithoutKEDA has run count its shard only: what stands for a pool's
// ScaledJob says so.
func TestShardWithoutKEDA(t *testing.T) {
	for text, want := range map[string]string{"": "", "2/3": "2/3"} {
		t.Setenv("ORG_PAT", "x")
		t.Setenv("SHARD", text)
		line := &commandLine{}
		parser, err := newParser(line)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse([]string{"run", "--org-url=https://dev.azure.com/contoso", "--agent-pools=a", "--job-image=i"}); err != nil {
			t.Fatal(err)
		}
		s, err := line.Run.settings()
		if err != nil {
			t.Fatal(err)
		}
		if got, set := s.scaledJobs[0].Triggers[0]["shard"]; got != want || set != (want != "") {
			t.Errorf("SHARD=%s: the trigger has shard %q (%v)", text, got, set)
		}
	}
}
