package plan_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// scenario is what a simulation plays, all of it drawn from a seed.
type scenario struct {
	seed     uint64
	calm     bool
	groups   []group
	foreign  []skills
	arrivals []arrival
	parallel int // parallel jobs of the organization, 0 for no bound

	horizon time.Duration // after which no request comes
	settle  time.Duration // how long to continue after the end

	dispatch, receive  span // until a request is assigned, and until it runs
	podStart, register span // from the Job to the pod's name, and on to the agent
	run, drains, lapse span
	idleTimeout        time.Duration

	maxAge, maxStale time.Duration // of snapshots, and while Azure DevOps fails
	outage           span          // when Azure DevOps fails
	latency          span          // of its answers
	answerToList     span          // from our answer to KEDA's listing of Jobs
	ourLag, kedaLag  time.Duration // of the views of Jobs
	restart          time.Duration // when our memory is lost

	failures, kills, interrupts float64 // probabilities

	asking time.Duration // how long a group counts as one that KEDA asks for
}

// arrival is a request to come.
type arrival struct {
	at        time.Duration
	demands   skills
	priority  int
	cancelled time.Duration // so long after it came, if not 0
}

// span is a range of durations, or a time from and to.
type span struct{ min, max time.Duration }

func (s span) draw(random *rand.Rand) time.Duration {
	if s.max <= s.min {
		return s.min
	}
	return s.min + time.Duration(random.Int64N(int64(s.max-s.min)))
}

// drawer draws parts of a scenario.
type drawer struct{ *rand.Rand }

// drawScenario draws one where anything may happen.
func drawScenario(seed uint64) scenario {
	d := drawer{rand.New(rand.NewPCG(seed, 0))}
	s := scenario{
		seed:     seed,
		horizon:  d.between(20*time.Second, 90*time.Second),
		dispatch: span{0, d.upTo(time.Second)}, receive: span{0, d.upTo(time.Second)},
		podStart: span{200 * time.Millisecond, d.between(time.Second, 8*time.Second)},
		register: span{time.Second, d.between(2*time.Second, 8*time.Second)},
		run:      span{d.upTo(8 * time.Second), d.between(8*time.Second, 40*time.Second)},
		drains:   span{200 * time.Millisecond, d.between(500*time.Millisecond, 8*time.Second)},
		lapse:    span{10 * time.Second, 30 * time.Second},
		maxAge:   d.between(0, 2*time.Second), maxStale: d.upTo(30 * time.Second),
		latency:      span{20 * time.Millisecond, d.between(50*time.Millisecond, 400*time.Millisecond)},
		answerToList: span{time.Millisecond, d.between(2*time.Millisecond, 60*time.Millisecond)},
		ourLag:       d.upTo(100 * time.Millisecond), kedaLag: d.upTo(200 * time.Millisecond),
	}
	d.disturb(&s)
	d.addGroups(&s, 1+d.IntN(4), d.one(2))
	d.addArrivals(&s)
	d.sendAway(&s)
	s.settle = 25 * time.Second
	return s
}

// drawCalm draws a scenario in which nothing fails, so that the longest wait is
// known beforehand.
func drawCalm(seed uint64) scenario {
	d := drawer{rand.New(rand.NewPCG(seed, 0))}
	s := scenario{
		seed: seed, calm: true,
		horizon:  d.between(20*time.Second, 90*time.Second),
		dispatch: span{0, 300 * time.Millisecond}, receive: span{0, 300 * time.Millisecond},
		podStart: span{time.Second, 3 * time.Second}, register: span{time.Second, 4 * time.Second},
		run:    span{14 * time.Second, 30 * time.Second}, // no run goes unseen
		drains: span{200 * time.Millisecond, d.between(500*time.Millisecond, 20*time.Second)},
		maxAge: d.between(0, 2*time.Second), latency: span{20 * time.Millisecond, 200 * time.Millisecond},
		answerToList: span{time.Millisecond, 20 * time.Millisecond},
		ourLag:       20 * time.Millisecond, kedaLag: 20 * time.Millisecond,
		settle: 25 * time.Second, asking: time.Minute,
	}
	d.addGroups(&s, 1+d.IntN(3), true)
	for g := range s.groups {
		s.groups[g].min, s.groups[g].max, s.groups[g].blocked = 0, 1000, span{}
	}
	d.addArrivals(&s)
	for i := range s.arrivals {
		s.arrivals[i].cancelled = 0
	}
	return s
}

// unavoidable is the longest that a request of a calm scenario may wait: until
// the first poll whose snapshot shows it, and until an agent made then is there.
func (s *scenario) unavoidable() time.Duration {
	wait := s.maxAge + s.latency.max + s.answerToList.max + s.kedaLag + s.podStart.max + s.register.max + s.dispatch.max
	slowest := time.Duration(0)
	for g := range s.groups {
		slowest = max(slowest, s.groups[g].poll)
	}
	return wait + slowest
}

// drawSharded draws a scenario with several scalers, each of which serves a shard
// of the pool with groups of the same skills. Some serve two.
func drawSharded(seed uint64) scenario {
	s := drawScenario(seed)
	d := drawer{rand.New(rand.NewPCG(seed, 2))}
	s.parallel = 0 // each scaler would take what is free for its own
	s.run.min += 2 * time.Second
	d.divide(&s, d.one(4))
	return s
}

// drawCalmSharded draws one in which nothing fails.
func drawCalmSharded(seed uint64) scenario {
	s := drawCalm(seed)
	d := drawer{rand.New(rand.NewPCG(seed, 2))}
	for g := range s.groups {
		s.groups[g].minIdle = 0
	}
	d.divide(&s, false)
	return s
}

// divide distributes the groups to several scalers, of which some serve two shards if
// they may.
func (d drawer) divide(s *scenario, together bool) {
	shards := 2 + d.IntN(2)
	if len(s.groups) > 2 {
		shards = 2
	}
	var all []group
	for k := range shards {
		for _, g := range s.groups {
			g.name += string(rune('1' + k))
			g.shard = adoqueue.Shard{Index: k + 1, Count: shards}
			if !together {
				g.scaler = k
			} else {
				g.scaler = k / 2
			}
			g.poll = d.between(time.Second, 10*time.Second)
			g.phase = d.upTo(g.poll)
			if !s.calm && d.one(8) {
				d.sendGroupAway(s, &g)
			}
			all = append(all, g)
		}
	}
	s.groups = all
}

// drawAbsent draws a calm scenario in which KEDA stops to ask for some groups, or
// never does, and others could serve their requests.
func drawAbsent(seed uint64) scenario {
	s := drawCalm(seed)
	d := drawer{rand.New(rand.NewPCG(seed, 3))}
	s.groups = append(s.groups, s.groups[0])
	for g := range s.groups {
		s.groups[g].skills, s.groups[g].name, s.groups[g].minIdle = 1, fmt.Sprintf("pool-%c", 'a'+g), 0
	}
	for i := range s.arrivals {
		s.arrivals[i].demands = 1
	}
	stays := d.IntN(len(s.groups))
	for g := range s.groups {
		if g != stays {
			d.sendGroupAway(&s, &s.groups[g])
		}
	}
	return s
}

// sendAway has KEDA not ask for some groups.
func (d drawer) sendAway(s *scenario) {
	s.asking = d.between(10*time.Second, time.Minute)
	for g := range s.groups {
		s.asking = max(s.asking, 3*s.groups[g].poll)
	}
	for g := range s.groups {
		if d.one(5) {
			d.sendGroupAway(s, &s.groups[g])
		}
	}
}

func (d drawer) sendGroupAway(s *scenario, g *group) {
	g.absence = absence(d.IntN(3))
	g.away = span{d.upTo(s.horizon), never}
	if d.one(3) {
		g.away.min = 0
	}
	if g.absence != deleted && d.one(2) {
		g.away.max = g.away.min + d.upTo(s.horizon)
	}
}

// unnoticed is the longest that it may take until the planner knows of all groups
// that KEDA does not ask for: each may come to have its share when the one before
// is known.
func (s *scenario) unnoticed() time.Duration {
	wait := time.Duration(0)
	for g := range s.groups {
		if group := &s.groups[g]; group.absence == unknown && group.away.max > 0 {
			wait += s.asking
		}
	}
	return wait
}

func (d drawer) one(in int) bool { return d.IntN(in) == 0 }

func (d drawer) between(least, most time.Duration) time.Duration {
	return span{least, most}.draw(d.Rand)
}

func (d drawer) upTo(most time.Duration) time.Duration { return d.between(0, most) + 1 }

// disturb adds each kind of trouble to some scenarios.
func (d drawer) disturb(s *scenario) {
	if d.one(4) {
		s.failures = d.Float64() * 0.3
	}
	if d.one(4) {
		s.kills = d.Float64() * 0.3
	}
	if d.one(4) {
		s.interrupts = d.Float64() * 0.5
	}
	if d.one(4) {
		s.ourLag = d.upTo(3 * time.Second)
	}
	if d.one(4) {
		s.outage.min = d.upTo(s.horizon)
		s.outage.max = s.outage.min + d.upTo(40*time.Second)
	}
	if d.one(4) {
		s.restart = d.upTo(s.horizon)
	}
	if d.one(6) {
		s.idleTimeout = d.between(15*time.Second, time.Minute)
	}
	if d.one(6) && s.idleTimeout == 0 { // a Job might time out before its turn comes
		s.parallel = 1 + d.IntN(10)
	}
	if d.one(3) {
		for range 1 + d.IntN(5) {
			s.foreign = append(s.foreign, skills(d.IntN(8)))
		}
	}
}

// addGroups adds ScaledJobs. Disjoint ones share no request: each has a skill
// that all of its requests demand.
func (d drawer) addGroups(s *scenario, n int, disjoint bool) {
	for i := range n {
		g := group{
			name: fmt.Sprintf("pool-%c", 'a'+i), skills: skills(d.IntN(8)), priority: d.IntN(2),
			max: 1 + d.IntN(20), poll: d.between(time.Second, 10*time.Second),
		}
		if disjoint {
			g.skills = 1 << i
		}
		g.phase = d.upTo(g.poll)
		if d.one(4) && s.idleTimeout == 0 {
			g.min = d.IntN(min(g.max, 3) + 1)
		}
		if d.one(4) && s.idleTimeout == 0 {
			g.minIdle = d.IntN(3)
		}
		if d.one(6) {
			g.blocked.min = d.upTo(s.horizon)
			g.blocked.max = g.blocked.min + d.upTo(20*time.Second)
		}
		s.groups = append(s.groups, g)
	}
}

// addArrivals adds bursts and a stream of requests, most of which a group can
// serve.
func (d drawer) addArrivals(s *scenario) {
	demands := make([]skills, 0, 6)
	for range 5 {
		demands = append(demands, s.groups[d.IntN(len(s.groups))].skills)
	}
	if !s.calm && d.one(3) {
		demands = append(demands, skills(d.IntN(16)))
	}
	cancels := 0.0
	if d.one(3) {
		cancels = d.Float64() * 0.4
	}
	add := func(at time.Duration) {
		a := arrival{at: at, demands: demands[d.IntN(len(demands))]}
		if !s.disjointGroups() && d.one(2) {
			a.demands &= skills(d.IntN(8))
		}
		if d.one(8) {
			a.priority = 1
		}
		if d.Float64() < cancels {
			a.cancelled = d.upTo(30 * time.Second)
		}
		s.arrivals = append(s.arrivals, a)
	}
	for range d.IntN(4) {
		at := d.upTo(s.horizon)
		for range d.IntN(10) {
			add(at + d.upTo(time.Second))
		}
	}
	for range 1 + d.IntN(15) {
		add(d.upTo(s.horizon))
	}
}

func (s *scenario) disjointGroups() bool {
	for i := range s.groups {
		if s.groups[i].skills != 1<<i {
			return false
		}
	}
	return true
}
