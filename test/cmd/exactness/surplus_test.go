package main

import (
	"testing"
	"time"
)

func TestSurplus(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	job := func(name string, made, ended int) madeJob {
		j := madeJob{name: name, made: at(made)}
		if ended > 0 {
			j.ended = at(ended)
		}
		return j
	}
	for name, c := range map[string]struct {
		jobs []madeJob
		took []string
		lost []span
		want int
	}{
		"nothing":                        {},
		"taken":                          {jobs: []madeJob{job("a", 1, 9)}, took: []string{"a"}},
		"in vain":                        {jobs: []madeJob{job("a", 1, 9), job("b", 1, 0)}, took: []string{"a"}, want: 1},
		"cancelled after its Job":        {jobs: []madeJob{job("a", 2, 0)}, lost: []span{{at(1), at(3)}}},
		"cancelled before the Job":       {jobs: []madeJob{job("a", 4, 0)}, lost: []span{{at(1), at(3)}}, want: 1},
		"queued after the Job had ended": {jobs: []madeJob{job("a", 1, 2)}, lost: []span{{at(3), at(5)}}, want: 1},
		"one for two":                    {jobs: []madeJob{job("a", 2, 0), job("b", 2, 0)}, lost: []span{{at(1), at(3)}}, want: 1},
		"the first Job fits both, the second only one": {
			jobs: []madeJob{job("a", 2, 0), job("b", 4, 0)}, lost: []span{{at(1), at(5)}, {at(1), at(3)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			took := map[string]bool{}
			for _, name := range c.took {
				took[name] = true
			}
			if got := surplus(c.jobs, took, c.lost); got != c.want {
				t.Errorf("%d surplus Jobs, want %d", got, c.want)
			}
		})
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	var r result
	r.wait(nil)
	var waits []time.Duration
	for i := range 20 {
		waits = append(waits, time.Duration(20-i)*time.Second)
	}
	r.wait(waits)
	if r.mean != 10500*time.Millisecond || r.p95 != 19*time.Second || r.longest != 20*time.Second {
		t.Errorf("mean %v, p95 %v, longest %v", r.mean, r.p95, r.longest)
	}
}

func TestJobOf(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{"build-gpu-abcde-fghij": "build-gpu-abcde", "agent": "", "": ""} {
		if got := jobOf(agent); got != want {
			t.Errorf("the Job of %q is %q, want %q", agent, got, want)
		}
	}
}
