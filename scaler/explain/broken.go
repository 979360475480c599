package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

const (
	// missedPolls is how many polls KEDA has to miss to count as not asking.
	missedPolls = 3
	// createdWithin is how many polls KEDA may take to create a Job that the metric asks
	// for.
	createdWithin = 2
	// leastPatience is the least time for either: informers and clocks lag.
	leastPatience = 3 * time.Second
)

// firstBroken returns the first broken link of an unfinished request, nil if none is
// broken.
func firstBroken(v *view) *Broken {
	outcome := v.verdict.Outcome
	if outcome == plan.ByBusyJob || outcome == plan.ByOtherAgent || outcome == plan.ByOtherShard {
		return nil
	}
	if b := v.pool.broken(v.now); b != nil {
		return b
	}
	switch outcome {
	case plan.ByWaitingJob:
		return v.brokenJob()
	case plan.ByNewJob:
		return v.brokenCreation()
	default:
		return v.unserved()
	}
}

// broken is what keeps all requests of the pool from being served.
func (p *poolView) broken(now time.Time) *Broken {
	pool := fmt.Sprintf("pool %q", p.name)
	err := p.reading.Err
	switch {
	case p.throttledUntil.After(now) || errors.Is(err, adoqueue.ErrThrottled):
		until := "until " + clock(p.throttledUntil)
		if !p.throttledUntil.After(now) {
			until = "for a while"
		}
		return &Broken{
			Step: StepCounted, Code: CodeThrottled, Since: p.reading.FailingSince,
			Sentence: fmt.Sprintf("Azure DevOps throttles this scaler: %s is not read %s", pool, until),
			Fix: "wait; if it happens often, raise POLLING_DELAY, and find out what else uses the identity " +
				"(Organization settings, Usage)",
		}
	case err != nil:
		return &Broken{
			Step: StepCounted, Code: CodeUnreadable, Since: p.reading.FailingSince,
			Sentence: fmt.Sprintf("Azure DevOps cannot be read for %s since %s: %s", pool, clock(p.reading.FailingSince), cause(err)),
			Fix:      fixOf(err),
		}
	case p.outOfDate != nil:
		return &Broken{
			Step: StepCounted, Code: CodeKubernetes,
			Sentence: "nothing is decided, and KEDA gets errors: " + cause(p.outOfDate),
			Fix:      fixOfView,
		}
	}
	return nil
}

// withoutAgents explains a pool in which Azure DevOps fails each job at once; nil if it
// does not.
func (p *poolView) withoutAgents() *Broken {
	if p.agents == nil || len(p.agents) > 0 {
		return nil
	}
	return &Broken{
		Step: StepQueued, Code: CodePlaceholder,
		Sentence: fmt.Sprintf("no agent is registered in pool %q, so Azure DevOps fails each job at once", p.name),
		Fix:      "set PLACEHOLDERS=true (housekeeping.placeholders of the chart), or register an agent that stays offline",
	}
}

// unserved explains a request that nobody serves.
func (v *view) unserved() *Broken {
	if v.scaledJob == nil || v.verdict.Cause == plan.NoGroup {
		return v.unmatched()
	}
	s := v.scaledJob
	switch v.verdict.Cause {
	case plan.NoParallelJob:
		return &Broken{
			Step: StepCounted, Code: CodeParallelJobs,
			Sentence: "all parallel jobs of the organization are taken by running jobs or waiting agents",
			Fix: "wait until a job ends, buy parallel jobs (Organization settings, Parallel jobs), " +
				"or set CAP_BY_PARALLEL_JOBS=false to create agents that wait for one",
		}
	case plan.GroupBlocked:
		return s.blocked()
	default:
		return &Broken{
			Step: StepCounted, Code: CodeMaxReplicas,
			Sentence: fmt.Sprintf("ScaledJob %s is at its maxReplicaCount of %d: %d busy, %d waiting for a job, %d ending",
				s.key, s.max, s.plan.Busy, s.plan.Waiting, s.plan.Draining),
			Fix: "wait until a job ends, or raise maxReplicaCount",
		}
	}
}

// unmatched explains a request that no ScaledJob's agents can run.
func (v *view) unmatched() *Broken {
	b := &Broken{Step: StepCounted, Code: CodeNoScaledJob, Since: v.request.QueueTime}
	switch {
	case v.pool.scaledJobs == 0:
		b.Sentence = fmt.Sprintf("no ScaledJob serves pool %q with count exact", v.pool.name)
		b.Fix = "create a ScaledJob whose trigger has this pool as poolName; the command render prints one"
	case v.nearest == nil:
		b.Sentence = fmt.Sprintf("no ScaledJob of pool %q serves %s", v.pool.name, demandsIn(v.demands))
		b.Fix = "state what the agents offer as capabilities in the ScaledJobs' triggers, in place of demands or parent"
	default:
		lacks := strings.Join(v.nearest.lacks, ", ")
		b.Sentence = fmt.Sprintf("no ScaledJob of pool %q meets %s; the nearest is %s, which lacks %s",
			v.pool.name, demandsIn(v.demands), v.nearest.key, lacks)
		b.Fix = fmt.Sprintf("add %s to the capabilities of a ScaledJob whose agents have it, or remove the demand from the pipeline", lacks)
	}
	return b
}

// blocked explains a ScaledJob that gets no new Jobs; nil if it does.
func (s *scaledJobView) blocked() *Broken {
	b := &Broken{Step: StepCounted}
	name := "ScaledJob " + s.key.String()
	switch s.block.Cause {
	case engine.Paused:
		b.Code, b.Sentence = CodePaused, name+" is paused"
		b.Fix = fmt.Sprintf("kubectl annotate scaledjob -n %s %s autoscaling.keda.sh/paused-", s.key.Namespace, s.key.Name)
	case engine.Deleting:
		b.Code, b.Sentence = CodeDeleting, name+" is being deleted"
		b.Fix = "wait for its Jobs to end, or create it again"
	case engine.Invalid:
		b.Code, b.Sentence, b.Fix = CodeInvalid, name+" cannot work", "see its events"
		if s.member != nil && s.member.Problem != "" {
			b.Sentence, b.Fix = safetext.Line(s.member.Problem), "change what the sentence names"
		}
	case engine.NotPolled, engine.Unresolved:
		return s.notAsked()
	case engine.HeldBack:
		return s.heldBack()
	default:
		return nil
	}
	return b
}

// fixOfAsking is what to do if KEDA does not ask.
const fixOfAsking = "see KEDA's log and the ScaledJob's events: does KEDA watch this namespace, and may it reach the scaler? " +
	"The command doctor checks both"

// notAsked explains a ScaledJob that KEDA does not poll.
func (s *scaledJobView) notAsked() *Broken {
	b := &Broken{
		Step: StepReported, Code: CodeNotPolled,
		Sentence: fmt.Sprintf("KEDA has not polled ScaledJob %s since this scaler started or the ScaledJob changed", s.key),
		Fix:      fixOfAsking,
	}
	if s.member == nil {
		return b
	}
	b.Since = s.member.Since
	if at := s.member.PolledAt; !at.IsZero() {
		b.Since = at
		b.Sentence = fmt.Sprintf("KEDA has not polled ScaledJob %s since %s, more than three polls of %s",
			s.key, clock(at), s.member.ScaledJob.PollingInterval)
	}
	return b
}

// heldBack explains a ScaledJob whose Jobs fail before they take a job.
func (s *scaledJobView) heldBack() *Broken {
	b := &Broken{Step: StepRegistered, Code: CodeBackOff, Since: s.failed.FailedAt}
	b.Sentence = fmt.Sprintf("Jobs of ScaledJob %s fail before accepting work; next attempt at %s", s.key, clock(s.block.Until))
	b.Fix = "see the log of a pod of Job " + s.block.Job
	if s.failed.Reason != "" {
		what, fix := describeFailure(&s.failed)
		b.Sentence += ": " + what
		b.Fix = fix
	}
	return b
}

// asking explains why KEDA does not ask about a ScaledJob, nil if it does.
func (s *scaledJobView) asking(now time.Time) *Broken {
	m := s.member
	if m == nil {
		return nil
	}
	since := later(m.PolledAt, m.Since)
	if now.Sub(since) > max(missedPolls*m.ScaledJob.PollingInterval, leastPatience) {
		return s.notAsked()
	}
	if m.Err == nil || errors.Is(m.Err, context.Canceled) { // KEDA has hung up, and asks again
		return nil
	}
	return &Broken{
		Step: StepReported, Code: codeOf(m.Err), Since: m.PolledAt,
		Sentence: fmt.Sprintf("KEDA gets an error for ScaledJob %s: %s", s.key, cause(m.Err)), Fix: fixOf(m.Err),
	}
}

// codeOf returns the code of an error that KEDA gets.
func codeOf(err error) Code {
	if _, ok := errors.AsType[*engine.ConfigError](err); ok {
		return CodeInvalid
	}
	if _, ok := errors.AsType[*engine.ViewError](err); ok {
		return CodeKubernetes
	}
	return CodeUnreadable
}

// brokenCreation explains a request for which a Job is to be created.
func (v *view) brokenCreation() *Broken {
	s := v.scaledJob
	if s.member == nil { // since the last decision
		return &Broken{
			Step: StepCounted, Code: CodeDeleting, Sentence: "ScaledJob " + s.key.String() + " was deleted, or its trigger names another scaler",
			Fix: "create it again, or cancel the job",
		}
	}
	if b := s.asking(v.now); b != nil {
		return b
	}
	ready := s.ready
	patience := max(createdWithin*v.interval(), leastPatience)
	late := !v.reported.IsZero() && v.now.Sub(v.reported) > patience
	refused := !v.reported.IsZero() && ready.Reason == "KEDAJobCreateFailed"
	if late && v.pool.standalone {
		return &Broken{
			Step: StepJob, Code: CodeRefused, Since: v.reported,
			Sentence: fmt.Sprintf("a Job of %s has been missing since %s, and none could be created", s.key, clock(v.reported)),
			Fix:      "see this program's log; the usual causes are a quota on Jobs, an admission webhook or a missing right",
		}
	}
	if late || refused {
		b := &Broken{
			Step: StepJob, Code: CodeNotCreated, Since: v.reported,
			Sentence: fmt.Sprintf("KEDA got a metric at %s that requires a Job of ScaledJob %s, but has created none", clock(v.reported), s.key),
			Fix: "see KEDA's log and the ScaledJob's events; a quota on Jobs, an admission webhook or a limit on KEDA's rights " +
				"keeps it from creating them",
		}
		if ready.Status != "True" && ready.Message != "" {
			b.Sentence += ": " + mask(ready.Message)
		}
		return b
	}
	if v.taken != 0 {
		return &Broken{
			Step: StepAssigned, Code: CodeTaken, Since: v.takenAt,
			Sentence: fmt.Sprintf("its agent took request %d; another Job is being created", v.taken),
			Fix:      "nothing: Azure DevOps assigns a job to any agent that can run it, and each job gets one",
		}
	}
	return nil
}

// cause is what an error says, in one line and without what looks like a secret.
func cause(err error) string {
	if failure, ok := errors.AsType[*adoqueue.Error](err); ok {
		plain := *failure
		plain.Hint = ""
		return mask(safetext.Line(plain.Error()))
	}
	return mask(safetext.Error(err))
}

// fixOfView is what to do about a view of Kubernetes that is out of date.
const fixOfView = "check the API server, and the network between it and the scaler"

func fixOf(err error) string {
	if failure, ok := errors.AsType[*adoqueue.Error](err); ok {
		return cmp.Or(failure.Hint, "see the scaler's log")
	}
	if _, ok := errors.AsType[*engine.ConfigError](err); ok {
		return "change what the sentence names"
	}
	if _, ok := errors.AsType[*engine.ViewError](err); ok {
		return fixOfView
	}
	return "see the scaler's log"
}

// demandsIn names demands in a sentence.
func demandsIn(demands []string) string {
	switch len(demands) {
	case 0:
		return "a job without demands"
	case 1:
		return "the demand " + demands[0]
	default:
		return "the demands " + strings.Join(demands, ", ")
	}
}

// clock is a time as sentences have it.
func clock(t time.Time) string {
	if t.IsZero() {
		return "its start"
	}
	return t.UTC().Format(time.TimeOnly + "Z")
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
