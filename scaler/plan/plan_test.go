package plan_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// input is a plan.Input in few words. A request is its demands, "urgent" if it
// has priority, and "@agent" if it runs; its ID is its index. A Job is the name
// of its group and maybe "held", if it has held a request before, and "ended",
// in the second in which the snapshot was requested. Its UID is "uid-" and its
// index, its agent's name that of the group and its index.
type input struct {
	groups   []plan.Group
	requests []string
	jobs     []string
	parallel *int
}

// asked is when the snapshot was requested: in the middle of a second.
var asked = epoch.Add(500 * time.Millisecond)

func (in input) make() plan.Input {
	snapshot := &adoqueue.Snapshot{RequestedAt: asked}
	for i, text := range in.requests {
		r := &adoqueue.JobRequest{ID: int64(i)}
		for word := range strings.FieldsSeq(text) {
			switch {
			case word[0] == '@':
				r.State, r.Agent = adoqueue.Running, word[1:]
			case word == "urgent":
				r.Priority = 1
			default:
				r.Demands = append(r.Demands, adoqueue.ParseDemand(word))
			}
		}
		snapshot.Requests = append(snapshot.Requests, r)
	}
	held := make(map[string]bool)
	var jobs []plan.Job
	for i, text := range in.jobs {
		words := strings.Fields(text)
		job := plan.Job{UID: fmt.Sprint("uid-", i), Group: key(words[0]), Agents: []string{fmt.Sprint(words[0], "-", i)}}
		held[job.UID] = slices.Contains(words, "held")
		job.Retired = slices.Contains(words, "retired")
		if slices.Contains(words, "ended") {
			job.Ended = epoch
		}
		jobs = append(jobs, job)
	}
	return plan.Input{
		Snapshot: snapshot, Groups: in.groups, Jobs: jobs,
		Held: func(uid string) bool { return held[uid] }, ParallelJobs: in.parallel,
	}
}

func key(name string) plan.Key { return plan.Key{Namespace: "ado", Name: name} }

// scaledJob is a group whose agents have these capabilities.
func scaledJob(name, capabilities string, change ...func(*plan.Group)) plan.Group {
	c, err := adoqueue.ParseCapabilities(capabilities)
	if err != nil {
		panic(err)
	}
	g := plan.Group{
		Key: key(name), Capabilities: len(c), MaxReplicas: 10,
		Serves: func(r *adoqueue.JobRequest) bool { return r.MatchesAllAgents || len(c.Unmet(r.Demands)) == 0 },
	}
	for _, f := range change {
		f(&g)
	}
	return g
}

func maxReplicas(n int) func(*plan.Group)    { return func(g *plan.Group) { g.MaxReplicas = n } }
func minReplicas(n int) func(*plan.Group)    { return func(g *plan.Group) { g.MinReplicas = n } }
func minIdle(n int) func(*plan.Group)        { return func(g *plan.Group) { g.MinIdle = n } }
func idle(n func(int) int) func(*plan.Group) { return func(g *plan.Group) { g.Idle = n } }
func priority(n int) func(*plan.Group)       { return func(g *plan.Group) { g.Priority = n } }

func blocked(g *plan.Group) { g.Blocked = "is held back: its Jobs fail" }

func TestGroupPlan(t *testing.T) {
	build := scaledJob("build", "")
	tests := []struct {
		name  string
		input input
		want  plan.GroupPlan // of build
	}{
		{
			name:  "nothing to do",
			input: input{groups: []plan.Group{build}},
		},
		{
			name:  "each queued request gets a Job",
			input: input{groups: []plan.Group{build}, requests: []string{"", ""}},
			want:  plan.GroupPlan{Missing: 2, Metric: 2, Queued: 2},
		},
		{
			name:  "a waiting Job will take one",
			input: input{groups: []plan.Group{build}, requests: []string{"", ""}, jobs: []string{"build"}},
			want:  plan.GroupPlan{Missing: 1, Metric: 2, Unfinished: 1, Waiting: 1, Queued: 2},
		},
		{
			name:  "a busy Job will not, and stays in the metric",
			input: input{groups: []plan.Group{build}, requests: []string{"@build-0", ""}, jobs: []string{"build"}},
			want:  plan.GroupPlan{Missing: 1, Metric: 2, Unfinished: 1, Busy: 1, Queued: 1},
		},
		{
			name:  "nor will a draining one",
			input: input{groups: []plan.Group{build}, requests: []string{""}, jobs: []string{"build held"}},
			want:  plan.GroupPlan{Missing: 1, Metric: 2, Unfinished: 1, Draining: 1, Queued: 1},
		},
		{
			name:  "when nothing is missing the metric creates nothing, whatever ends before KEDA looks",
			input: input{groups: []plan.Group{build}, requests: []string{"@build-0"}, jobs: []string{"build", "build held", "build"}},
			want:  plan.GroupPlan{Unfinished: 3, Busy: 1, Draining: 1, Waiting: 1},
		},
		{
			name:  "a Job that ended in the second of the snapshot may have taken the request",
			input: input{groups: []plan.Group{build}, requests: []string{""}, jobs: []string{"build ended"}},
			want:  plan.GroupPlan{Ended: 1, Queued: 1},
		},
		{
			name:  "but not if it has been seen with another",
			input: input{groups: []plan.Group{build}, requests: []string{""}, jobs: []string{"build ended held"}},
			want:  plan.GroupPlan{Missing: 1, Metric: 1, Queued: 1},
		},
		{
			name:  "nor if the snapshot still shows it with another",
			input: input{groups: []plan.Group{build}, requests: []string{"@build-0", ""}, jobs: []string{"build ended"}},
			want:  plan.GroupPlan{Missing: 1, Metric: 1, Queued: 1},
		},
		{
			name:  "requests on agents of others count for nothing",
			input: input{groups: []plan.Group{build}, requests: []string{"@vm-1", "@build-gpu-1"}},
		},
		{
			name:  "maxReplicaCount bounds what is missing",
			input: input{groups: []plan.Group{scaledJob("build", "", maxReplicas(3))}, requests: []string{"", "", "", ""}, jobs: []string{"build held"}},
			want:  plan.GroupPlan{Missing: 2, Metric: 3, Unfinished: 1, Draining: 1, Queued: 2},
		},
		{
			name:  "minReplicaCount is taken off, since KEDA adds it",
			input: input{groups: []plan.Group{scaledJob("build", "", minReplicas(2))}, requests: []string{"@build-0", "", ""}, jobs: []string{"build", "build"}},
			want:  plan.GroupPlan{Missing: 1, Metric: 1, Unfinished: 2, Busy: 1, Waiting: 1, Queued: 2},
		},
		{
			name:  "below minReplicaCount KEDA ignores the metric",
			input: input{groups: []plan.Group{scaledJob("build", "", minReplicas(2))}, requests: []string{""}},
			want:  plan.GroupPlan{Missing: 2, Queued: 1},
		},
		{
			name:  "minIdle comes on top of what is queued",
			input: input{groups: []plan.Group{scaledJob("build", "", minIdle(2))}, requests: []string{""}, jobs: []string{"build", "build"}},
			want:  plan.GroupPlan{Missing: 1, Metric: 3, Unfinished: 2, Waiting: 2, Queued: 1, Idle: 2},
		},
		{
			name:  "idle Jobs by the number of busy ones",
			input: input{groups: []plan.Group{scaledJob("build", "", idle(func(busy int) int { return 1 + busy }))}, requests: []string{"@build-0", "@build-1", ""}, jobs: []string{"build", "build", "build held", "build"}},
			want:  plan.GroupPlan{Missing: 3, Metric: 7, Unfinished: 4, Busy: 2, Draining: 1, Waiting: 1, Queued: 1, Idle: 3},
		},
		{
			name:  "idle Jobs up to maxReplicaCount",
			input: input{groups: []plan.Group{scaledJob("build", "", minIdle(5), maxReplicas(3))}, jobs: []string{"build"}},
			want:  plan.GroupPlan{Missing: 2, Metric: 3, Unfinished: 1, Waiting: 1, Idle: 5},
		},
		{
			name:  "queued requests before idle Jobs",
			input: input{groups: []plan.Group{scaledJob("build", "", minIdle(5), maxReplicas(3))}, requests: []string{"", ""}},
			want:  plan.GroupPlan{Missing: 3, Metric: 3, Queued: 2, Idle: 5},
		},
		{
			name:  "a retired Job is none of the idle ones",
			input: input{groups: []plan.Group{scaledJob("build", "", minIdle(2))}, jobs: []string{"build retired", "build"}},
			want:  plan.GroupPlan{Missing: 1, Metric: 3, Unfinished: 2, Waiting: 2, Idle: 2},
		},
		{
			name:  "nothing is missing while another stands in for it",
			input: input{groups: []plan.Group{scaledJob("build", "", minIdle(2))}, jobs: []string{"build retired", "build", "build"}},
			want:  plan.GroupPlan{Unfinished: 3, Waiting: 3, Idle: 2},
		},
		{
			name:  "a retired Job still takes a request",
			input: input{groups: []plan.Group{scaledJob("build", "", minIdle(2))}, requests: []string{""}, jobs: []string{"build retired", "build", "build"}},
			want:  plan.GroupPlan{Unfinished: 3, Waiting: 3, Queued: 1, Idle: 2},
		},
		{
			name:  "parallel jobs that are left bound idle Jobs, without those that are retired",
			input: input{groups: []plan.Group{scaledJob("build", "", minIdle(5))}, jobs: []string{"build retired", "build"}, parallel: new(3)},
			want:  plan.GroupPlan{Missing: 2, Metric: 4, Unfinished: 2, Waiting: 2, Idle: 5},
		},
		{
			name:  "no new Job while held back, but its waiting one serves",
			input: input{groups: []plan.Group{scaledJob("build", "", blocked, minIdle(1), minReplicas(2))}, requests: []string{"", ""}, jobs: []string{"build"}},
			want:  plan.GroupPlan{Unfinished: 1, Waiting: 1, Queued: 1, Idle: 1},
		},
		{
			name:  "the organization's parallel jobs bound it, those of waiting Jobs included",
			input: input{groups: []plan.Group{scaledJob("build", "", minIdle(1))}, requests: []string{"", "", ""}, jobs: []string{"build"}, parallel: new(2)},
			want:  plan.GroupPlan{Missing: 1, Metric: 2, Unfinished: 1, Waiting: 1, Queued: 2, Idle: 1},
		},
		{
			name:  "Jobs of other ScaledJobs are none of ours",
			input: input{groups: []plan.Group{build}, requests: []string{""}, jobs: []string{"release"}},
			want:  plan.GroupPlan{Missing: 1, Metric: 1, Queued: 1},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := plan.Make(test.input.make()).Groups[key("build")]
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("build (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	build, gpu := scaledJob("build", "docker"), scaledJob("gpu", "docker,gpu")
	tests := []struct {
		name  string
		input input
		want  []string
	}{
		{
			name:  "who holds it",
			input: input{groups: []plan.Group{build}, requests: []string{"@build-0", "@vm-1"}, jobs: []string{"build"}},
			want:  []string{"busy Job uid-0 of ado/build", "other agent"},
		},
		{
			name:  "the fewest capabilities to spare",
			input: input{groups: []plan.Group{gpu, build}, requests: []string{"docker", "gpu"}},
			want:  []string{"new Job of ado/build", "new Job of ado/gpu"},
		},
		{
			name:  "priority before that",
			input: input{groups: []plan.Group{build, scaledJob("gpu", "docker,gpu", priority(1))}, requests: []string{"docker"}},
			want:  []string{"new Job of ado/gpu"},
		},
		{
			name:  "the name last",
			input: input{groups: []plan.Group{scaledJob("z", ""), scaledJob("y", "")}, requests: []string{""}},
			want:  []string{"new Job of ado/y"},
		},
		{
			name:  "a waiting Job before a new one, of whatever group",
			input: input{groups: []plan.Group{build, gpu}, requests: []string{"docker"}, jobs: []string{"gpu"}},
			want:  []string{"waiting Job uid-0 of ado/gpu"},
		},
		{
			name:  "what only one group can run keeps its waiting Job",
			input: input{groups: []plan.Group{build, gpu}, requests: []string{"docker", "gpu"}, jobs: []string{"gpu", "build"}},
			want:  []string{"waiting Job uid-1 of ado/build", "waiting Job uid-0 of ado/gpu"},
		},
		{
			name:  "even if the other one has to get a new Job for it",
			input: input{groups: []plan.Group{build, scaledJob("gpu", "docker,gpu", maxReplicas(1))}, requests: []string{"docker", "gpu"}, jobs: []string{"gpu"}},
			want:  []string{"new Job of ado/build", "waiting Job uid-0 of ado/gpu"},
		},
		{
			name:  "an idle Job is kept where it is wanted",
			input: input{groups: []plan.Group{scaledJob("a", "", minIdle(1)), scaledJob("b", "")}, requests: []string{""}, jobs: []string{"a", "b"}},
			want:  []string{"waiting Job uid-1 of ado/b"},
		},
		{
			name:  "a group without room passes on",
			input: input{groups: []plan.Group{scaledJob("build", "docker", maxReplicas(1)), gpu}, requests: []string{"docker", "docker"}},
			want:  []string{"new Job of ado/build", "new Job of ado/gpu"},
		},
		{
			name:  "one that is held back too",
			input: input{groups: []plan.Group{scaledJob("build", "docker", blocked), gpu}, requests: []string{"docker"}},
			want:  []string{"new Job of ado/gpu"},
		},
		{
			name: "room goes to those who have no other",
			input: input{
				groups:   []plan.Group{scaledJob("a", "x,y", maxReplicas(1), priority(1)), scaledJob("b", "x", maxReplicas(1))},
				requests: []string{"x", "y"},
			},
			want: []string{"new Job of ado/b", "new Job of ado/a"},
		},
		{
			name:  "the oldest first, and those of higher priority before",
			input: input{groups: []plan.Group{scaledJob("build", "", maxReplicas(2))}, requests: []string{"", "", "urgent"}},
			want:  []string{"new Job of ado/build", "unserved: ado/build is at maxReplicaCount 2", "new Job of ado/build"},
		},
		{
			name:  "nobody meets its demands",
			input: input{groups: []plan.Group{build}, requests: []string{"gpu", "docker gpu"}},
			want: []string{
				"unserved: no ScaledJob meets the demand gpu",
				"unserved: no ScaledJob meets all of the demands docker, gpu",
			},
		},
		{
			name: "each of those who could has a reason",
			input: input{
				groups:   []plan.Group{scaledJob("a", "", blocked), scaledJob("b", "", maxReplicas(1))},
				requests: []string{""}, jobs: []string{"b held"},
			},
			want: []string{"unserved: ado/a is held back: its Jobs fail; ado/b is at maxReplicaCount 1"},
		},
		{
			name:  "no parallel job is free",
			input: input{groups: []plan.Group{build}, requests: []string{"docker", "docker"}, parallel: new(1)},
			want:  []string{"new Job of ado/build", "unserved: the organization has no free parallel job"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, v := range plan.Make(test.input.make()).Requests {
				got = append(got, v.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEndedRounding has a Job's end in whole seconds, as Kubernetes does: it
// may be almost a second later than it says.
func TestEndedRounding(t *testing.T) {
	for end, want := range map[time.Duration]int{-time.Second: 1, 0: 0, time.Second: 0, time.Minute: 0} {
		in := input{groups: []plan.Group{scaledJob("build", "")}, requests: []string{""}, jobs: []string{"build ended"}}.make()
		in.Jobs[0].Ended = epoch.Add(end)
		if got := plan.Make(in).Groups[key("build")].Missing; got != want {
			t.Errorf("ended %v from the snapshot's second: %d missing, want %d", end, got, want)
		}
	}
}

// TestMatchedAgents distinguishes requests of the same demands of which Azure
// DevOps says that any agent will do for one.
func TestMatchedAgents(t *testing.T) {
	in := input{groups: []plan.Group{scaledJob("build", "")}, requests: []string{"gpu", "gpu"}}.make()
	in.Snapshot.Requests[1].MatchesAllAgents = true
	got := plan.Make(in).Requests
	if got[0].Outcome != plan.Unserved || got[1].Outcome != plan.ByNewJob {
		t.Errorf("got %v", got)
	}
}

func TestMakeIsDeterministicAndChangesNothing(t *testing.T) {
	in := largeInput()
	jobs, groups := slices.Clone(in.Jobs), slices.Clone(in.Groups)
	snapshot := *in.Snapshot
	snapshot.Requests = slices.Clone(snapshot.Requests)
	first := plan.Make(in)
	if diff := cmp.Diff(first, plan.Make(in)); diff != "" {
		t.Errorf("two plans differ:\n%s", diff)
	}
	byKey := cmp.Transformer("key", func(g plan.Group) plan.Key { return g.Key })
	if diff := cmp.Diff(groups, in.Groups, byKey); diff != "" || !reflect.DeepEqual(jobs, in.Jobs) ||
		!reflect.DeepEqual(&snapshot, in.Snapshot) {
		t.Errorf("the input has changed: %s", diff)
	}
	slices.Reverse(in.Jobs)
	slices.Reverse(in.Groups)
	if diff := cmp.Diff(first.Groups, plan.Make(in).Groups); diff != "" {
		t.Errorf("the order of Jobs and groups matters:\n%s", diff)
	}
}

func TestHistory(t *testing.T) {
	in := input{
		groups:   []plan.Group{scaledJob("build", "")},
		requests: []string{"@build-0"}, jobs: []string{"build", "build"},
	}.make()
	var history plan.History
	history.Observe(in.Snapshot, in.Matcher, in.Jobs)
	history.Observe(&adoqueue.Snapshot{}, in.Matcher, in.Jobs) // the request is finished
	if !history.Held("uid-0") || history.Held("uid-1") {
		t.Error("just uid-0 has held a request")
	}
	history.Observe(&adoqueue.Snapshot{}, in.Matcher, in.Jobs[1:]) // the Job is gone
	if history.Held("uid-0") {
		t.Error("a Job that is gone is to be forgotten")
	}
}
