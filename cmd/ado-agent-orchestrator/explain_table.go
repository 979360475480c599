package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// reportTable writes a report for people.
type reportTable struct {
	wide      bool // with the way of each job
	decisions bool
	now       time.Time
	out       strings.Builder
}

func (t *reportTable) text(r *explain.Report) string {
	t.now = r.MadeAt
	if !r.KubernetesInView {
		fmt.Fprintln(&t.out, "the scaler does not watch Kubernetes (KUBE): it counts requests alone, and knows nothing of Jobs and agents")
	}
	if len(r.Pools) == 0 && len(r.Unpooled) == 0 {
		fmt.Fprintf(&t.out, "nothing is known of this; the scaler started %s ago and remembers jobs for an hour\n", t.ago(r.Since))
	}
	for i := range r.Organizations {
		t.organization(&r.Organizations[i])
	}
	for i := range r.Unpooled {
		t.broken("", r.Unpooled[i].Broken)
	}
	for i := range r.Pools {
		t.pool(&r.Pools[i])
	}
	s := r.Summary
	fmt.Fprintf(&t.out, "%d stopped, %d coming, %d served, %d finished\n", s.Stopped, s.Coming, s.Served, s.Finished)
	return t.out.String()
}

// organization shows what is unusual about one.
func (t *reportTable) organization(o *explain.Organization) {
	if o.Error != "" {
		fmt.Fprintf(&t.out, "%s cannot be read (for %s): %s\n", o.URL, t.ago(o.FailingSince), o.Error)
	}
	if !o.ThrottledUntil.IsZero() {
		fmt.Fprintf(&t.out, "%s throttles the scaler until %s\n", o.URL, o.ThrottledUntil.UTC().Format(time.TimeOnly+"Z"))
	}
	if t.wide {
		fmt.Fprintf(&t.out, "%s: credential %s, %d requests sent, delayed by %.0f s\n", o.URL, cmp.Or(o.Credential, "unknown"), o.Requests, o.DelayedSeconds)
	}
}

func (t *reportTable) pool(p *explain.Pool) {
	read := "never read"
	if !p.AzureDevOps.LastRead.IsZero() {
		read = "read " + t.ago(p.AzureDevOps.LastRead) + " ago"
	}
	fmt.Fprintf(&t.out, "POOL %s (%s), %s\n", cmp.Or(p.Name, strconv.Itoa(p.ID)), p.Organization, read)
	t.broken("  ", p.Broken)
	t.callers(p)
	t.scaledJobs(p)
	t.requests(p)
	if t.decisions {
		t.lastDecisions(p)
	}
	o := p.Omitted
	if o.Requests+o.ScaledJobs > 0 {
		fmt.Fprintf(&t.out, "  not shown: %d jobs and %d ScaledJobs (--limit)\n", o.Requests, o.ScaledJobs)
	}
	t.out.WriteByte('\n')
}

func (t *reportTable) broken(indent string, b *explain.Broken) {
	if b == nil {
		return
	}
	since := ""
	if !b.Since.IsZero() {
		since = " (for " + t.ago(b.Since) + ")"
	}
	fmt.Fprintf(&t.out, "%s! %s%s\n%s  fix: %s\n", indent, b.Sentence, since, indent, b.Fix)
}

// callers shows who got metrics that are not exact, and why.
func (t *reportTable) callers(p *explain.Pool) {
	if p.Inexact == nil {
		return
	}
	fmt.Fprintf(&t.out, "  not exact: %s\n    fix: %s\n", p.Inexact.Sentence, p.Inexact.Fix)
	columns := t.columns()
	fmt.Fprintln(columns, "  CALLER\tCOUNT\tMETRIC\tPOLLED")
	for i := range p.Counted {
		c := &p.Counted[i]
		by := c.Count
		if c.Asked != "" {
			by += " instead of " + c.Asked
		}
		fmt.Fprintf(columns, "  %s/%s\t%s\t%d\t%s\n", c.Namespace, c.Name, by, c.Value, t.ago(c.PolledAt))
	}
	_ = columns.Flush() // to memory
}

func (t *reportTable) scaledJobs(p *explain.Pool) {
	if len(p.ScaledJobs) == 0 {
		return
	}
	columns := t.columns()
	fmt.Fprintln(columns, "  SCALEDJOB\tSTATE\tQUEUED\tMISSING\tWAITING\tBUSY\tDRAINING\tMAX\tMETRIC\tPOLLED")
	for i := range p.ScaledJobs {
		s := &p.ScaledJobs[i]
		metric := "-"
		if s.Reported != nil {
			metric = strconv.FormatInt(s.Reported.Value, 10)
		}
		fmt.Fprintf(columns, "  %s/%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", s.Namespace, s.Name, s.State, s.Queued, s.Missing, s.Waiting, s.Busy,
			s.Draining, s.MaxReplicas, metric, t.ago(s.PolledAt))
	}
	_ = columns.Flush() // to memory
	shown := map[string]bool{}
	for i := range p.Requests {
		if b := p.Requests[i].Broken; b != nil {
			shown[b.Sentence] = true // with the job
		}
	}
	for i := range p.ScaledJobs {
		if b := p.ScaledJobs[i].Broken; b != nil && !shown[b.Sentence] && (p.Broken == nil || p.Broken.Sentence != b.Sentence) {
			t.broken("  ", b)
		}
	}
}

func (t *reportTable) requests(p *explain.Pool) {
	if len(p.Requests) == 0 {
		return
	}
	columns := t.columns()
	fmt.Fprintln(columns, "  JOB\tPIPELINE\tRUN\tPROGRESS\tREACHED\tAGE\tSCALEDJOB\tAGENT")
	for i := range p.Requests {
		r := &p.Requests[i]
		fmt.Fprintf(columns, "  %d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, cmp.Or(r.Pipeline, "-"), cmp.Or(r.Run, "-"), r.Progress, reached(r),
			t.ago(r.Chain[0].At), cmp.Or(r.ScaledJob, "-"), cmp.Or(r.Agent, r.Job, "-"))
	}
	_ = columns.Flush() // to memory
	explained := map[string]bool{}
	for i := range p.Requests {
		r := &p.Requests[i]
		if t.wide {
			t.way(r)
			continue
		}
		if r.Broken != nil && !explained[r.Broken.Sentence] {
			explained[r.Broken.Sentence] = true
			fmt.Fprintf(&t.out, "  job %d:\n", r.ID)
			t.broken("    ", r.Broken)
		}
	}
}

// reached is the last step that a request has reached.
func reached(r *explain.Request) explain.Step {
	step := explain.StepQueued
	for _, l := range r.Chain {
		if l.Status == explain.Done {
			step = l.Step
		}
	}
	return step
}

// way shows each step of a request.
func (t *reportTable) way(r *explain.Request) {
	fmt.Fprintf(&t.out, "  job %d: %s\n", r.ID, cmp.Or(r.URL, "no page is known"))
	if len(r.Demands) > 0 {
		fmt.Fprintf(&t.out, "    demands %s\n", strings.Join(r.Demands, ", "))
	}
	columns := t.columns()
	for _, l := range r.Chain {
		at := ""
		if !l.At.IsZero() {
			at = l.At.UTC().Format(time.TimeOnly + "Z")
		}
		fmt.Fprintf(columns, "    %s\t%s\t%s\n", l.Step, l.Status, at)
	}
	_ = columns.Flush() // to memory
	t.broken("    ", r.Broken)
}

func (t *reportTable) lastDecisions(p *explain.Pool) {
	if len(p.Decisions) == 0 {
		return
	}
	columns := t.columns()
	fmt.Fprintln(columns, "  DECIDED\tTIMES\tQUEUED\tASSIGNED\tRUNNING\tUNSERVED\tSCALEDJOBS")
	for i := range p.Decisions {
		d := &p.Decisions[i]
		var parts []string
		for _, s := range d.ScaledJobs {
			part := fmt.Sprintf("%s missing %d, metric %d", s.ScaledJob, s.Missing, s.Metric)
			if s.Blocked != "" {
				part += ", " + s.Blocked
			}
			parts = append(parts, part)
		}
		if d.Others > 0 {
			parts = append(parts, fmt.Sprintf("%d more", d.Others))
		}
		fmt.Fprintf(columns, "  %s\t%d\t%d\t%d\t%d\t%d\t%s\n", d.At.UTC().Format(time.TimeOnly+"Z"), d.Repeated+1, d.Queued, d.Assigned, d.Running,
			d.Unserved, strings.Join(parts, "; "))
	}
	_ = columns.Flush() // to memory
}

func (t *reportTable) columns() *tabwriter.Writer {
	return tabwriter.NewWriter(&t.out, 0, 0, 3, ' ', 0)
}

// ago is how long ago a time was, in one or two units.
func (t *reportTable) ago(then time.Time) string {
	if then.IsZero() {
		return "-"
	}
	d := max(0, t.now.Sub(then)).Round(time.Second)
	if d >= time.Hour {
		d = d.Round(time.Minute)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	return text
}
