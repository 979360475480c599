package main

import "time"

// span is a time.
type span struct{ from, to time.Time }

// surplus counts the unnecessary Jobs: those that took no request and
// that cannot be paired with a lost one, each with another. A request is
// lost when it is cancelled or taken by somebody else's agent; it explains a Job
// that was there while the request waited.
func surplus(jobs []madeJob, took map[string]bool, lost []span) int {
	p := pairing{lost: lost, pair: make([]int, len(lost))}
	for i := range p.pair {
		p.pair[i] = -1
	}
	for _, job := range jobs {
		if !took[job.name] {
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
	idle []madeJob
	lost []span
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

func (j madeJob) during(s span) bool {
	return j.made.Before(s.to) && (j.ended.IsZero() || j.ended.After(s.from))
}
