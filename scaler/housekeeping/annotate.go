package housekeeping

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// The annotations besides fleet.PipelineAnnotation.
const (
	runAnnotation    = "ado-agent-orchestrator.io/run"
	runIDAnnotation  = "ado-agent-orchestrator.io/run-id"
	runURLAnnotation = "ado-agent-orchestrator.io/run-url"
)

const (
	// annotateInterval is the time between two looks at which Jobs hold a request: as
	// long as a pool's list of requests serves by default, so that none is missed.
	annotateInterval = time.Second
	// heldMaxAge is how old such a list may be. A leader that KEDA does not ask reads a
	// pool as often as this while a Job of it is not annotated.
	heldMaxAge = 10 * time.Second
	// annotateWithin bounds the patches of one look.
	annotateWithin = 10 * time.Second
	// maxAnnotateTries bounds the patches of one Job; retryAnnotate is the pause after
	// the first, and doubles.
	maxAnnotateTries = 5
	retryAnnotate    = 10 * time.Second
)

// Held are the Jobs whose agents hold requests; *engine.Engine is one.
type Held interface {
	Held(ctx context.Context, maxAge time.Duration) ([]engine.HeldJob, error)
}

// Jobs changes Jobs.
type Jobs interface {
	// Annotate adds annotations to a Job. It ignores one that is gone or has been
	// replaced by another of the same name.
	Annotate(ctx context.Context, job fleet.Job, annotations map[string]string) error
}

// annotator names on each Job the run that its agent has a job of, once.
type annotator struct {
	options  *Options
	reporter reporter

	tries    map[string]annotateTry // by UID of the Job
	warnedAt map[plan.Key]time.Time // that it is forbidden
	failing  bool
}

// annotateTry is what became of a Job's annotations so far.
type annotateTry struct {
	failures int
	next     time.Time // of the next attempt
	done     bool      // the view of Kubernetes may not show it yet
}

func newAnnotator(k *Keeper) *annotator {
	return &annotator{options: &k.options, reporter: k.reporter, tries: map[string]annotateTry{}, warnedAt: map[plan.Key]time.Time{}}
}

// reconcile is called every annotateInterval.
func (a *annotator) reconcile(ctx context.Context) {
	held, err := a.options.Held.Held(ctx, heldMaxAge)
	failures := []error{err}
	tries := make(map[string]annotateTry, len(held))
	within, cancel := context.WithTimeout(ctx, annotateWithin)
	defer cancel()
	for i := range held {
		h := &held[i]
		try := a.tries[h.Job.UID]
		if !try.done && try.failures < maxAnnotateTries && !time.Now().Before(try.next) && within.Err() == nil {
			err := a.annotate(within, h)
			if !apierrors.IsForbidden(err) { // else it has an event
				failures = append(failures, err)
			}
			try = try.after(err)
		}
		tries[h.Job.UID] = try
	}
	if err != nil { // the Jobs of pools that could not be read are not among them
		for uid, try := range a.tries {
			if _, known := tries[uid]; !known {
				tries[uid] = try
			}
		}
	}
	a.tries = tries
	a.report(ctx, errors.Join(failures...))
}

// retrying reports whether the attempt for a Job has failed and another one follows.
func (a *annotator) retrying() bool {
	for _, try := range a.tries {
		if !try.done && try.failures > 0 && try.failures < maxAnnotateTries {
			return true
		}
	}
	return false
}

// after returns the state after an attempt that ended with err.
func (t annotateTry) after(err error) annotateTry {
	if err == nil {
		t.done = true
		return t
	}
	t.next = time.Now().Add(retryAnnotate << t.failures)
	t.failures++
	return t
}

// annotate annotates one Job.
func (a *annotator) annotate(ctx context.Context, h *engine.HeldJob) error {
	annotations := annotationsOf(h)
	if a.options.Settings.DryRun {
		a.count(h, outcomeDryRun)
		a.reporter.logger.Info("dry run: would annotate a Job with its run", zap.Stringer("scaledJob", h.Job.Owner()), zap.String("job", h.Job.Name),
			zap.String("run", annotations[runAnnotation]))
		return nil
	}
	err := a.options.Jobs.Annotate(ctx, h.Job, annotations)
	switch {
	case err == nil:
		a.count(h, outcomeDone)
		return nil
	case apierrors.IsForbidden(err):
		a.warnForbidden(h.Job.Owner(), err)
	}
	a.count(h, outcomeFailed)
	return err
}

// annotationsOf names a pipeline and its run. The texts are written by whoever may edit
// the pipeline.
func annotationsOf(h *engine.HeldJob) map[string]string {
	annotations := map[string]string{fleet.PipelineAnnotation: safetext.Line(h.Request.Definition)}
	if run := safetext.Line(h.Request.Run); run != "" {
		annotations[runAnnotation] = run
	}
	if h.Request.RunID != 0 {
		annotations[runIDAnnotation] = strconv.FormatInt(h.Request.RunID, 10)
	}
	if url := h.Organization.RunURL(h.Request); url != "" {
		annotations[runURLAnnotation] = url
	}
	return annotations
}

// warnForbidden emits an event, and repeats it while the problem persists.
func (a *annotator) warnForbidden(key plan.Key, err error) {
	if time.Since(a.warnedAt[key]) < eventInterval {
		return
	}
	a.warnedAt[key] = time.Now()
	a.reporter.warn("AnnotationForbidden", fmt.Sprintf("Jobs are not annotated with their runs, scaling is not affected: %v", err), key)
}

func (a *annotator) report(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if err != nil && !a.failing {
		a.reporter.logger.Warn("annotating Jobs with their runs failed; retried automatically", zap.Error(err))
	}
	a.failing = err != nil || a.retrying()
}

func (a *annotator) count(h *engine.HeldJob, outcome string) {
	a.reporter.metrics.countAction(h.Organization.String(), h.Pool.Name, "annotate_job", outcome)
}
