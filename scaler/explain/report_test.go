package explain_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

var update = flag.Bool("update", false, "write the golden files")

const golden = "testdata/report.json"

// TestReportJSON holds the JSON to what docs/status-json.md says: programs of other
// people read it.
func TestReportJSON(t *testing.T) {
	got, err := json.MarshalIndent(sample(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the JSON is not that of %s; if it may change, run the test with -update:\n%s", golden, got)
	}
	var read explain.Report
	if err := json.Unmarshal(want, &read); err != nil {
		t.Fatal(err)
	}
	again, err := json.MarshalIndent(read, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(append(again, '\n'), want) {
		t.Errorf("a Report does not survive JSON:\n%s", again)
	}
}

// sample is a report with each kind of content.
func sample() explain.Report {
	at := func(second int) time.Time { return time.Date(2026, 11, 25, 12, 0, second, 0, time.UTC) }
	steps := func(reached, skipped int, times ...int) []explain.Link {
		var chain []explain.Link
		for i, step := range explain.Steps() {
			l := explain.Link{Step: step, Status: explain.Pending}
			switch {
			case i < reached && i < len(times):
				l.At, l.Status = at(times[i]), explain.Done
			case i < reached:
				l.Status = explain.Skipped
			case i == reached && skipped >= 0:
				l.Status = explain.Failed
			case i == reached:
				l.Status = explain.Next
			}
			chain = append(chain, l)
		}
		return chain
	}
	unmet := &explain.Broken{
		Step: explain.StepCounted, Code: explain.CodeNoScaledJob,
		Sentence: "no ScaledJob of pool \"Linux\" meets the demand gpu; the nearest is ado/build, which lacks it",
		Fix:      "add gpu to the capabilities of a ScaledJob whose agents have it, or remove the demand from the pipeline",
		Since:    at(2),
	}
	pull := &explain.Broken{
		Step: explain.StepStarted, Code: explain.CodeImagePull,
		Sentence: "pod build-bcdfg-22222 cannot pull its image: ImagePullBackOff: Back-off pulling image \"agent:nope\"",
		Fix:      "check the image's name and tag in ScaledJob ado/build, and the pull secret of its namespace", Since: at(5),
	}
	return explain.Report{
		SchemaVersion: explain.SchemaVersion, MadeAt: at(30), Since: at(0), KubernetesInView: true, PodsInView: true,
		Organizations: []explain.Organization{{
			URL: "https://dev.azure.com/contoso", Credential: "pat", CredentialExpires: at(0).AddDate(0, 1, 0),
			Requests: 12, DelayedSeconds: 1.5, ThrottledUntil: at(40),
		}},
		Pools: []explain.Pool{{
			Organization: "https://dev.azure.com/contoso", ID: 12, Name: "Linux",
			AzureDevOps: explain.AzureDevOps{LastRead: at(28)},
			Stages: []explain.Stage{
				{Step: explain.StepQueued, Requests: 1, Broken: 1, First: unmet},
				{Step: explain.StepScheduled, Requests: 1, Broken: 1, First: pull},
				{Step: explain.StepRunning, Requests: 1},
			},
			ScaledJobs: []explain.ScaledJob{
				{
					Namespace: "ado", Name: "build", Capabilities: "docker", Count: "exact", MaxReplicas: 10, PollingInterval: 5,
					Unfinished: 2, Waiting: 1, Busy: 1, Queued: 1, Reported: &explain.Reported{Value: 0, At: at(28)}, PolledAt: at(28),
					State: explain.Scaling, Broken: pull,
				},
				{Namespace: "ado", Name: "night", Capabilities: "docker,java=17", Count: "exact", MaxReplicas: 5, PollingInterval: 30, State: explain.Paused},
			},
			Requests: []explain.Request{
				{
					ID: 7, Pipeline: "app", Run: "20261125.3", RunID: 503, Demands: []string{"gpu", "Agent.Version -gtVersion 2.182.1"},
					URL:      "https://dev.azure.com/contoso/22222222-2222-4222-8222-222222222222/_build/results?buildId=503",
					Progress: explain.Stopped, Outcome: "unserved", Reason: "no ScaledJob meets all of the demands gpu, Agent.Version -gtVersion 2.182.1",
					Chain: steps(1, 0, 1), Broken: unmet,
				},
				{
					ID: 8, Pipeline: "app", Run: "20261125.4", RunID: 504, Demands: []string{"docker"},
					URL:      "https://dev.azure.com/contoso/22222222-2222-4222-8222-222222222222/_build/results?buildId=504",
					Progress: explain.Stopped, Outcome: "waiting Job", ScaledJob: "ado/build", Job: "build-bcdfg", Agent: "build-bcdfg-22222",
					Chain: steps(5, 0, 1, 2, 3, 4, 5), Broken: pull,
				},
				{
					ID: 6, Pipeline: "web", Run: "20261125.2", RunID: 502, Priority: 1, Progress: explain.Served, Outcome: "busy Job", ScaledJob: "ado/build",
					Job: "build-hjklm", Agent: "build-hjklm-44444", Chain: steps(9, -1, 1, 2, 3, 4, 5, 6, 9, 9, 11),
				},
				{ID: 5, Pipeline: "web", Run: "20261125.1", RunID: 501, Progress: explain.Finished, Outcome: "other agent", Agent: "vm-1", Chain: steps(10, -1, 0)},
			},
			Decisions: []explain.Decision{{
				At: at(28), Repeated: 3, Last: at(29), SnapshotAt: at(28), Queued: 2, Running: 1, Unserved: 1,
				ScaledJobs: []explain.DecisionPart{
					{ScaledJob: "ado/build", Queued: 1, Waiting: 1, Busy: 1},
					{ScaledJob: "ado/night", Blocked: "is paused"},
				},
			}},
			Omitted: explain.Omitted{Requests: 2},
		}},
		Summary: explain.Summary{Stopped: 2, Served: 1, Finished: 3},
	}
}
