package lifecycle_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/lifecycle"
)

// TestInterleavings lets jobs come, be cancelled and meet SIGTERM at any point of
// the idle exit, over a slow network that loses some requests and answers. No job
// may be lost, and no agent stay.
func TestInterleavings(t *testing.T) { interleave(t, oneContainer) }

// TestInterleavingsOfTwoContainers does the same with the agent in a separate
// container.
func TestInterleavingsOfTwoContainers(t *testing.T) { interleave(t, twoContainers) }

func interleave(t *testing.T, by containers) {
	rounds := uint64(3000)
	if testing.Short() {
		rounds = 300
	}
	var met, idle, worked, ended atomic.Int64
	for seed := range rounds {
		synctest.Test(t, func(t *testing.T) {
			s := newStory(t, seed, by)
			switch s.play().Ending {
			case lifecycle.Idle:
				idle.Add(1)
			case lifecycle.AfterJob:
				worked.Add(1)
			case lifecycle.Terminated:
				ended.Add(1)
			default:
			}
			if s.metJob {
				met.Add(1)
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("a job met the idle exit %d times; %d idle, %d after a job, %d asked to end", met.Load(), idle.Load(), worked.Load(), ended.Load())
	for what, n := range map[string]int64{"job meets exit": met.Load(), "idle": idle.Load(), "worked": worked.Load(), "asked to end": ended.Load()} {
		if n < int64(rounds)/50 {
			t.Errorf("%s: only %d of %d rounds", what, n, rounds)
		}
	}
}

// story is one round.
type story struct {
	*world
	chance  *chance
	loses   bool
	metJob  bool // the agent was enabled again
	seenJob bool // it was looked at when it had a job

	mu        sync.Mutex
	cancelled map[int64]bool
}

func newStory(t *testing.T, seed uint64, by containers) *story {
	s := &story{chance: newChance(seed), cancelled: map[int64]bool{}}
	net := &network{latency: func() time.Duration { return s.chance.upTo(200 * time.Millisecond) }}
	if s.loses = seed%4 == 3; s.loses {
		net.lost = func() bool { return s.chance.oneIn(20) }
	}
	s.world = startWorld(t, net, limits, by)
	net.onArrival(s.arrives)
	return s
}

// arrives looks at each request of the launcher on its arrival.
func (s *story) arrives(r *http.Request) {
	for _, a := range s.ado.Agents("linux") {
		if a.Request == 0 {
			continue
		}
		switch r.Method {
		case http.MethodGet:
			s.seenJob = true
		case http.MethodDelete:
			s.t.Errorf("it tries to remove an agent that has job %d", a.Request)
		}
	}
}

// play queues some jobs around the idle time-out, cancels some of them, and may
// ask the agent to end.
func (s *story) play() lifecycle.Result {
	stopping := s.chance.oneIn(3)
	for range 1 + s.chance.upTo(3) {
		at := limits.Idle - 100*time.Millisecond + s.chance.upTo(600*time.Millisecond)
		job := adotest.Job{Duration: s.chance.upTo(20 * time.Second)}
		cancelled := s.chance.oneIn(4)
		after := s.chance.upTo(time.Second)
		go func() {
			time.Sleep(at)
			id := s.queue(job)
			if cancelled {
				time.Sleep(after)
				s.cancel(id)
			}
		}()
	}
	if stopping {
		at := limits.Idle - time.Second + s.chance.upTo(3*time.Second)
		go func() {
			time.Sleep(at)
			s.end()
		}()
	}
	time.Sleep(limits.Idle + 2*time.Second) // all jobs are queued
	r := s.finish(5 * time.Minute)
	s.check(r, stopping)
	return r
}

func (s *story) check(r lifecycle.Result, stopping bool) {
	ran := 0
	for _, q := range s.ado.Requests("linux") {
		switch {
		case q.State == adotest.Queued:
		case q.State != adotest.Finished || q.Result != "succeeded" && q.Result != "canceled":
			s.t.Errorf("job %d is lost: %s, %q, by %q", q.ID, q.State, q.Result, q.Agent)
		case q.Result == "canceled" && !s.isCancelled(q.ID):
			s.t.Errorf("job %d was cut short", q.ID)
		case q.Agent != "":
			ran++
		}
	}
	if ran > 1 || (ran == 1) != (r.Ending == lifecycle.AfterJob) || s.marks != ran {
		s.t.Errorf("%d jobs ran, %d were reported, and the ending is %d", ran, s.marks, r.Ending)
	}
	if r.Stays != nil || len(s.ado.Agents("linux")) > 0 {
		s.t.Errorf("the agent stays: %v", r.Stays)
	}
	select {
	case <-s.agent.Exited():
	default:
		s.t.Error("its process runs on")
	}
	calls := strings.Join(s.net.calls(), "\n")
	s.metJob = strings.Contains(calls, `"enabled":true`)
	if s.seenJob && !s.metJob && !stopping && !s.loses {
		s.t.Errorf("it stayed disabled with a job:\n%s", calls)
	}
}

func (s *story) cancel(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancelled[id] = s.ado.Cancel(id) == nil // else it was done already
}

func (s *story) isCancelled(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cancelled[id]
}
