package explain

import (
	"math"
	"slices"
	"unique"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

const (
	// maxLog bounds the decisions that are remembered of each pool, and maxParts the
	// ScaledJobs of each.
	maxLog   = 200
	maxParts = 5
)

// log is a ring of a pool's last decisions. The zero value is empty.
type log struct {
	entries []entry
	next    int // where the oldest is once the ring is full
}

// entry is one decision, and how often it was repeated. It is compact: there may be
// some ten thousand.
type entry struct {
	at, last, snapshotAt                moment
	parts                               []part
	repeated, others                    int32
	queued, assigned, running, unserved int32
	parallelJobs                        int32
	bounded, stale                      bool // bounded by parallelJobs
}

// part is what a decision says of one ScaledJob.
type part struct {
	key     unique.Handle[plan.Key]
	blocked string
	metric  int64

	missing, queued, waiting, busy, draining, ended int32
}

// add adds a decision; last is the one before, nil if there was none.
func (l *log) add(d, last *engine.Decision) {
	e := entryOf(d)
	e.parts, e.others = differences(d, last)
	if newest := l.newest(); newest != nil && len(e.parts) == 0 && newest.alike(&e) {
		newest.repeated++
		newest.last, newest.snapshotAt = e.at, e.snapshotAt
		return
	}
	if len(l.entries) < maxLog {
		l.entries = append(l.entries, e)
		return
	}
	l.entries[l.next] = e
	l.next = (l.next + 1) % maxLog
}

func entryOf(d *engine.Decision) entry {
	e := entry{at: momentOf(d.MadeAt), snapshotAt: momentOf(d.Snapshot.RequestedAt), stale: d.Snapshot.Err != nil}
	for i := range d.Snapshot.Requests {
		switch d.Snapshot.Requests[i].State {
		case adoqueue.Queued:
			e.queued++
			if d.Plan.Requests[i].Outcome == plan.Unserved {
				e.unserved++
			}
		case adoqueue.Assigned:
			e.assigned++
		default:
			e.running++
		}
	}
	if d.ParallelJobs != nil {
		e.bounded, e.parallelJobs = true, small(*d.ParallelJobs)
	}
	return e
}

// alike reports whether two decisions differ in nothing but their parts and times.
func (e *entry) alike(other *entry) bool {
	return e.stale == other.stale && e.queued == other.queued && e.assigned == other.assigned && e.running == other.running &&
		e.unserved == other.unserved && e.bounded == other.bounded && e.parallelJobs == other.parallelJobs
}

// differences returns the ScaledJobs of which a decision says something else than
// the one before, and how many there were besides.
func differences(d, last *engine.Decision) (parts []part, others int32) {
	blocked := map[plan.Key]string{}
	if last != nil {
		for i := range last.Groups {
			if reason := last.Groups[i].Blocked; reason != "" {
				blocked[last.Groups[i].Key] = reason
			}
		}
	}
	for i := range d.Groups {
		g := &d.Groups[i]
		is, was := d.Plan.Groups[g.Key], plan.GroupPlan{}
		if last != nil {
			was = last.Plan.Groups[g.Key]
		}
		switch {
		case is == was && g.Blocked == blocked[g.Key]:
		case len(parts) < maxParts:
			parts = append(parts, part{
				key: unique.Make(g.Key), blocked: g.Blocked, metric: is.Metric, missing: small(is.Missing), queued: small(is.Queued),
				waiting: small(is.Waiting), busy: small(is.Busy), draining: small(is.Draining), ended: small(is.Ended),
			})
		default:
			others++
		}
	}
	return slices.Clip(parts), others
}

// small returns a number of Jobs in the space that it takes.
func small(n int) int32 { return int32(max(math.MinInt32, min(math.MaxInt32, n))) }

func (l *log) newest() *entry {
	if len(l.entries) == 0 {
		return nil
	}
	return &l.entries[(l.next+len(l.entries)-1)%len(l.entries)]
}

// decisions returns the newest ones, at most limit, the newest first.
func (l *log) decisions(limit int) []Decision {
	n := min(limit, len(l.entries))
	list := make([]Decision, 0, n)
	for i := range n {
		e := &l.entries[(l.next+2*len(l.entries)-1-i)%len(l.entries)]
		list = append(list, e.decision())
	}
	return list
}

func (e *entry) decision() Decision {
	d := Decision{
		At: e.at.time(), Repeated: int(e.repeated), Last: e.last.time(), SnapshotAt: e.snapshotAt.time(), Stale: e.stale,
		Queued: int(e.queued), Assigned: int(e.assigned), Running: int(e.running), Unserved: int(e.unserved), Others: int(e.others),
	}
	if e.bounded {
		parallelJobs := int(e.parallelJobs)
		d.ParallelJobs = &parallelJobs
	}
	for i := range e.parts {
		p := &e.parts[i]
		d.ScaledJobs = append(d.ScaledJobs, DecisionPart{
			ScaledJob: p.key.Value().String(), Metric: p.metric, Missing: int(p.missing), Queued: int(p.queued),
			Waiting: int(p.waiting), Busy: int(p.busy), Draining: int(p.draining), Ended: int(p.ended), Blocked: p.blocked,
		})
	}
	return d
}
