package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// scenario is what happens in a pool during a run.
type scenario struct {
	name   string
	groups []group

	bursts, size int
	every        time.Duration // between two bursts
	least, most  time.Duration // that a job takes

	foreign int             // agents of somebody else, busy all the time
	special int             // jobs of each burst that only one of the groups can run
	cancel  []time.Duration // for the last jobs of each burst, after how long they are cancelled
}

// group is a ScaledJob.
type group struct {
	name         string
	capabilities []string // of its agents; nil: the trigger does not state any
}

// agentTimes are those of all agents. Pod start, registration and receiving are what
// no count of Jobs can spare a job.
var agentTimes = cluster.AgentTimes{
	PodStart: 3 * time.Second, Registration: 4 * time.Second, Cleaning: 2 * time.Second, Patience: time.Minute,
}

// receiving is how long an agent takes to receive the job that it was assigned.
const receiving = 500 * time.Millisecond

// capabilities returns those of a group's agents.
func (s scenario) capabilities(scaledJob string) map[string]string {
	for _, g := range s.groups {
		if g.name == scaledJob {
			return values(g.capabilities)
		}
	}
	return nil
}

func values(capabilities []string) map[string]string {
	m := map[string]string{}
	for _, capability := range capabilities {
		m[capability] = "1"
	}
	return m
}

// Demands of jobs where there are two ScaledJobs.
const (
	common = "docker"
	rare   = "gpu"
)

func scenarios() []scenario {
	bursts := scenario{
		name: "Three bursts of ten, 20 s apart", groups: []group{{name: "build"}},
		bursts: 3, size: 10, every: 20 * time.Second, least: 6 * time.Second, most: 18 * time.Second,
	}
	foreign := bursts
	foreign.name, foreign.foreign = "The same, with five busy agents of somebody else in the pool", 5
	shared := bursts
	shared.name, shared.special = "The same, with two ScaledJobs on the pool", 4
	shared.groups = []group{
		{name: "build", capabilities: []string{common}},
		{name: "build-gpu", capabilities: []string{common, rare}},
	}
	cancelled := bursts
	cancelled.name = "The same, with three of each ten jobs cancelled while queued"
	cancelled.cancel = []time.Duration{1500 * time.Millisecond, 5 * time.Second, 5 * time.Second}
	return []scenario{bursts, foreign, shared, cancelled, {
		name: "Twelve bursts of six short jobs, 4 s apart", groups: []group{{name: "build"}},
		bursts: 12, size: 6, every: 4 * time.Second, least: time.Second, most: 3 * time.Second,
	}}
}

// shortened leaves the scenario's kind as it is.
func (s scenario) shortened() scenario {
	s.every, s.most = min(s.every, 7*time.Second), min(s.most, 8*time.Second)
	s.bursts = 1 + int(14*time.Second/s.every)
	return s
}

// jobs are those of each burst, the same for every contender. The ones that only
// one group can run come first: were they behind, an agent that can run all would
// be given another job first, and no count could make up for that.
func (s scenario) jobs() [][]adotest.Job {
	random := rand.New(rand.NewPCG(20, 26))
	jobs := make([][]adotest.Job, s.bursts)
	for i := range jobs {
		jobs[i] = make([]adotest.Job, s.size)
		for k := range jobs[i] {
			jobs[i][k].Duration = s.least + time.Duration(random.Int64N(int64(s.most-s.least)))
			if s.groups[0].capabilities != nil {
				jobs[i][k].Demands = append(jobs[i][k].Demands, common)
			}
			if k < s.special {
				jobs[i][k].Demands = append(jobs[i][k].Demands, rare)
			}
		}
	}
	return jobs
}

// contender is a way to have KEDA scale.
type contender struct {
	name     string
	ours     bool
	strategy string
	metadata map[string]string
	// capabilities is the key of the metadata with those of a group.
	capabilities string
}

func (s settings) contenders() []contender {
	ours := contender{name: "ours", ours: true, capabilities: "capabilities"}
	if s.count != "" {
		ours.name += ", `count: " + s.count + "`"
		ours.metadata = map[string]string{"count": s.count}
	}
	return []contender{ours, {
		name: "built-in, in flight, `default`", strategy: "default", capabilities: "demands",
		metadata: map[string]string{"scaleOnInFlight": "true"},
	}, {
		name: "built-in, queued, `accurate`", strategy: "accurate", capabilities: "demands",
		metadata: map[string]string{"scaleOnInFlight": "false"},
	}}
}

// run is one measurement.
type run struct {
	scenario  scenario
	contender contender
	interval  time.Duration // KEDA's pollingInterval
}

func (r run) name() string {
	return fmt.Sprintf("%s | %s | %v", r.scenario.name, r.contender.name, r.interval)
}

// bound is the longest that a job of ours may wait: what starting an agent takes,
// one poll, and some time for the machine.
func (r run) bound() time.Duration {
	return agentTimes.PodStart + agentTimes.Registration + receiving + r.interval + 1500*time.Millisecond
}

func (s settings) runs() []run {
	intervals := []time.Duration{2 * time.Second, 5 * time.Second}
	if s.short {
		intervals = intervals[:1]
	}
	var runs []run
	for i, scenario := range scenarios() {
		if s.short {
			scenario = scenario.shortened()
		}
		for _, contender := range s.contenders() {
			if s.short && i > 0 && !contender.ours {
				continue // the others show in one scenario what they do
			}
			for _, interval := range intervals {
				if r := (run{scenario, contender, interval}); strings.Contains(r.name(), s.only) {
					runs = append(runs, r)
				}
			}
		}
	}
	return runs
}
