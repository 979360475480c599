package housekeeping

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// eventInterval is the time between two events about the same problem:
// Kubernetes keeps an event for an hour by default.
const eventInterval = time.Hour

// Pods finds the Jobs whose pods have not started.
type Pods interface {
	// Unstarted returns those of the Jobs, all of one namespace, whose pods have
	// not started.
	Unstarted(ctx context.Context, namespace string, jobs []fleet.Job) ([]Unstarted, error)
	// Delete deletes a Job and its pod.
	Delete(ctx context.Context, job fleet.Job) error
}

// Unstarted is a Job whose pod has not started.
type Unstarted struct {
	Job fleet.Job
	// Since is when the pod was created, or the Job if it has no pod.
	Since time.Time
	// Reason is one of Kubernetes' reasons, such as ImagePullBackOff,
	// Unschedulable or FailedCreate.
	Reason, Message string
}

// stuckJobs reports Jobs whose pods do not start. The plan goes on counting them
// as waiting Jobs, so no others are created in their place.
type stuckJobs struct {
	options  *Options
	reporter reporter

	warnedAt map[stuckKey]time.Time
	reported map[string]bool // UIDs of the Jobs that a dry run has reported
	failing  bool
}

func newStuckJobs(k *Keeper) *stuckJobs {
	return &stuckJobs{options: &k.options, reporter: k.reporter}
}

// reconcile is called every minute.
func (s *stuckJobs) reconcile(ctx context.Context) {
	now := time.Now()
	members := map[plan.Key]Member{}
	for _, m := range s.options.Members() {
		members[m.Key] = m
	}
	stuck, err := s.observe(ctx, members, now)
	s.warn(stuck, now)
	if s.options.Settings.DeleteStuck {
		err = errors.Join(err, s.deleteAll(ctx, stuck, members))
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil && !s.failing {
		s.reporter.logger.Warn("finding or deleting stuck Jobs failed; retried automatically", zap.Error(err))
	}
	s.failing = err != nil
}

// observe returns the stuck Jobs. It lists pods only in namespaces with Jobs
// that should have started by now, and returns what it finds along with what
// failed.
func (s *stuckJobs) observe(ctx context.Context, members map[plan.Key]Member, now time.Time) (map[stuckKey][]Unstarted, error) {
	stuckAfter := s.options.Settings.StuckAfter
	stuck := map[stuckKey][]Unstarted{}
	var failures []error
	for namespace, jobs := range unfinishedBefore(now.Add(-stuckAfter), jobsOf(s.options.Cluster, members)) {
		unstarted, err := s.options.Pods.Unstarted(ctx, namespace, jobs)
		failures = append(failures, err)
		for _, u := range unstarted {
			if now.Sub(u.Since) >= stuckAfter {
				key := stuckKey{scaledJobOf(&u.Job), u.Reason}
				stuck[key] = append(stuck[key], u)
			}
		}
	}
	return stuck, errors.Join(failures...)
}

// unfinishedBefore returns the unfinished Jobs that were not created after a
// time, by namespace.
func unfinishedBefore(created time.Time, jobs []fleet.Job) map[string][]fleet.Job {
	unfinished := map[string][]fleet.Job{}
	for i := range jobs {
		job := &jobs[i]
		if job.Ended.IsZero() && !job.Created.After(created) {
			unfinished[job.Namespace] = append(unfinished[job.Namespace], *job)
		}
	}
	return unfinished
}

// warn emits events for what is new, and repeats those for what persists.
func (s *stuckJobs) warn(stuck map[stuckKey][]Unstarted, now time.Time) {
	counts, warnedAt := map[stuckKey]int{}, map[stuckKey]time.Time{}
	for _, key := range sortedKeys(stuck) {
		counts[key] = len(stuck[key])
		warnedAt[key] = s.warnedAt[key]
		if warnedAt[key].IsZero() || now.Sub(warnedAt[key]) >= eventInterval {
			warnedAt[key] = now
			s.reporter.warn("AgentPodNotStarted", describeStuck(key.reason, stuck[key]), key.scaledJob)
		}
	}
	s.warnedAt = warnedAt
	s.reporter.metrics.setStuck(counts)
}

// describeStuck describes Jobs that are stuck for the same reason by the oldest.
func describeStuck(reason string, stuck []Unstarted) string {
	oldest := slices.MinFunc(stuck, func(a, b Unstarted) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Job.Name, b.Job.Name))
	})
	return fmt.Sprintf("Jobs whose pods have not started: %d, the oldest is %s, waiting since %s: %s: %s",
		len(stuck), oldest.Job.Name, oldest.Since.UTC().Format(time.RFC3339), reason, oldest.Message)
}

// deleteAll deletes the stuck Jobs. Requests that they were created for get new
// Jobs.
func (s *stuckJobs) deleteAll(ctx context.Context, stuck map[stuckKey][]Unstarted, members map[plan.Key]Member) error {
	dryRun := map[string]bool{}
	var failures []error
	for _, key := range sortedKeys(stuck) {
		m := members[key.scaledJob]
		for _, u := range stuck[key] {
			if s.options.Settings.DryRun {
				dryRun[u.Job.UID] = true
				if !s.reported[u.Job.UID] {
					s.reportDeletion(&m, outcomeDryRun, fmt.Sprintf("dry run: would delete Job %s, which has not started: %s", u.Job.Name, key.reason))
				}
				continue
			}
			if err := s.options.Pods.Delete(ctx, u.Job); err != nil {
				failures = append(failures, err)
				s.countDeletion(&m, outcomeFailed)
				continue
			}
			s.reportDeletion(&m, outcomeDone, fmt.Sprintf("deleted Job %s, which has not started: %s", u.Job.Name, key.reason))
		}
	}
	s.reported = dryRun
	return errors.Join(failures...)
}

func (s *stuckJobs) reportDeletion(m *Member, outcome, message string) {
	s.countDeletion(m, outcome)
	s.reporter.note("StuckJobDeleted", message, m.Key)
}

func (s *stuckJobs) countDeletion(m *Member, outcome string) {
	s.reporter.metrics.countAction(m.Organization, cmp.Or(m.Pool.Name, strconv.Itoa(m.Pool.ID)), "delete_job", outcome)
}

func sortedKeys(stuck map[stuckKey][]Unstarted) []stuckKey {
	return slices.SortedFunc(maps.Keys(stuck), func(a, b stuckKey) int {
		return cmp.Or(strings.Compare(a.scaledJob.String(), b.scaledJob.String()), strings.Compare(a.reason, b.reason))
	})
}
