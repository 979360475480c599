package housekeeping

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// tellAgain is how long an event on a ScaledJob is sure to be seen.
const tellAgain = time.Hour

// Pods looks into Jobs that may not have started.
type Pods interface {
	// Unstarted gives those of the Jobs, all of one namespace, whose pods have
	// not started.
	Unstarted(ctx context.Context, namespace string, jobs []fleet.Job) ([]Unstarted, error)
	// Delete deletes a Job and its pod.
	Delete(ctx context.Context, job fleet.Job) error
}

// Unstarted is why the pod of a Job does not start.
type Unstarted struct {
	Job fleet.Job
	// Since is when the pod was created, or if it cannot be, the Job.
	Since time.Time
	// Reason is a word of Kubernetes, such as ImagePullBackOff, Unschedulable
	// or FailedCreate.
	Reason, Message string
}

// stuckJobs tells of Jobs that do not start. They stay in the plan as what they
// are, supply that is waited for, so that no others are made in their place.
type stuckJobs struct {
	*Keeper
	told    map[stuckKey]time.Time
	said    map[string]bool // UIDs of the Jobs that a dry run has told of
	failing bool
}

// step is called every minute.
func (s *stuckJobs) step(ctx context.Context) {
	err := s.look(ctx, time.Now())
	if ctx.Err() != nil {
		return
	}
	if err != nil && !s.failing {
		s.logger.Warn("Jobs that do not start are not all dealt with; it is tried again", zap.Error(err))
	}
	s.failing = err != nil
}

// look asks for pods only if there are Jobs that should have started long ago.
// It does what it can and gives what failed.
func (s *stuckJobs) look(ctx context.Context, now time.Time) error {
	members := map[plan.Key]Member{}
	for _, m := range s.Members() {
		members[m.Key] = m
	}
	stuck := map[stuckKey][]Unstarted{}
	var failures []error
	for namespace, jobs := range oldJobs(s.Cluster.Jobs(), members, now.Add(-s.StuckAfter)) {
		unstarted, err := s.Pods.Unstarted(ctx, namespace, jobs)
		failures = append(failures, err)
		for _, u := range unstarted {
			if now.Sub(u.Since) >= s.StuckAfter {
				key := stuckKey{plan.Key{Namespace: namespace, Name: u.Job.ScaledJob}, u.Reason}
				stuck[key] = append(stuck[key], u)
			}
		}
	}
	s.show(stuck, now)
	if s.DeleteStuck {
		failures = append(failures, s.remove(ctx, stuck, members))
	}
	return errors.Join(failures...)
}

// oldJobs are the unfinished Jobs of members that were created before a time, by
// namespace.
func oldJobs(all []fleet.Job, members map[plan.Key]Member, before time.Time) map[string][]fleet.Job {
	old := map[string][]fleet.Job{}
	for i := range all {
		job := &all[i]
		_, member := members[plan.Key{Namespace: job.Namespace, Name: job.ScaledJob}]
		if member && job.Ended.IsZero() && !job.Created.After(before) {
			old[job.Namespace] = append(old[job.Namespace], *job)
		}
	}
	return old
}

// show says what is new, and from time to time what stays.
func (s *stuckJobs) show(stuck map[stuckKey][]Unstarted, now time.Time) {
	counts, told := map[stuckKey]int{}, map[stuckKey]time.Time{}
	for _, key := range keysInOrder(stuck) {
		counts[key] = len(stuck[key])
		told[key] = s.told[key]
		if told[key].IsZero() || now.Sub(told[key]) >= tellAgain {
			told[key] = now
			s.warn("AgentsStuck", describe(key.reason, stuck[key]), []plan.Key{key.Key})
		}
	}
	s.told = told
	s.metrics.showStuck(counts)
}

// describe names the Job that waits longest for all that have its reason.
func describe(reason string, stuck []Unstarted) string {
	oldest := slices.MinFunc(stuck, func(a, b Unstarted) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Job.Name, b.Job.Name))
	})
	return fmt.Sprintf("Jobs that do not start: %d, for the longest time %s, since %s; %s: %s",
		len(stuck), oldest.Job.Name, oldest.Since.UTC().Format(time.RFC3339), reason, oldest.Message)
}

// remove deletes them. What they were made for gets new Jobs.
func (s *stuckJobs) remove(ctx context.Context, stuck map[stuckKey][]Unstarted, members map[plan.Key]Member) error {
	said := map[string]bool{}
	var failures []error
	for _, key := range keysInOrder(stuck) {
		for _, u := range stuck[key] {
			outcome, message := done, fmt.Sprintf("deleted Job %s, which did not start: %s", u.Job.Name, key.reason)
			if s.DryRun {
				outcome, message = would, fmt.Sprintf("dry run: would delete Job %s, which does not start: %s", u.Job.Name, key.reason)
				said[u.Job.UID] = true
				if s.said[u.Job.UID] {
					continue
				}
			} else if err := s.Pods.Delete(ctx, u.Job); err != nil {
				failures = append(failures, err)
				s.metrics.deletedJob(members[key.Key], failed)
				continue
			}
			s.metrics.deletedJob(members[key.Key], outcome)
			s.tell("StuckJobDeleted", message, []plan.Key{key.Key})
		}
	}
	s.said = said
	return errors.Join(failures...)
}

func keysInOrder(stuck map[stuckKey][]Unstarted) []stuckKey {
	return slices.SortedFunc(maps.Keys(stuck), func(a, b stuckKey) int {
		return cmp.Or(strings.Compare(a.String(), b.String()), strings.Compare(a.reason, b.reason))
	})
}
