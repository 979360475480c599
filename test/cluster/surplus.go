package cluster

import "time"

// Span is a time.
type Span struct{ From, To time.Time }

// Surplus counts the Jobs that took no request and that cannot be paired with a lost
// one, each with another. A request is
// lost when it is cancelled or taken by somebody else's agent; it explains a Job
// that was there while the request waited.
func Surplus(jobs []MadeJob, took map[string]bool, lost []Span) int {
	p := pairing{lost: lost, pair: make([]int, len(lost))}
	for i := range p.pair {
		p.pair[i] = -1
	}
	for _, job := range jobs {
		if !took[job.Name] {
			p.idle = append(p.idle, job)
		}
	}
	unpaired := 0
	for i := range p.idle {
		if !p.place(i, make([]bool, len(lost))) {
			unpaired++
		}
	}
	return unpaired
}

// pairing is a matching between idle Jobs and lost requests, as large as can be
// (by augmenting paths).
type pairing struct {
	idle []MadeJob
	lost []Span
	pair []int // the idle Job of each lost request, or -1
}

// place pairs an idle Job, moving others if need be.
func (p *pairing) place(idle int, tried []bool) bool {
	for i, request := range p.lost {
		if tried[i] || !p.idle[idle].during(request) {
			continue
		}
		tried[i] = true
		if p.pair[i] < 0 || p.place(p.pair[i], tried) {
			p.pair[i] = idle
			return true
		}
	}
	return false
}

func (j MadeJob) during(s Span) bool {
	return j.Made.Before(s.To) && (j.Ended.IsZero() || j.Ended.After(s.From))
}
