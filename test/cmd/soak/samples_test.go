package main

import (
	"math/rand/v2"
	"testing"
)

// series makes samples of all metrics: a level that grows by as much in all, with
// peaks of as much again.
func series(n int, level, grows float64) *samples {
	random := rand.New(rand.NewPCG(1, 2))
	s := &samples{values: map[string][]float64{}}
	for _, name := range []string{resident, heap, goroutines, files} {
		for i := range n {
			value := level + grows*float64(i)/float64(n)
			if random.IntN(3) == 0 {
				value += level
			}
			s.values[name] = append(s.values[name], value)
		}
	}
	return s
}

func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		samples *samples
		fails   bool
	}{
		"flat with peaks":    {series(1000, 40<<20, 0), false},
		"grows by a half":    {series(1000, 40<<20, 20<<20), true},
		"too few":            {series(19, 40<<20, 0), true},
		"small, by a little": {series(1000, 10, 4), false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.samples.problems(); (err != nil) != c.fails {
				t.Errorf("got %v, want a problem: %v\n%v", err, c.fails, c.samples)
			}
		})
	}
}

// TestRememberedJobsAreNoGrowth has jobs remembered, up to as many as there may be, with
// and without memory that is held besides.
func TestRememberedJobsAreNoGrowth(t *testing.T) {
	for name, c := range map[string]struct {
		heldByEach float64
		fails      bool
	}{
		"remembered":         {0, false},
		"something else too": {2000, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &samples{values: map[string][]float64{}}
			for jobs := float64(0); jobs < 2*maxRemembered; jobs += 20 {
				memory := 40<<20 + min(jobs, maxRemembered)*rememberedJob + jobs*c.heldByEach
				s.add(map[string]float64{resident: memory, heap: memory, goroutines: 100, files: 10, waits: jobs})
			}
			if err := s.problems(); (err != nil) != c.fails {
				t.Errorf("got %v, want a problem: %v\n%v", err, c.fails, s)
			}
		})
	}
}
