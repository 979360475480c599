package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// poolView is a pool's part of the page.
type poolView struct {
	Anchor, Name, Organization string
	ID                         int
	LastRead, FailingSince     *moment
	Error                      string
	Counts                     string
	Inexact                    *explain.Inexact
	Callers                    []callerView
	ScaledJobs                 []scaledJobView
	Requests                   []requestView
	Decisions                  []decisionView
	MoreScaledJobs             int
	MoreRequests               int
	MoreDecisions              int
	Waits                      *waitsView
	Supply                     *supplyView
}

// callerView is a row about somebody whose metric is not exact.
type callerView struct {
	explain.Caller

	PolledAt *moment
}

// scaledJobView is a row about a ScaledJob.
type scaledJobView struct {
	explain.ScaledJob

	PolledAt *moment
	Metric   string
	Problem  string
	Fix      string
	IsBroken bool
}

// requestView is a row about a request, with its time line.
type requestView struct {
	explain.Request

	Anchor  string
	Name    string
	Verdict string
	Fix     string
	Steps   []stepView
}

// stepView is a step of a time line; After is the time since the one before.
type stepView struct {
	Step   explain.Step
	Status explain.LinkStatus
	Mark   string
	At     *moment
	After  string
}

// decisionView is a row about a decision.
type decisionView struct {
	explain.Decision

	At      *moment
	Changes []string
}

// marks are how the statuses of links show where there is no colour.
var marks = map[explain.LinkStatus]string{
	explain.Done: "✓", explain.Next: "…", explain.Pending: "·", explain.Failed: "✗", explain.Skipped: "–",
}

func poolViewOf(p *explain.Pool, r *explain.Report, rows int) poolView {
	now := r.MadeAt
	v := poolView{
		Anchor: anchor(p), Name: nameOf(p), Organization: p.Organization, ID: p.ID,
		LastRead: momentOf(p.AzureDevOps.LastRead, now), FailingSince: momentOf(p.AzureDevOps.FailingSince, now),
		Error: p.AzureDevOps.Error, Waits: waitsOf(p, windowOf(r)), Supply: supplyOf(p, windowOf(r)),
	}
	v.Inexact = p.Inexact
	for i := range p.Counted {
		v.Callers = append(v.Callers, callerView{p.Counted[i], momentOf(p.Counted[i].PolledAt, now)})
	}
	if len(p.Decisions) > 0 {
		d := &p.Decisions[0]
		v.Counts = fmt.Sprintf("%d queued, %d assigned, %d running", d.Queued, d.Assigned, d.Running)
	}
	scaledJobs, more := firstOf(p.ScaledJobs, rows, func(s *explain.ScaledJob) bool { return s.Broken != nil || s.Error != "" })
	v.MoreScaledJobs = more + p.Omitted.ScaledJobs
	for i := range scaledJobs {
		v.ScaledJobs = append(v.ScaledJobs, scaledJobViewOf(&scaledJobs[i], now))
	}
	requests, more := firstOf(p.Requests, rows, func(q *explain.Request) bool { return q.Progress == explain.Stopped })
	v.MoreRequests = more + p.Omitted.Requests
	for i := range requests {
		v.Requests = append(v.Requests, requestViewOf(&requests[i], v.Anchor, now))
	}
	decisions := p.Decisions[:min(max(rows/2, fewRows), len(p.Decisions))]
	v.MoreDecisions = len(p.Decisions) - len(decisions) + p.Omitted.Decisions
	for i := range decisions {
		v.Decisions = append(v.Decisions, decisionViewOf(&decisions[i], now))
	}
	return v
}

func scaledJobViewOf(s *explain.ScaledJob, now time.Time) scaledJobView {
	v := scaledJobView{ScaledJob: *s, PolledAt: momentOf(s.PolledAt, now), Metric: "–", Problem: s.Error, IsBroken: s.Broken != nil || s.Error != ""}
	if s.Reported != nil {
		v.Metric = strconv.FormatInt(s.Reported.Value, 10)
	}
	if s.Broken != nil {
		v.Problem, v.Fix = s.Broken.Sentence, s.Broken.Fix
	}
	return v
}

func requestViewOf(q *explain.Request, pool string, now time.Time) requestView {
	v := requestView{Request: *q, Anchor: fmt.Sprintf("%s-request-%d", pool, q.ID), Verdict: verdict(q), Steps: stepsOf(q.Chain, now)}
	v.Name = strings.TrimSpace(q.Pipeline + " " + q.Run)
	if v.Name == "" {
		v.Name = fmt.Sprintf("request %d", q.ID)
	}
	if q.Broken != nil {
		v.Fix = q.Broken.Fix
	}
	return v
}

// verdict says in a few words how a request fares.
func verdict(q *explain.Request) string {
	waited := ""
	if wait, ok := waitOf(q.Chain); ok {
		waited = ", waited " + duration(wait)
	}
	agent := q.Agent
	if agent == "" {
		agent = "an agent"
	}
	switch {
	case q.Broken != nil:
		return q.Broken.Sentence
	case q.Progress == explain.Stopped:
		return q.Reason
	case q.Progress == explain.Coming && q.Job != "":
		return "Job " + q.Job + ": next is " + next(q.Chain)
	case q.Progress == explain.Coming:
		return "next is " + next(q.Chain)
	case q.Progress == explain.Served:
		return "on " + agent + waited
	default:
		return "done by " + agent + waited
	}
}

func next(chain []explain.Link) string {
	for _, link := range chain {
		if link.Status == explain.Next {
			return string(link.Step)
		}
	}
	return "not known"
}

func stepsOf(chain []explain.Link, now time.Time) (steps []stepView) {
	var before time.Time
	for _, link := range chain {
		step := stepView{Step: link.Step, Status: link.Status, Mark: marks[link.Status], At: momentOf(link.At, now)}
		if !link.At.IsZero() {
			if !before.IsZero() {
				step.After = "+" + duration(max(link.At.Sub(before), 0))
			}
			before = link.At
		}
		steps = append(steps, step)
	}
	return steps
}

func decisionViewOf(d *explain.Decision, now time.Time) decisionView {
	v := decisionView{Decision: *d, At: momentOf(d.At, now)}
	for _, part := range d.ScaledJobs {
		change := fmt.Sprintf("%s: metric %d, %d missing, %d queued; Jobs %d waiting, %d busy, %d draining",
			part.ScaledJob, part.Metric, part.Missing, part.Queued, part.Waiting, part.Busy, part.Draining)
		if part.Blocked != "" {
			change += "; " + part.Blocked
		}
		v.Changes = append(v.Changes, change)
	}
	if d.Others > 0 {
		v.Changes = append(v.Changes, fmt.Sprintf("and %d more", d.Others))
	}
	return v
}
