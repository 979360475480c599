package explain_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// BenchmarkDecided takes in decisions about a pool of 1,000 ScaledJobs and 5,000
// requests, with metrics and without.
func BenchmarkDecided(b *testing.B) {
	for name, measured := range map[string]bool{"bare": false, "measured": true} {
		b.Run(name, func(b *testing.B) {
			x := explain.New(explain.Options{})
			if measured {
				x.Register(prometheus.NewRegistry(), time.Minute)
			}
			d := largeDecision(organization(b))
			b.ReportAllocs()
			for b.Loop() {
				next := *d
				snapshot := *d.Snapshot
				snapshot.RequestedAt = snapshot.RequestedAt.Add(time.Second)
				next.Snapshot, next.MadeAt = &snapshot, d.MadeAt.Add(time.Second)
				d = &next
				x.Decided(d)
			}
		})
	}
}

// largeDecision is one in which half of the requests run and half wait for new Jobs.
func largeDecision(url adoqueue.OrganizationURL) *engine.Decision {
	now := time.Now()
	d := &engine.Decision{
		MadeAt: now, Organization: url, Plan: plan.Plan{Groups: map[plan.Key]plan.GroupPlan{}},
		Snapshot: &adoqueue.Snapshot{Pool: adoqueue.Pool{ID: 1, Name: pool}, RequestedAt: now},
	}
	for g := range 1000 {
		key := plan.Key{Namespace: "ado", Name: fmt.Sprintf("build-%d", g)}
		d.Groups = append(d.Groups, plan.Group{Key: key})
		d.Plan.Groups[key] = plan.GroupPlan{Missing: 2, Queued: 2, Unfinished: 3, Busy: 3}
		var jobs []fleet.Job
		for i := range 5 {
			id := int64(10*g + i)
			r := &adoqueue.JobRequest{ID: id, QueueTime: now}
			v := plan.Verdict{RequestID: id, Outcome: plan.ByNewJob, Group: key}
			if i > 1 {
				uid := strconv.FormatInt(id, 10)
				r.State, r.AssignTime, r.Agent = adoqueue.Running, now, key.Name+"-"+uid
				v.Outcome, v.Job = plan.ByBusyJob, uid
				jobs = append(jobs, fleet.Job{UID: uid, Namespace: "ado", Name: key.Name, Created: now, Pods: []fleet.Pod{{Name: r.Agent, JobUID: uid}}})
			}
			d.Snapshot.Requests, d.Plan.Requests = append(d.Snapshot.Requests, r), append(d.Plan.Requests, v)
		}
		d.Jobs = append(d.Jobs, jobs)
	}
	return d
}

// BenchmarkCounted takes in answers for 1,000 ScaledJobs of 100 pools that are counted
// from requests alone.
func BenchmarkCounted(b *testing.B) {
	x, url := explain.New(explain.Options{}), organization(b)
	snapshots := make([]*adoqueue.Snapshot, 100)
	for i := range snapshots {
		snapshots[i] = &adoqueue.Snapshot{Pool: adoqueue.Pool{ID: i + 1, Name: strconv.Itoa(i)}}
	}
	keys := make([]plan.Key, 1000)
	for i := range keys {
		keys[i] = plan.Key{Namespace: "ado", Name: fmt.Sprintf("build-%d", i)}
	}
	at, i := time.Now(), 0
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(5 * time.Millisecond)
		x.Counted(engine.Counted{Key: keys[i%1000], Organization: url, Snapshot: snapshots[i%100], At: at})
		i++
	}
}
