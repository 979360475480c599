package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

func firstHalf(g *plan.Group) { g.Shard = adoqueue.Shard{Index: 1, Count: 2} }

// The ids of these requests are in the shards 1/2 and 2/2.
const (
	ours, ours2     = 1, 3
	theirs, theirs2 = 2, 4
)

// TestSwapsOfGroupsThatAreGone has the group deleted that a request of a swap was
// for: its Job is useless for another kind of request.
func TestSwapsOfGroupsThatAreGone(t *testing.T) {
	build, gpu := scaledJob("build", "docker", firstHalf), scaledJob("gpu", "gpu", firstHalf)
	snapshot := func(requests map[int64]string) *adoqueue.Snapshot {
		s := &adoqueue.Snapshot{RequestedAt: asked}
		for _, id := range slices.Sorted(maps.Keys(requests)) {
			r := input{requests: []string{requests[id]}}.make().Snapshot.Requests[0]
			r.ID = id
			s.Requests = append(s.Requests, r)
		}
		return s
	}
	for name, swapped := range map[string]map[int64]string{
		"lent":     {ours: "gpu", theirs: "gpu @gpu-0"},
		"borrowed": {ours: "gpu @elsewhere", theirs: "gpu"},
	} {
		t.Run(name, func(t *testing.T) {
			in := input{groups: []plan.Group{build, gpu}, jobs: []string{"gpu"}}.make()
			var history plan.History
			both := plan.NewMatcher(in.Groups)
			history.Observe(snapshot(nil), both, in.Jobs)
			history.Observe(snapshot(swapped), both, in.Jobs)
			if len(history.Swaps()) != 1 {
				t.Fatalf("swaps %v, want one", history.Swaps())
			}
			in.Groups, in.Jobs = []plan.Group{build}, nil
			in.Snapshot, in.Matcher = snapshot(map[int64]string{ours2: "docker", theirs2: "docker"}), plan.NewMatcher(in.Groups)
			history.Observe(in.Snapshot, in.Matcher, nil)
			in.Swaps = history.Swaps()
			if got := plan.Make(in).Groups[build.Key].Missing; got != 1 {
				t.Errorf("%d missing, want 1; swaps %v", got, in.Swaps)
			}
		})
	}
}

// TestSwaps shows a scaler with the shard 1/2 what happens in the pool and has it
// plan: how many Jobs are missing after each step.
func TestSwaps(t *testing.T) {
	groups := []plan.Group{scaledJob("build", "docker", firstHalf), scaledJob("gpu", "docker,gpu", firstHalf)}
	type step struct {
		after    time.Duration
		requests map[int64]string // as those of input
		jobs     []string         // as those of input
		missing  int
	}
	lent := step{requests: map[int64]string{ours: "", theirs: "@build-0"}, jobs: []string{"build"}}
	borrowed := step{requests: map[int64]string{ours: "@elsewhere", theirs: ""}, jobs: []string{"build"}}
	calm := step{jobs: []string{"build"}}
	tests := []struct {
		name  string
		steps []step
	}{
		{"what others are to serve is not counted", []step{{requests: map[int64]string{ours: "", theirs: "", theirs2: ""}, missing: 1}}},
		{"nor does it use a waiting Job", []step{{requests: map[int64]string{ours: "", theirs: ""}, jobs: []string{"build"}}}},
		{"a Job of theirs is left over for ours", []step{calm, lent}},
		{"also when theirs is done", []step{calm, lent, {requests: map[int64]string{ours: ""}, jobs: []string{"build held"}}}},
		{"but for one only", []step{calm, lent, {requests: map[int64]string{ours: "", ours2: "", theirs: "@build-0"}, jobs: []string{"build"}, missing: 1}}},
		{"until it takes ours", []step{calm, lent, {
			requests: map[int64]string{ours: "@elsewhere", ours2: "", theirs: "@build-0"}, jobs: []string{"build"}, missing: 1,
		}}},
		{"until ours is cancelled", []step{calm, lent, calm, {requests: map[int64]string{ours2: ""}, jobs: []string{"build held"}, missing: 1}}},
		{"for two minutes at most", []step{calm, lent, {after: 121 * time.Second, requests: lent.requests, jobs: lent.jobs, missing: 1}}},
		{"not if it may be unable to run ours", []step{calm, {
			requests: map[int64]string{ours: "gpu", theirs: "docker @build-0"}, jobs: []string{"build"}, missing: 1,
		}}},
		{"also if it is seen only after our start", []step{lent}},
		{"unless that was long ago", []step{{requests: map[int64]string{ours: "", theirs: "@build-0 old"}, jobs: []string{"build"}, missing: 1}}},
		{"a Job of ours is left over for theirs", []step{calm, borrowed, {
			requests: map[int64]string{ours2: "", theirs: ""}, jobs: []string{"build"}, missing: 1,
		}}},
		{"and is made again if it fails", []step{calm, borrowed, {requests: borrowed.requests, missing: 1}}},
		{"until it takes theirs", []step{calm, borrowed, {
			requests: map[int64]string{ours: "@elsewhere", theirs: "@build-0", theirs2: "", ours2: ""}, jobs: []string{"build", "build"},
		}}},
		{"until theirs is gone", []step{calm, borrowed, calm, {requests: map[int64]string{ours2: "", theirs2: ""}, jobs: []string{"build"}}}},
		{"for four minutes at most", []step{calm, borrowed, {
			after: 241 * time.Second, requests: map[int64]string{ours2: "", theirs: ""}, jobs: []string{"build"},
		}}},
		{"not if ours has an agent of ours after all", []step{calm, {
			requests: map[int64]string{ours: "@build-1", theirs: ""}, jobs: []string{"build"},
		}, {requests: map[int64]string{ours: "@build-1", ours2: "", theirs: ""}, jobs: []string{"build", "build"}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var history plan.History
			for i, step := range test.steps {
				in := input{groups: groups, jobs: step.jobs}.make()
				in.Snapshot.RequestedAt = asked.Add(step.after)
				for _, id := range slices.Sorted(maps.Keys(step.requests)) {
					text, old := strings.CutSuffix(step.requests[id], " old")
					r := input{requests: []string{text}}.make().Snapshot.Requests[0]
					if r.ID = id; r.Agent != "" {
						r.AssignTime = asked.Add(-time.Second)
					}
					if old {
						r.AssignTime = asked.Add(-time.Hour)
					}
					in.Snapshot.Requests = append(in.Snapshot.Requests, r)
				}
				in.Matcher = plan.NewMatcher(groups)
				history.Observe(in.Snapshot, in.Matcher, in.Jobs)
				in.Swaps = history.Swaps()
				missing := 0
				for _, g := range plan.Make(in).Groups {
					missing += g.Missing
				}
				if missing != step.missing {
					t.Errorf("step %d: %d missing, want %d; swaps %s", i+1, missing, step.missing, fmt.Sprint(in.Swaps))
				}
			}
		})
	}
}
