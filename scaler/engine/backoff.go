package engine

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

// pauses are those after which a ScaledJob whose Jobs fail before they take a
// request, for lack of an image or a credential, gets new ones.
var pauses = wait.Backoff{Duration: 10 * time.Second, Factor: 2, Steps: 10, Cap: 5 * time.Minute}

// Backoff is what holds a ScaledJob back whose last Jobs failed before accepting
// work.
type Backoff struct {
	// Failures is how often Jobs failed since an agent took a request; Jobs that fail
	// together count once.
	Failures int
	// Until is until when the ScaledJob gets no new Jobs; it may be over.
	Until time.Time
}

// backoff is the pause of one ScaledJob. The zero value is none.
type backoff struct {
	failures int       // rounds of failed Jobs since an agent took a request
	created  time.Time // of the youngest failed Job
	job      string    // its name
	until    time.Time
}

// observe takes in the Jobs of the ScaledJob as they are now, and reports whether
// there is a new failure. Jobs that fail together count as one; held reports
// which have had a request.
func (b *backoff) observe(jobs []fleet.Job, held func(uid string) bool) (failed bool) {
	var last *fleet.Job
	var taken time.Time // when the youngest Job was created that has had a request
	for i := range jobs {
		job := &jobs[i]
		switch {
		case held(job.UID):
			taken = later(taken, job.Created)
		case job.Failed && (last == nil || job.Created.After(last.Created)):
			last = job
		}
	}
	// Times have whole seconds: of Jobs created together some take requests, and
	// then nothing is wrong with the rest.
	if b.failures > 0 && !taken.Before(b.created) {
		*b = backoff{}
	}
	if last == nil || !last.Created.After(taken) || !last.Created.After(b.created) {
		return false
	}
	b.failures++
	b.created, b.job = last.Created, last.Name
	b.until = last.Ended.Add(pauseAfter(b.failures))
	return true
}

// blocked is why the ScaledJob gets no new Jobs now, or "".
func (b *backoff) blocked(now time.Time) string {
	if !now.Before(b.until) {
		return ""
	}
	return fmt.Sprintf("Jobs fail before accepting work (latest: %s); next attempt at %s",
		b.job, b.until.UTC().Format(time.TimeOnly+"Z"))
}

func pauseAfter(failures int) time.Duration {
	steps := pauses
	pause := steps.Duration
	for range min(failures, pauses.Steps) {
		pause = steps.Step()
	}
	return pause
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
