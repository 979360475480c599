package housekeeping_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
)

// heldJobs implements housekeeping.Held and housekeeping.Jobs.
type heldJobs struct {
	mu          sync.Mutex
	held        []engine.HeldJob
	unreadable  error
	annotations map[string]map[string]string // by name of the Job
	patches     int
	err         error
}

func (h *heldJobs) Held(context.Context, time.Duration) ([]engine.HeldJob, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.unreadable != nil {
		return nil, h.unreadable
	}
	return h.held, nil
}

func (h *heldJobs) Annotate(_ context.Context, job fleet.Job, annotations map[string]string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.patches++
	if h.err == nil {
		h.annotations[job.Name] = annotations
	}
	return h.err
}

// set changes what Annotate and Held return.
func (h *heldJobs) set(err, unreadable error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err, h.unreadable = err, unreadable
}

// seen returns how many patches there were, and how many Jobs are annotated.
func (h *heldJobs) seen() (patches, annotated int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.patches, len(h.annotations)
}

func annotateBubble(t *testing.T, requests []*adoqueue.JobRequest, test func(*testing.T, *world, *heldJobs)) {
	t.Helper()
	url, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
	if err != nil {
		t.Fatal(err)
	}
	bubble(t, func(t *testing.T, w *world) {
		h := &heldJobs{annotations: map[string]map[string]string{}}
		for i := range requests {
			name := fmt.Sprintf("a-%d", i)
			h.held = append(h.held, engine.HeldJob{
				Job:          fleet.Job{UID: "uid-of-" + name, Namespace: "ado", Name: name, ScaledJob: "a"},
				Organization: url, Pool: adoqueue.Pool{ID: 1, Name: "linux"}, Request: requests[i],
			})
		}
		w.held, w.jobsAPI = h, h
		w.settings = housekeeping.Settings{AnnotateJobs: true}
		test(t, w, h)
	})
}

// run is a request of a run, as most are.
var run = &adoqueue.JobRequest{ID: 7, Definition: "app", Run: "20261125.3", RunID: 501, Project: "shop"}

func (w *world) wantAnnotated(want string) {
	w.t.Helper()
	const name = "ado_agent_orchestrator_housekeeping_actions_total"
	want = "# HELP " + name + " Housekeeping actions: add_placeholder, update_placeholder, model_placeholder, remove_placeholder, mark_agent, " +
		"remove_agent, delete_job, end_idle, annotate_job.\n# TYPE " + name + " counter\n" +
		fmt.Sprintf("%s{action=\"annotate_job\",organization=\"https://dev.azure.com/contoso\",%s\n", name, want)
	if err := testutil.GatherAndCompare(w.registry, strings.NewReader(want), name); err != nil {
		w.t.Error(err)
	}
}

// TestAnnotateJobs has each Job annotated once, with texts that nobody can do harm with.
func TestAnnotateJobs(t *testing.T) {
	hostile := *run
	hostile.Definition, hostile.Run = "\x1b[31mred\u202e\n<b>"+strings.Repeat("x", 5000), ""
	release := &adoqueue.JobRequest{ID: 8, Definition: "deploy", Run: "Release-12 / Prod"}
	annotateBubble(t, []*adoqueue.JobRequest{run, &hostile, release}, func(t *testing.T, w *world, h *heldJobs) {
		w.during(time.Hour)
		const prefix = "ado-agent-orchestrator.io/"
		url := "https://dev.azure.com/contoso/shop/_build/results?buildId=501"
		want := map[string]map[string]string{
			"a-0": {prefix + "pipeline": "app", prefix + "run": "20261125.3", prefix + "run-id": "501", prefix + "run-url": url},
			"a-1": {prefix + "pipeline": "red <b>" + strings.Repeat("x", 505) + "…", prefix + "run-id": "501", prefix + "run-url": url},
			"a-2": {prefix + "pipeline": "deploy", prefix + "run": "Release-12 / Prod"},
		}
		if diff := cmp.Diff(want, h.annotations); diff != "" {
			t.Errorf("annotations (-want +got):\n%s", diff)
		}
		if h.patches != 3 {
			t.Errorf("%d patches of 3 Jobs", h.patches)
		}
		w.wantAnnotated(`outcome="done",pool="linux"} 3`)
		if w.logs.Len() > 0 {
			t.Errorf("logged %v", w.logs.All())
		}
	})
}

// TestAnnotateJobsForbidden has one event an hour for a ScaledJob, and a bounded number
// of attempts for each Job.
func TestAnnotateJobsForbidden(t *testing.T) {
	annotateBubble(t, []*adoqueue.JobRequest{run, run}, func(t *testing.T, w *world, h *heldJobs) {
		h.set(fmt.Errorf("annotate Job ado/a-0: %w", apierrors.NewForbidden(schema.GroupResource{Group: "batch", Resource: "jobs"}, "a-0", errors.New("no"))), nil)
		w.during(59 * time.Minute)
		w.wantEvents(1, "Warning ado/a AnnotationForbidden", "scaling is not affected", "annotate Job ado/a-0")
		if h.patches != 10 || w.logs.Len() != 1 {
			t.Errorf("%d attempts for 2 Jobs, %d lines in the log", h.patches, w.logs.Len())
		}
		w.wantAnnotated(`outcome="failed",pool="linux"} 10`)
	})
}

// TestAnnotateJobsFails logs a failure once, annotates once that is over, and forgets
// nothing while a pool cannot be read.
func TestAnnotateJobsFails(t *testing.T) {
	annotateBubble(t, []*adoqueue.JobRequest{run}, func(t *testing.T, w *world, h *heldJobs) {
		h.set(errors.New("the API server is away"), nil)
		stop := w.keep(t.Context())
		defer stop()
		pass(15 * time.Second)
		h.set(errors.New("the API server is away"), errors.New("Azure DevOps is away"))
		pass(5 * time.Second)
		if patches, _ := h.seen(); patches != 2 || w.logs.Len() != 1 {
			t.Errorf("%d attempts, logged %v", patches, w.logs.All())
		}
		h.set(nil, nil)
		pass(5 * time.Second)
		if patches, _ := h.seen(); patches != 2 {
			t.Errorf("an attempt %d before its time", patches)
		}
		pass(time.Minute)
		if patches, annotated := h.seen(); patches != 3 || annotated != 1 {
			t.Errorf("%d attempts, %d annotated", patches, annotated)
		}
	})
}

func TestAnnotateJobsDryRun(t *testing.T) {
	annotateBubble(t, []*adoqueue.JobRequest{run}, func(t *testing.T, w *world, h *heldJobs) {
		w.settings.DryRun = true
		w.during(time.Hour)
		if h.patches != 0 || w.logs.FilterMessageSnippet("dry run: would annotate").Len() != 1 {
			t.Errorf("%d patches, logged %v", h.patches, w.logs.All())
		}
	})
}
