package adoqueue_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// clientOf is a client of the stand-in, which has a pool "linux".
func clientOf(t *testing.T, options adotest.Options, token string) (*adotest.Server, *adoqueue.Client, adoqueue.Pool) {
	t.Helper()
	ado := adotest.Serve(t, options)
	id := ado.AddPool(adotest.Pool{Name: "linux"})
	ado.AllowPAT("reader", adotest.ScopeRead)
	url, err := adoqueue.ParseOrganizationURL(ado.URL())
	if err != nil {
		t.Fatal(err)
	}
	httpClient, err := adoqueue.NewHTTPClient("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(httpClient.CloseIdleConnections)
	client, err := adoqueue.NewClient(url, adoqueue.PAT(token), adoqueue.Options{HTTPClient: httpClient})
	if err != nil {
		t.Fatal(err)
	}
	return ado, client, adoqueue.Pool{ID: id, Name: "linux"}
}

// TestAgentsLife registers an agent, finds and changes it and takes it out,
// with Services and with the oldest Server.
func TestAgentsLife(t *testing.T) {
	for name, flavour := range map[string]adotest.Flavour{"Services": adotest.Services, "Server 2019": adotest.Server2019} {
		t.Run(name, func(t *testing.T) {
			_, client, pool := clientOf(t, adotest.Options{Flavour: flavour}, "adotest-pat")
			ctx := t.Context()
			_, err := client.AgentByName(ctx, pool, "placeholder")
			if !errors.Is(err, adoqueue.ErrAgentNotFound) {
				t.Errorf("before it is registered: %v", err)
			}
			wanted := adoqueue.NewAgent{
				Name: "placeholder", Version: "99.0.0", OS: "Linux",
				System: map[string]string{"Agent.OS": "Linux"}, User: map[string]string{"gpu": "1"},
			}
			added, err := client.AddAgent(ctx, pool, wanted)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.AddAgent(ctx, pool, wanted); !errors.Is(err, adoqueue.ErrAgentExists) {
				t.Errorf("registered twice: %v", err)
			}
			if err := client.SetAgentEnabled(ctx, pool, added.ID, false); err != nil {
				t.Error(err)
			}
			if err := client.SetAgentCapabilities(ctx, pool, added.ID, map[string]string{"gpu": "2"}); err != nil {
				t.Error(err)
			}
			found, err := client.AgentByName(ctx, pool, "PLACEHOLDER")
			if err != nil {
				t.Fatal(err)
			}
			if found.Online || found.Enabled || found.Version != "99.0.0" || found.System["Agent.OS"] != "Linux" {
				t.Errorf("found %+v", found)
			}
			if diff := cmp.Diff(map[string]string{"gpu": "2"}, found.User); diff != "" {
				t.Error(diff)
			}
			for range 2 { // the second time it is gone already
				if err := client.RemoveAgent(ctx, pool, added.ID); err != nil {
					t.Error(err)
				}
			}
			if _, err := client.Agent(ctx, pool, added.ID); !errors.Is(err, adoqueue.ErrAgentNotFound) {
				t.Errorf("after its removal: %v", err)
			}
		})
	}
}

func TestAgentWithAJob(t *testing.T) {
	ado, client, pool := clientOf(t, adotest.Options{}, "adotest-pat")
	for _, name := range []string{"one", "two"} {
		if _, err := ado.AddAgent("linux", adotest.Agent{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	id, err := ado.Queue("linux", adotest.Job{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ado.Assign(id, "two"); err != nil {
		t.Fatal(err)
	}
	agents, err := client.Agents(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	requests := map[string]int64{}
	for _, a := range agents {
		requests[a.Name] = a.Request
		if !a.Online || !a.Enabled || a.StatusChanged.IsZero() || a.System != nil {
			t.Errorf("agent %+v", a)
		}
	}
	if diff := cmp.Diff(map[string]int64{"one": 0, "two": id}, requests); diff != "" {
		t.Error(diff)
	}
	busy, err := client.AgentByName(t.Context(), pool, "two")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := client.Agent(t.Context(), pool, busy.ID); err != nil || again.Request != id {
		t.Errorf("agent %+v, %v", again, err)
	}
	if err := client.RemoveAgent(t.Context(), pool, busy.ID); !errors.Is(err, adoqueue.ErrAgentBusy) {
		t.Errorf("removed with a job: %v", err)
	}
}

func TestManagingNeedsTheRight(t *testing.T) {
	_, client, pool := clientOf(t, adotest.Options{}, "reader")
	_, err := client.AddAgent(t.Context(), pool, adoqueue.NewAgent{Name: "placeholder"})
	if !errors.Is(err, adoqueue.ErrForbidden) && !errors.Is(err, adoqueue.ErrUnauthorized) {
		t.Errorf("error: %v", err)
	}
	if err == nil || !strings.Contains(err.Error(), "Agent Pools (Read & manage)") {
		t.Errorf("error does not tell what is needed: %v", err)
	}
}

func TestLatestPackage(t *testing.T) {
	ado, client, _ := clientOf(t, adotest.Options{}, "adotest-pat")
	p, err := client.LatestPackage(t.Context(), adoqueue.AgentPackage, "linux-x64")
	if err != nil {
		t.Fatal(err)
	}
	if p.Version != "4.255.0" || p.Platform != "linux-x64" || len(p.SHA256) != 64 ||
		!strings.HasSuffix(p.Filename, ".tar.gz") || !strings.HasSuffix(p.DownloadURL, p.Filename) {
		t.Errorf("package %+v", p)
	}
	if _, err := client.LatestPackage(t.Context(), adoqueue.AgentPackage, "amiga"); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("error: %v", err)
	}
	ado.Inject(adotest.Fault{Operation: adotest.OpPackages, Status: 500})
	if _, err := client.LatestPackage(t.Context(), adoqueue.AgentPackage, "linux-x64"); !errors.Is(err, adoqueue.ErrUnavailable) {
		t.Errorf("error: %v", err)
	}
}

func TestParallelJobs(t *testing.T) {
	ado, client, _ := clientOf(t, adotest.Options{ParallelJobs: 3}, "reader")
	if _, err := ado.AddAgent("linux", adotest.Agent{Name: "one"}); err != nil {
		t.Fatal(err)
	}
	id, err := ado.Queue("linux", adotest.Job{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ado.Assign(id, "one"); err != nil {
		t.Fatal(err)
	}
	got, err := client.ParallelJobs(t.Context())
	if want := (adoqueue.ParallelJobs{Limit: 3, Used: 1}); err != nil || got != want {
		t.Errorf("ParallelJobs() = %+v, %v, want %+v", got, err, want)
	}
	_, server, _ := clientOf(t, adotest.Options{Flavour: adotest.Server2019}, "reader")
	if _, err := server.ParallelJobs(t.Context()); err == nil {
		t.Error("a Server that does not know the resource gave a limit")
	}
}
