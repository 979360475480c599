package housekeeping

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

const (
	// idleFor is how long an agent has to be idle until it may be evicted: one that
	// has just come most often gets the job that it was created for. Until then the
	// agents of its pool are listed every lookEvery.
	idleFor   = 30 * time.Second
	lookEvery = 10 * time.Second
	// rewriteAfter is after how long a budget is written although nothing has
	// changed: somebody may have changed or deleted it. A right that is missing is
	// tried again after forbiddenFor.
	rewriteAfter = 5 * time.Minute
	forbiddenFor = time.Minute
	// maxEvictable bounds the Jobs that a budget names.
	maxEvictable = 500
)

// Budgets protects pods from eviction.
type Budgets interface {
	// Protect ensures that no pod of a ScaledJob may be evicted, other than those of
	// the Jobs with these names.
	Protect(ctx context.Context, scaledJob Member, evictable []string) error
}

// budgets lets idle agents be evicted, and no others: what is not known to be idle
// is protected, so that a new agent is from the start, and all are while the pool
// cannot be read. A job that meets an agent in the moment between is not lost: the
// launcher finishes it within the grace period of its pod.
type budgets struct {
	options  *Options
	reporter reporter

	written map[plan.Key]*budget
	failing bool // pools cannot be read
}

// budget is what was written last for a ScaledJob.
type budget struct {
	scaledJob Member
	evictable []string  // names of Jobs, sorted
	at        time.Time // zero if what is there is unknown
	notBefore time.Time // when it is tried again if the right to write is missing
	looked    time.Time // when its agents were listed
	failing   bool
}

func newBudgets(k *Keeper) *budgets {
	return &budgets{options: &k.options, reporter: k.reporter, written: map[plan.Key]*budget{}}
}

// reconcile is called every idleInterval.
func (b *budgets) reconcile(ctx context.Context) {
	groups, err := b.options.Idle.WaitingGroups(ctx)
	failures := []error{err}
	byKey := map[plan.Key]*engine.IdleGroup{}
	for i := range groups {
		byKey[groups[i].Key] = &groups[i]
	}
	pools := newPoolAgents(b.options)
	seen := map[plan.Key]*budget{}
	var unprotected []plan.Key
	var reason error
	for _, m := range b.options.Members() {
		if !m.Launcher {
			continue
		}
		last := b.written[m.Key]
		if last == nil || last.scaledJob.UID != m.UID {
			last = &budget{scaledJob: m}
		}
		seen[m.Key] = last
		evictable, err := last.next(ctx, byKey[m.Key], pools, time.Now())
		failures = append(failures, err)
		if err := b.write(ctx, last, evictable); err != nil {
			unprotected, reason = append(unprotected, m.Key), err
		}
	}
	for key, last := range b.written {
		// Of one whose trigger has mistakes now nobody knows which agents are idle.
		if seen[key] == nil && len(last.evictable) > 0 {
			failures = append(failures, b.write(ctx, last, nil))
		}
	}
	b.written = seen
	b.report(ctx, errors.Join(failures...))
	b.warn(ctx, unprotected, reason)
}

// next returns the Jobs that may be evicted now: those that could be and still wait,
// and those that have become idle meanwhile. Without a group there are none.
func (l *budget) next(ctx context.Context, g *engine.IdleGroup, pools *poolAgents, now time.Time) ([]string, error) {
	if g == nil {
		return nil, nil
	}
	var evictable []string
	var candidates []*engine.IdleJob
	for i := range g.Waiting {
		switch job := &g.Waiting[i]; {
		case !job.Job.Launcher: // also one that runs its second pod
		case slices.Contains(l.evictable, job.Job.Name):
			evictable = append(evictable, job.Job.Name)
		case now.Sub(job.Job.Created) >= idleFor:
			candidates = append(candidates, job)
		}
	}
	slices.Sort(evictable)
	if len(candidates) == 0 || len(evictable) >= maxEvictable || now.Sub(l.looked) < lookEvery {
		return evictable, nil
	}
	l.looked = now
	agents, err := pools.of(ctx, g)
	if err != nil {
		return evictable, err
	}
	for _, job := range candidates {
		if s, agent := stateOf(job, agents); s == ready && now.Sub(agent.StatusChanged) >= idleFor {
			evictable = append(evictable, job.Job.Name)
		}
	}
	evictable = evictable[:min(len(evictable), maxEvictable)]
	slices.Sort(evictable)
	return evictable, nil
}

// write writes a ScaledJob's budget unless it is what was written last.
func (b *budgets) write(ctx context.Context, last *budget, evictable []string) error {
	now := time.Now()
	known := !last.at.IsZero() && slices.Equal(last.evictable, evictable)
	if now.Before(last.notBefore) || known && now.Sub(last.at) < rewriteAfter {
		return nil
	}
	if b.options.Settings.DryRun {
		if len(evictable) > 0 && last.at.IsZero() {
			b.reporter.note("IdleAgentsEvictable", fmt.Sprintf("dry run: would allow evicting %d idle agents", len(evictable)), last.scaledJob.Key)
			last.at = now
		}
		return nil
	}
	err := b.options.Budgets.Protect(ctx, last.scaledJob, evictable)
	if err != nil {
		last.evictable, last.at = nil, time.Time{}
		if apierrors.IsForbidden(err) {
			last.notBefore = now.Add(forbiddenFor)
		}
		return err
	}
	last.evictable, last.at, last.failing = evictable, now, false
	return nil
}

// warn reports the ScaledJobs whose agents may not be protected, once.
func (b *budgets) warn(ctx context.Context, unprotected []plan.Key, reason error) {
	if ctx.Err() != nil {
		return
	}
	unprotected = slices.DeleteFunc(unprotected, func(key plan.Key) bool { return b.written[key].failing })
	for _, key := range unprotected {
		b.written[key].failing = true
	}
	if len(unprotected) > 0 {
		b.reporter.warn("AgentsNotProtected",
			fmt.Sprintf("agents with a job may be evicted, since their PodDisruptionBudget is not written; retried automatically: %v", reason), unprotected...)
	}
}

// report logs that pools cannot be read, but not every time.
func (b *budgets) report(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if err != nil && !b.failing {
		b.reporter.logger.Warn("finding idle agents failed; retried automatically, and they are protected from eviction until then", zap.Error(err))
	}
	b.failing = err != nil
}
