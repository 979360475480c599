package housekeeping_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// TestRandomSchedules draws schedules, ages, timeouts and jobs at random, with END_IDLE
// and without, and a scaler that restarts, and holds the whole at each second to:
//
//   - No surplus: a Job is created only for a queued request, for an idle agent that a
//     period wants now or within a start-up, or in the place of one that is about to
//     leave. So there is never more than one for each replacement, and where no idle
//     agents are wanted each Job has a request.
//   - No gap: while no job takes an idle agent, as many are ready as the schedule wants.
//     After one has, there are as many again within a start-up.
//   - No excess: with END_IDLE, those that nobody needs are gone once nothing has
//     changed for long enough.
//
// The test derives the wanted result in another way than the scaler does.
func TestRandomSchedules(t *testing.T) {
	var all account
	for seed := range uint64(24) {
		synctest.Test(t, func(t *testing.T) {
			w := newRandomWorld(t, seed)
			defer w.ado.Close()
			w.play()
			all.add(&w.account)
		})
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
	t.Logf("%+v", all)
	if min(all.made, all.replaced, all.quiet, all.settled, all.queued) < 50 {
		t.Error("too little has happened")
	}
}

// account is how often something was held to what has to be.
type account struct{ made, replaced, quiet, settled, queued int }

func (a *account) add(b *account) {
	a.made += b.made
	a.replaced += b.replaced
	a.quiet += b.quiet
	a.settled += b.settled
	a.queued += b.queued
}

// randomWorld is a warmWorld with what was drawn for it.
type randomWorld struct {
	*warmWorld
	account  account
	periods  []randomPeriod
	idle     int           // minIdle
	life     time.Duration // of a waiting agent; 0 if it is never replaced
	jobEvery int           // seconds, on average; 0 for none
	began    time.Time

	madeBefore int
	taken      int       // agents that have had a job
	takenAt    time.Time // when an idle agent was taken last
	workedAt   time.Time // when an agent had a job last
	changedAt  time.Time // when what is wanted changed last
	wanted     int       // at the last second
	busy       [20]int   // in the last seconds
}

// randomPeriod is one on 2000-01-01, in minutes since midnight.
type randomPeriod struct{ from, to, idle, share, most int }

const randomFor = 50 * time.Minute

func newRandomWorld(t *testing.T, seed uint64) *randomWorld {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 18))
	w := &randomWorld{warmWorld: newWarmWorld(t, nil), began: time.Now(), takenAt: time.Now(), changedAt: time.Now()}
	w.random = random
	metadata := map[string]string{}
	var texts []string
	for range random.IntN(5) {
		p := randomPeriod{from: random.IntN(50), idle: random.IntN(6)}
		p.to = p.from + 1 + random.IntN(30)
		text := fmt.Sprintf("%02d:%02d-%02d:%02d %d", p.from/60, p.from%60, p.to/60, p.to%60, p.idle)
		if random.IntN(2) == 0 {
			p.share, p.most = 10*(1+random.IntN(15)), p.idle+1+random.IntN(5)
			text += fmt.Sprintf(" +%d%% max %d", p.share, p.most)
		}
		w.periods, texts = append(w.periods, p), append(texts, text)
	}
	if len(texts) > 0 {
		metadata["warm"] = strings.Join(texts, ";")
	}
	if random.IntN(2) == 0 {
		w.idle = random.IntN(4)
		metadata["minIdle"] = strconv.Itoa(w.idle)
	}
	w.settings.EndIdle = random.IntN(3) > 0
	w.startup = time.Duration(10+random.IntN(40)) * time.Second
	if random.IntN(2) == 0 {
		w.idleTimeout = time.Duration(5+random.IntN(20)) * time.Minute
		w.life = w.idleTimeout
	}
	if random.IntN(2) == 0 {
		age := time.Duration(4+random.IntN(20)) * time.Minute
		metadata["warmMaxAge"] = age.String()
		if w.settings.EndIdle && (w.life == 0 || age < w.life) {
			w.life = age
		}
	}
	w.jobEvery = []int{0, 60, 240}[random.IntN(3)]
	w.ask(metadata)
	return w
}

// play runs the scenario, with a scaler that restarts now and then.
func (w *randomWorld) play() {
	for left := randomFor; left > 0 && !w.t.Failed(); {
		part := min(left, time.Duration(300+w.random.IntN(2400))*time.Second)
		left -= part
		restarted := time.Now()
		w.during(part, func() { w.check(restarted) })
	}
	w.account.queued = len(w.requests)
}

// want returns how many idle agents the schedule wants at a moment.
func (w *randomWorld) want(at time.Time, busy int) int {
	minute := int(at.Sub(w.began) / time.Minute)
	n := w.idle
	for _, p := range w.periods { // the last one counts
		if p.from <= minute && minute < p.to {
			n = p.idle + (p.share*busy+99)/100
			if p.most > 0 {
				n = min(n, p.most)
			}
		}
	}
	return n
}

// state counts the agents that wait or start, those of them that are ready, those
// that are about to be replaced, and those with a job.
func (w *randomWorld) state() (waiting, ready, old, working int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	// Until then a replacement is requested: a start-up and a poll before, and spread
	// over a tenth of its life.
	const ahead = time.Minute + 6*time.Second
	due := max(w.life/2, w.life-ahead-w.life/10)
	taken := 0
	has := map[string]bool{}
	for _, agent := range w.ado.Agents("linux") {
		has[agent.Name] = agent.Request != 0
	}
	for name, a := range w.agents {
		switch {
		case a.worked, has[name]:
			working++
		case a.told:
		default:
			waiting++
			if a.there {
				ready++
			}
			if w.life > 0 && time.Since(a.job.Created) >= due {
				old++
			}
		}
	}
	for _, id := range w.requests {
		if r, _ := w.ado.Request(id); r.State != adotest.Queued {
			taken++
		}
	}
	if taken != w.taken || taken < len(w.requests) { // or the next agents will be
		w.taken, w.takenAt = taken, time.Now()
	}
	return waiting, ready, old, working
}

// queued is how many requests wait for an agent.
func (w *randomWorld) queued() int { return len(w.requests) - w.taken }

// check is called every second.
func (w *randomWorld) check(restarted time.Time) {
	waiting, ready, old, working := w.state()
	if working > 0 {
		w.workedAt = time.Now()
	}
	copy(w.busy[1:], w.busy[:])
	w.busy[0] = working
	now := time.Now()
	most := 0
	for _, busy := range w.busy { // the scaler sees it some seconds late
		for ahead := time.Duration(0); ahead <= 66*time.Second; ahead += time.Second {
			most = max(most, w.want(now.Add(ahead), busy))
		}
	}
	wanted := w.want(now, working)
	if wanted != w.wanted {
		w.wanted, w.changedAt = wanted, now
	}
	made := w.created - w.madeBefore
	w.madeBefore = w.created
	if made > 0 {
		w.account.made += made
		w.account.replaced += old
		if waiting > most+w.queued()+old {
			w.t.Errorf("no surplus at %s: %d Jobs wait after %d were created; %d idle ones are wanted, %d requests are queued, %d are replaced",
				clock(), waiting, made, most, w.queued(), old)
		}
	}
	start := w.startup + 12*time.Second // to be seen and polled
	if now.Sub(w.takenAt) > start && now.Sub(w.began) > start {
		w.account.quiet++
		if ready < wanted {
			w.t.Errorf("no gap at %s: %d idle agents are ready, and %d wanted", clock(), ready, wanted)
		}
	}
	settled := func(since time.Time) bool { return now.Sub(since) > 6*time.Minute }
	if w.settings.EndIdle && settled(w.takenAt) && settled(w.changedAt) && settled(restarted) && settled(w.workedAt) {
		w.account.settled++
		if waiting > most+w.queued()+old {
			w.t.Errorf("no excess at %s: %d agents wait, %d are wanted and %d replaced", clock(), waiting, most, old)
		}
	}
	if w.jobEvery > 0 && w.random.IntN(w.jobEvery) == 0 {
		for range 1 + w.random.IntN(3) {
			w.queue(time.Duration(10+w.random.IntN(200)) * time.Second)
		}
	}
}
