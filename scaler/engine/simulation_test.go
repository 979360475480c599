package engine_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	scenarios   = flag.Uint64("scenarios", 2000, "how many scenarios TestSimulation draws")
	replayed    = flag.Uint64("seed", 0, "replay the scenario with this seed, with a trace")
	simulatedAt = "go test ./scaler/engine -v -run '^TestSimulation$' -seed %d: "
)

// TestSimulation plays random scenarios with all that plan's own simulation does
// not know: names that Kubernetes cuts, triggers whose values only KEDA can read,
// ScaledJobs that are paused, deleted or not asked for, a scaler that restarts,
// and two clusters that divide a pool. The engine sees Kubernetes through a real
// index, and KEDA creates Jobs by its formula.
//
// Azure DevOps assigns each request to any agent of its kind, and nothing fails, so
// that the numbers are exact: as many Jobs are created as requests are taken, but
// for those whose request was cancelled; and no request waits for longer than it
// takes to see it, to learn whom KEDA asks for, and to start an agent.
func TestSimulation(t *testing.T) {
	first, last := uint64(1), *scenarios
	if *replayed != 0 {
		first, last = *replayed, *replayed
	}
	var all account
	for seed := first; seed <= last; seed++ {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, drawScenario(seed))
			if *replayed != 0 {
				t.Logf("%+v", w.scenario)
				w.trace = t.Logf
			}
			w.play()
			for _, violation := range w.violations {
				t.Errorf(simulatedAt+"%s", seed, violation)
			}
			all.add(w)
		})
		if t.Failed() && *replayed == 0 {
			t.FailNow()
		}
	}
	t.Log(all.String())
	if *replayed == 0 && *scenarios >= 100 && all.lacksKind() {
		t.Error("some kind of trouble was never drawn: this shows nothing of it")
	}
}

// account is what happened in all scenarios together.
type account struct {
	scenarios, jobs, requests, cancelled, surplus int
	long, fromEnv, paused, deleted, unasked       int // groups
	sharded, restarted, crossed                   int
}

func (a *account) add(w *world) {
	a.scenarios++
	a.jobs += len(w.jobs)
	a.requests += len(w.requests)
	a.surplus += w.surplus
	a.crossed += w.crossed
	for _, r := range w.requests {
		if r.cancelled {
			a.cancelled++
		}
	}
	for _, g := range w.groups {
		for counter, is := range map[*int]bool{
			&a.long: len(g.name) > 51, &a.fromEnv: g.fromEnv, &a.paused: g.absence == paused, &a.deleted: g.absence == deleted,
			&a.unasked: g.absence == unasked,
		} {
			if is {
				*counter++
			}
		}
	}
	if w.clusters > 1 {
		a.sharded++
	}
	if w.restart > 0 {
		a.restarted++
	}
}

func (a *account) String() string {
	return fmt.Sprintf("%+v", *a)
}

func (a *account) lacksKind() bool {
	return min(a.long, a.fromEnv, a.paused, a.deleted, a.unasked, a.sharded, a.restarted, a.crossed, a.cancelled) == 0
}

// scenario is what a simulation plays, all of it drawn from a seed.
type scenario struct {
	seed     uint64
	clusters int
	podsSeen bool
	groups   []simGroup
	arrivals []arrival
	restart  time.Duration // of all scalers, 0 for never

	run, drain, podStart, register span
}

// The same in all scenarios.
const (
	horizon  = 90 * time.Second // after which nothing new happens
	snapshot = time.Second      // the age up to which snapshots are good
	dispatch = 300 * time.Millisecond
	asking   = time.Minute // how long a ScaledJob counts as one that KEDA asks for
	settling = 8 * time.Minute
	forever  = 24 * time.Hour
)

// simGroup is a ScaledJob.
type simGroup struct {
	name    string
	cluster int
	kind    int // of the requests that it serves
	poll    time.Duration
	phase   time.Duration // of its first poll
	fromEnv bool          // its trigger has values that only KEDA can read
	absence absence
	away    span // when it gets no Jobs
}

// absence is why a ScaledJob gets no Jobs from KEDA.
type absence int

const (
	present absence = iota
	paused          // by its annotation
	deleted         // while its Jobs run on
	unasked         // its namespace is none of KEDA's: nobody says so
)

// arrival is a request to come.
type arrival struct {
	at        time.Duration
	kind      int
	cancelled time.Duration // so long after it came, if not 0
}

// span is a range of durations, or a time from and to.
type span struct{ min, max time.Duration }

func (s span) has(t time.Duration) bool { return s.min <= t && t < s.max }

type drawer struct{ *rand.Rand }

func (d drawer) one(in int) bool { return d.IntN(in) == 0 }

func (d drawer) between(s span) time.Duration {
	if s.max <= s.min {
		return s.min
	}
	return s.min + time.Duration(d.Int64N(int64(s.max-s.min)))
}

func (d drawer) upTo(most time.Duration) time.Duration { return d.between(span{1, most}) }

func drawScenario(seed uint64) scenario {
	d := drawer{rand.New(rand.NewPCG(seed, 0))}
	s := scenario{
		seed: seed, clusters: 1, podsSeen: !d.one(3),
		// A run that begins and ends between two looks at the pool cannot be seen.
		run:      span{3 * time.Second, 30 * time.Second},
		drain:    span{200 * time.Millisecond, d.between(span{500 * time.Millisecond, 15 * time.Second})},
		podStart: span{200 * time.Millisecond, 4 * time.Second}, register: span{time.Second, 6 * time.Second},
	}
	switch d.IntN(4) {
	case 0: // each looks at the pool at its polls only while its own Jobs do not wait
		s.clusters, s.run.min = 2, 12*time.Second
	case 1:
		s.restart = d.upTo(horizon)
	}
	kinds := 1 + d.IntN(2)
	for kind := range kinds {
		d.addGroups(&s, kind)
	}
	d.addArrivals(&s, kinds)
	return s
}

// addGroups adds ScaledJobs of a kind, in each cluster one that stays.
func (d drawer) addGroups(s *scenario, kind int) {
	// Names that are equal as far as Kubernetes keeps them.
	stem := "build"
	if s.podsSeen && d.one(2) {
		stem = strings.Repeat("n", 52+d.IntN(8))
	}
	stays := d.IntN(3)
	for i := range max(stays, d.IntN(3)) + 1 {
		for cluster := range s.clusters {
			g := simGroup{
				name: fmt.Sprintf("%s-%c%c", stem, 'a'+i, 'p'+kind), cluster: cluster, kind: kind, fromEnv: d.one(3),
				poll: d.between(span{time.Second, 10 * time.Second}),
			}
			g.phase = d.upTo(g.poll)
			if i != stays && !d.one(3) {
				d.sendAway(&g)
			}
			s.groups = append(s.groups, g)
		}
	}
}

// sendAway has a ScaledJob get no Jobs for a while, or forever.
func (d drawer) sendAway(g *simGroup) {
	g.absence = paused + absence(d.IntN(3))
	g.away = span{0, forever}
	if !d.one(3) {
		g.away.min = d.upTo(horizon)
	}
	if g.absence != deleted && d.one(2) {
		g.away.max = g.away.min + d.upTo(horizon)
	}
}

func (d drawer) addArrivals(s *scenario, kinds int) {
	// A cluster cannot know which Jobs a cancelled request left in another one.
	cancels := s.clusters == 1 && d.one(3)
	add := func(at time.Duration) {
		a := arrival{at: at, kind: d.IntN(kinds)}
		if cancels && d.one(4) {
			a.cancelled = d.upTo(30 * time.Second)
		}
		s.arrivals = append(s.arrivals, a)
	}
	for range d.IntN(4) {
		at := d.upTo(horizon)
		for range d.IntN(8) {
			add(at + d.upTo(time.Second))
		}
	}
	for range 1 + d.IntN(12) {
		add(d.upTo(horizon))
	}
}

// unavoidable is the longest that a request may wait.
func (s *scenario) unavoidable() time.Duration {
	slowest, unnoticed := time.Duration(0), time.Duration(0)
	for i := range s.groups {
		g := &s.groups[i]
		slowest = max(slowest, g.poll)
		if g.absence == unasked {
			unnoticed += asking // each in turn may have the share of the one before
		}
	}
	if s.restart > 0 { // whoever was known not to be asked for is so again, and Jobs that drain seem to wait
		unnoticed = 2*unnoticed + s.drain.max
	}
	// Until KEDA has asked for all, nobody knows what is in variables.
	return slowest + snapshot + slowest + unnoticed + s.podStart.max + s.register.max + dispatch
}
