package cluster

import (
	"testing"
	"time"
)

func TestSurplus(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	job := func(name string, made, ended int) MadeJob {
		j := MadeJob{Name: name, Made: at(made)}
		if ended > 0 {
			j.Ended = at(ended)
		}
		return j
	}
	for name, c := range map[string]struct {
		jobs []MadeJob
		took []string
		lost []Span
		want int
	}{
		"nothing":                        {},
		"taken":                          {jobs: []MadeJob{job("a", 1, 9)}, took: []string{"a"}},
		"surplus":                        {jobs: []MadeJob{job("a", 1, 9), job("b", 1, 0)}, took: []string{"a"}, want: 1},
		"cancelled after its Job":        {jobs: []MadeJob{job("a", 2, 0)}, lost: []Span{{at(1), at(3)}}},
		"cancelled before the Job":       {jobs: []MadeJob{job("a", 4, 0)}, lost: []Span{{at(1), at(3)}}, want: 1},
		"queued after the Job had ended": {jobs: []MadeJob{job("a", 1, 2)}, lost: []Span{{at(3), at(5)}}, want: 1},
		"one for two":                    {jobs: []MadeJob{job("a", 2, 0), job("b", 2, 0)}, lost: []Span{{at(1), at(3)}}, want: 1},
		"the first Job fits both, the second only one": {
			jobs: []MadeJob{job("a", 2, 0), job("b", 4, 0)}, lost: []Span{{at(1), at(5)}, {at(1), at(3)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			took := map[string]bool{}
			for _, name := range c.took {
				took[name] = true
			}
			if got := Surplus(c.jobs, took, c.lost); got != c.want {
				t.Errorf("%d surplus Jobs, want %d", got, c.want)
			}
		})
	}
}

func TestJobOf(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{"build-gpu-abcde-fghij": "build-gpu-abcde", "agent": "", "": ""} {
		if got := JobOf(agent); got != want {
			t.Errorf("the Job of %q is %q, want %q", agent, got, want)
		}
	}
}
