package scaler_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The requests of the tests of KEDA's built-in azure-pipelines scaler (KEDA
// 2.21, pkg/scalers/azure_pipelines_scaler_test.go), in this file's words.
const (
	kubectlJob = `{"requestId":890659,"queueTime":"2022-09-28T11:19:49.89Z","poolId":44,
		"demands":["kubectl","Agent.Version -gtVersion 2.182.1"]}`
	dotnetJob = `{"requestId":890663,"queueTime":"2022-09-28T11:20:29.53Z","poolId":44,
		"demands":["dotnet60","java","cmake","Agent.Version -gtVersion 2.182.1"],
		"matchedAgents":[{"id":1,"name":"dotnet60-keda-template","status":"offline"},{"id":2,"name":"dotnet60-scaledjob-5dsgc-pkqvm","status":"online"},
		{"id":3,"name":"dotnet60-scaledjob-zzqlb-ld7bt","status":"online"},{"id":4,"name":"dotnet60-scaledjob-4h6zt-v9pcl","status":"online"}]}`
	plainJob    = `{"requestId":890670,"queueTime":"2022-09-28T11:19:49.89Z","demands":["Agent.Version -gtVersion 2.182.1"]}`
	receivedJob = `{"requestId":890661,"queueTime":"2022-09-28T11:19:49.89Z","assignTime":"2022-09-28T11:20:29.53Z",
		"receiveTime":"2022-09-28T11:20:32.53Z","lockedUntil":"2022-09-28T11:30:32.07Z","demands":["Agent.Version -gtVersion 2.182.1"],
		"reservedAgent":{"id":5,"name":"somebody-else","status":"online"}}`
	finishedJob = `{"requestId":890600,"queueTime":"2022-09-28T11:19:49.89Z","receiveTime":"2022-09-28T11:20:32.53Z","result":"succeeded",
		"demands":["kubectl","dotnet60","java","cmake"]}`
)

// builtin serves pool 44 with these requests and 999 finished ones. As in
// KEDA's fixture, count does not say how many there are.
func builtin(t *testing.T, header map[string]string, jobs ...string) string {
	t.Helper()
	for range 999 {
		jobs = append(jobs, finishedJob)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for key, value := range header {
			w.Header().Set(key, value)
		}
		switch {
		case strings.HasSuffix(r.URL.Path, "/jobrequests"):
			_, _ = io.WriteString(w, `{"count":2,"value":[`+strings.Join(jobs, ",")+`]}`)
		default:
			_, _ = io.WriteString(w, `{"count":4,"value":[{"id":44,"name":"one"},{"id":45,"name":"one pool"},{"id":1,"name":"two"},{"id":2,"name":"two"}]}`)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/contoso"
}

// TestBuiltInScalersCounts holds the metadata of the built-in scaler to what it
// means there.
func TestBuiltInScalersCounts(t *testing.T) {
	both := []string{kubectlJob, dotnetJob}
	for _, tt := range []struct {
		name     string
		metadata []string
		jobs     []string
		want     float64
	}{
		{"MatchedAgent", []string{"parent", "dotnet60-keda-template"}, both, 1},
		{"MatchedDemandAgent", []string{"demands", "dotnet60,java,cmake"}, both, 1},
		{"NonMatchedDemandAgent", []string{"demands", "testDemand,iamnotademand", "requireAllDemands", "true"}, both, 0},
		{"MatchedDemandAgentWithRequireAllDemands", []string{"demands", "dotnet60,java,cmake", "requireAllDemands", "true"}, both, 1},
		{"MatchedDemandAgentWithRequireAllDemandsAndIgnoreOthers", []string{"demands", "dotnet60,java", "requireAllDemandsAndIgnoreOthers", "true"}, both, 1},
		{"NotMatchedPartialRequiredTriggerDemands", []string{"demands", "kubectl,someOtherDemand", "requireAllDemands", "true"}, both, 0},
		{"DemandsComparisonDefaultCaseSensitive", []string{"demands", "KUBECTL", "requireAllDemands", "true"}, both, 0},
		{"DemandsComparisonCaseInsensitive", []string{"demands", "KUBECTL", "requireAllDemands", "true", "caseInsensitiveDemandsProcessing", "true"}, both, 1},
		{"no parent, no demands", nil, both, 2},
		{"AssignedJobNotCounted", []string{"scaleOnInFlight", "false"}, []string{receivedJob}, 0},
		{"AssignedJobCountedWhenScaleOnInFlight", []string{"scaleOnInFlight", "true"}, []string{receivedJob}, 1},
		{"QueuedAndAssignedMixed", []string{"scaleOnInFlight", "false"}, []string{plainJob, receivedJob}, 1},
		{"QueuedAndAssignedMixedScaleOnInFlight", []string{"scaleOnInFlight", "true"}, []string{plainJob, receivedJob}, 2},
		{"StripDeadJobs true", []string{"scaleOnInFlight", "true"}, []string{plainJob, receivedJob, finishedJob}, 2},
		{"StripDeadJobs false", []string{"scaleOnInFlight", "false"}, []string{plainJob, receivedJob, finishedJob}, 1},
		{"a job without demands is served by all", []string{"demands", "maven"}, []string{plainJob}, 1},
		// Where KEDA's own text comparison trips, this one does not.
		{"a space after the comma", []string{"demands", "dotnet60, java, cmake"}, both, 1},
		{"a demand twice", []string{"demands", "kubectl,kubectl"}, both, 1},
		// Not on an agent of ours: no business of count owned, the default.
		{"somebody else's job", nil, []string{plainJob, receivedJob}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := start(t, benchOptions{}, builtin(t, nil, tt.jobs...))
			r := ref(append(tt.metadata, "poolID", "44")...)
			got, err := b.metric(t.Context(), r)
			if err != nil || got != tt.want {
				t.Errorf("metric %v, %v, want %v", got, err, tt.want)
			}
			active, err := b.client.IsActive(t.Context(), r)
			if err != nil || active.GetResult() != (tt.want > 0) {
				t.Errorf("active %v, %v", active.GetResult(), err)
			}
		})
	}
	t.Run("Delayed", func(t *testing.T) {
		b := start(t, benchOptions{}, builtin(t, map[string]string{"X-RateLimit-Limit": "0", "X-RateLimit-Delay": "42"}, both...))
		if got, err := b.metric(t.Context(), ref("poolID", "44", "parent", "dotnet60-keda-template")); err != nil || got != 1 {
			t.Errorf("metric %v, %v, want 1", got, err)
		}
	})
}

func TestBuiltInScalersPoolLookup(t *testing.T) {
	b := start(t, benchOptions{}, builtin(t, nil, plainJob))
	for _, tt := range []struct {
		name     string
		metadata []string
		want     codes.Code
	}{
		{"poolID found", []string{"poolID", "44"}, codes.OK},
		{"poolID not found", []string{"poolID", "404"}, codes.NotFound},
		{"poolName, one", []string{"poolName", "one"}, codes.OK},
		{"poolName, two", []string{"poolName", "two"}, codes.NotFound},
		{"poolName, none", []string{"poolName", "none"}, codes.NotFound},
		{"poolName and poolID", []string{"poolName", "one", "poolID", "404"}, codes.OK},
		{"poolName with a space", []string{"poolName", "one pool"}, codes.OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := b.metric(t.Context(), ref(tt.metadata...)); status.Code(err) != tt.want {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// TestBuiltInScalersMetadata has the cases that do not concern credentials: of
// these the scaler has its own.
func TestBuiltInScalersMetadata(t *testing.T) {
	b := start(t, benchOptions{}, builtin(t, nil, plainJob))
	good := []string{"poolID", "44", "targetPipelinesQueueLength", "1"}
	for _, tt := range []struct {
		name     string
		metadata []string
		ok       bool
	}{
		{"empty", []string{}, false},
		{"all properly formed", good, true},
		{"no pool", []string{"targetPipelinesQueueLength", "1"}, false},
		{"bad activation", append(good, "activationTargetPipelinesQueueLength", "A"), false},
		{"bad jobsToFetch", append(good, "jobsToFetch", "not-an-int"), false},
		{"bad fetchUnfinishedJobsOnly", append(good, "fetchUnfinishedJobsOnly", "not-a-bool"), false},
		{"jobsToFetch and fetchUnfinishedJobsOnly", append(good, "jobsToFetch", "50", "fetchUnfinishedJobsOnly", "true"), false},
		{"jobsToFetch and parent", append(good, "jobsToFetch", "50", "parent", "x"), false},
		{"fetchUnfinishedJobsOnly and parent", append(good, "fetchUnfinishedJobsOnly", "true", "parent", "x"), true},
		{"bad scaleOnInFlight", append(good, "scaleOnInFlight", "not-a-bool"), false},
		{"scaleOnInFlight false", append(good, "scaleOnInFlight", "false"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := codes.OK
			if !tt.ok {
				want = codes.InvalidArgument
			}
			if _, err := b.metric(t.Context(), ref(tt.metadata...)); status.Code(err) != want {
				t.Errorf("%v, want %v", err, want)
			}
		})
	}
	spec, err := b.client.GetMetricSpec(t.Context(), ref("poolID", "1"))
	if err != nil || spec.GetMetricSpecs()[0].GetMetricName() != "azure-pipelines-1" {
		t.Errorf("metric spec %v, %v, want azure-pipelines-1", spec, err)
	}
}
