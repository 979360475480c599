package adotest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// withPool returns a stand-in with a pool "linux" of id 1 and agents in it.
func withPool(t *testing.T, opts Options, agents ...Agent) *Server {
	t.Helper()
	ado := New(opts)
	ado.AddPool(Pool{Name: "linux"})
	for _, a := range agents {
		must1(ado.AddAgent("linux", a))(t)
	}
	return ado
}

func ids(requests []value) (out []int) {
	for _, r := range requests {
		out = append(out, int(r["requestId"].(float64)))
	}
	return out
}

func TestQueueNeedsARegisteredAgent(t *testing.T) {
	const version = "Agent.Version -gtVersion 2.182.1"
	placeholder := Agent{Name: "placeholder", Offline: true, Disabled: true, Capabilities: map[string]string{"gpu": "a100"}}
	tests := []struct {
		name   string
		opts   Options
		agents []Agent
		job    Job
		fails  string
	}{
		{"empty pool", Options{}, nil, Job{}, "No agent found in pool linux which satisfies the specified demands: " + version},
		{"empty pool, opted out", Options{AllowUnmatched: true}, nil, Job{}, ""},
		{"empty pool, skipped", Options{}, nil, Job{SkipMatch: true}, ""},
		{"offline and disabled", Options{}, []Agent{placeholder}, Job{Demands: []string{"GPU -equals A100"}}, ""},
		{
			"no such capability",
			Options{},
			[]Agent{placeholder},
			Job{Demands: []string{"docker", "gpu"}},
			"No agent found in pool linux which satisfies the specified demands: docker, gpu, " + version,
		},
		{"too old", Options{}, []Agent{{Name: "old", Version: "2.1.0"}}, Job{}, version},
		{"too old, not asked", Options{}, []Agent{{Name: "old", Version: "2.1.0"}}, Job{NoVersionDemand: true}, ""},
		{"name", Options{}, []Agent{placeholder}, Job{Demands: []string{"agent.name -equals Placeholder"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ado := withPool(t, tt.opts, tt.agents...)
			id, err := ado.Queue("linux", tt.job)
			listed := len(get(t, ado, tasks+"pools/1/jobrequests").list(t))
			if tt.fails == "" {
				if err != nil || id == 0 || listed != 1 {
					t.Errorf("got %d, %v, %d listed", id, err, listed)
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.fails) || listed != 0 {
				t.Errorf("got %v, want %q; %d listed", err, tt.fails, listed)
			}
		})
	}
	if _, err := New(Options{}).Queue("nowhere", Job{}); err == nil {
		t.Error("queued in a pool that does not exist")
	}
}

func TestMatchedAgents(t *testing.T) {
	ado := withPool(t, Options{},
		Agent{Name: "a", Capabilities: map[string]string{"gpu": "1"}},
		Agent{Name: "b", Offline: true, Capabilities: map[string]string{"gpu": "1"}},
		Agent{Name: "c"})
	must1(ado.Queue("linux", Job{Demands: []string{"gpu"}}))(t)
	must1(ado.Queue("linux", Job{}))(t)
	path := tasks + "pools/1/jobrequests?completedRequestCount=0"

	requests := get(t, ado, path).list(t)
	some, all := requests[0], requests[1]
	var names []string
	for _, a := range some["matchedAgents"].([]any) {
		a := a.(map[string]any)
		names = append(names, fmt.Sprint(a["name"], " ", a["status"]))
		if a["osDescription"] != nil || a["accessPoint"] != nil || a["_links"] == nil || a["version"] != "4.255.0" {
			t.Errorf("got %v", a)
		}
	}
	if !slices.Equal(names, []string{"a online", "b offline"}) || some["matchesAllAgentsInPool"] != nil {
		t.Errorf("got %v, %v", names, some["matchesAllAgentsInPool"])
	}
	if all["matchesAllAgentsInPool"] != true || all["matchedAgents"] != nil {
		t.Errorf("got %v", all)
	}

	check(t, ado.RemoveAgent("linux", "c"))
	if requests := get(t, ado, path).list(t); requests[0]["matchesAllAgentsInPool"] != true {
		t.Errorf("got %v", requests[0])
	}
	check(t, ado.SetAgentCapabilities("linux", "a", nil))
	check(t, ado.SetAgentCapabilities("linux", "b", nil))
	if r := get(t, ado, path).list(t)[0]; r["matchesAllAgentsInPool"] != nil || r["matchedAgents"] != nil {
		t.Errorf("got %v", r)
	}
	if r := get(t, ado, tasks+"pools/1/jobrequests?$top=5").list(t)[0]; r["matchedAgents"] != nil || r["matchesAllAgentsInPool"] != nil {
		t.Errorf("$top: got %v", r)
	}
}

func TestRequestFields(t *testing.T) {
	ado := withPool(t, Options{}, Agent{Name: "a"})
	id := must1(ado.Queue("linux", Job{Name: "Unit tests", Demands: []string{"Agent.OS -equals linux"}}))(t)
	one := func() value { return get(t, ado, fmt.Sprintf("%spools/1/jobrequests/%d", tasks, id)).object(t) }
	absent := func(v value, names ...string) {
		t.Helper()
		for _, name := range names {
			if v[name] != nil {
				t.Errorf("%s: got %v, want none", name, v[name])
			}
		}
	}

	queued := one()
	absent(queued, "assignTime", "receiveTime", "finishTime", "result", "lockedUntil", "reservedAgent")
	if queued["planType"] != "Build" || queued["serviceOwner"] != buildService || queued["poolId"] != 1.0 || queued["priority"] != 0.0 ||
		queued["jobName"] != "Unit tests" || !strings.HasSuffix(queued["orchestrationId"].(string), ".unit_tests.__default") {
		t.Errorf("got %v", queued)
	}
	if got := fmt.Sprint(queued["demands"], queued["data"]); got != "[Agent.OS -equals linux Agent.Version -gtVersion 2.182.1] map[IsScheduledKey:False ParallelismTag:Private]" {
		t.Errorf("got %s", got)
	}

	check(t, ado.Assign(id, "a"))
	assigned := one()
	absent(assigned, "receiveTime", "finishTime", "result", "lockedUntil", "matchesAllAgentsInPool", "matchedAgents")
	holder := assigned["reservedAgent"].(map[string]any)
	if assigned["assignTime"] == nil || holder["name"] != "a" || holder["accessPoint"] != "CodexAccessMapping" || holder["osDescription"] == nil {
		t.Errorf("got %v", assigned)
	}

	check(t, ado.Receive(id))
	running := one()
	absent(running, "finishTime", "result")
	if running["receiveTime"] == nil || running["lockedUntil"] == nil {
		t.Errorf("got %v", running)
	}

	check(t, ado.Finish(id, "succeededWithIssues"))
	finished := one()
	if finished["finishTime"] == nil || finished["result"] != "succeededWithIssues" || finished["reservedAgent"] == nil {
		t.Errorf("got %v", finished)
	}
	get(t, ado, tasks+"pools/1/jobrequests/77").wantError(t, 404, "TaskAgentJobNotFoundException", "77")
}

func TestReleaseAndServerFields(t *testing.T) {
	ado := withPool(t, Options{Flavour: Server2020, AllowUnmatched: true})
	must1(ado.Queue("linux", Job{Name: "Prod", Plan: "Release", Public: true, NoVersionDemand: true}))(t)
	r := get(t, ado, tasks+"pools/1/jobrequests").list(t)[0]
	if r["serviceOwner"] != releaseService || r["priority"] != nil || r["demands"] != nil || fmt.Sprint(r["data"]) != "map[ParallelismTag:Public]" ||
		r["owner"].(map[string]any)["name"] != "Release-1 / Prod" {
		t.Errorf("got %v", r)
	}
}

// busyPool has 60 finished requests of agent a, 1 cancelled without an agent, 1
// running on b and 2 queued, in this order of ids.
func busyPool(t *testing.T, opts Options) *Server {
	t.Helper()
	ado := withPool(t, opts, Agent{Name: "a"}, Agent{Name: "b"})
	for range 60 {
		id := must1(ado.Queue("linux", Job{}))(t)
		check(t, ado.Assign(id, "a"))
		check(t, ado.Finish(id, ""))
	}
	check(t, ado.Cancel(must1(ado.Queue("linux", Job{}))(t)))
	running := must1(ado.Queue("linux", Job{}))(t)
	check(t, ado.Assign(running, "b"))
	check(t, ado.Receive(running))
	must1(ado.Queue("linux", Job{}))(t)
	must1(ado.Queue("linux", Job{}))(t)
	return ado
}

func countdown(from, to int) (out []int) {
	for i := from; i >= to; i-- {
		out = append(out, i)
	}
	return out
}

func TestListQueries(t *testing.T) {
	ado := busyPool(t, Options{})
	unfinished := []int{62, 63, 64}
	tests := []struct {
		query string
		want  []int
	}{
		{"", append(countdown(61, 11), unfinished...)}, // 50 of agent a, 1 of none
		{"?completedRequestCount=0", unfinished},
		{"?completedRequestCount=2", append([]int{61, 60}, unfinished...)},
		{"?completedRequestCount=0&api-version=7.1", unfinished},
		{"?$top=2&completedRequestCount=0", []int{64, 63}},
		{"?%24top=3", []int{64, 63, 62}},
		{"?$top=4&continuationToken=62", []int{61, 60, 59, 58}},
		{"?agentId=2", []int{62}},
		{"?agentIds=1,2&completedRequestCount=1", []int{60, 62}},
		{"?agentId=7", nil},
	}
	for _, tt := range tests {
		if got := ids(get(t, ado, tasks+"pools/1/jobrequests"+tt.query).list(t)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.query, got, tt.want)
		}
	}
}

func TestTopIsCappedAndPaged(t *testing.T) {
	ado := withPool(t, Options{AllowUnmatched: true})
	for range 450 {
		must1(ado.Queue("linux", Job{}))(t)
	}
	var got []int
	for token, pages := "", 0; ; pages++ {
		r := get(t, ado, tasks+"pools/1/jobrequests?$top=250&continuationToken="+token)
		page := ids(r.list(t))
		got = append(got, page...)
		if token = r.header.Get("x-ms-continuationtoken"); token == "" {
			if pages != 2 || len(page) != 50 {
				t.Errorf("page %d has %d", pages, len(page))
			}
			break
		}
		if len(page) != 200 {
			t.Fatalf("page %d has %d", pages, len(page))
		}
	}
	if !slices.Equal(got, countdown(450, 1)) {
		t.Errorf("got %v", got)
	}
	if n := len(get(t, ado, tasks+"pools/1/jobrequests?completedRequestCount=0").list(t)); n != 450 {
		t.Errorf("without $top: got %d", n)
	}
}

func TestShuffleUnfinished(t *testing.T) {
	ado := withPool(t, Options{AllowUnmatched: true, ShuffleUnfinished: true})
	for range 50 {
		must1(ado.Queue("linux", Job{}))(t)
	}
	first := ids(get(t, ado, tasks+"pools/1/jobrequests?completedRequestCount=0").list(t))
	second := ids(get(t, ado, tasks+"pools/1/jobrequests?completedRequestCount=0").list(t))
	if slices.Equal(first, second) {
		t.Error("twice the same order of 50")
	}
	slices.Sort(first)
	slices.Sort(second)
	if !slices.Equal(first, second) {
		t.Errorf("got %v and %v", first, second)
	}
}

func TestVerbatimBody(t *testing.T) {
	ado := withPool(t, Options{AllowUnmatched: true})
	must1(ado.Queue("linux", Job{}))(t)
	body := "\ufeff[{\"requestId\":7}]"
	ado.SetJobRequestsBody("linux", []byte(body), "text/plain")
	r := get(t, ado, tasks+"pools/1/jobrequests?$top=1")
	if r.body != body || r.header.Get("Content-Type") != "text/plain" {
		t.Errorf("got %s %q", r.header.Get("Content-Type"), r.body)
	}
	ado.SetJobRequestsBody("linux", nil, "")
	if got := len(get(t, ado, tasks+"pools/1/jobrequests").list(t)); got != 1 {
		t.Errorf("got %d", got)
	}
}
