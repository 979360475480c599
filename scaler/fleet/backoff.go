package fleet

import (
	"fmt"
	"time"
)

// A ScaledJob whose Jobs fail before they take a request, for want of an image
// or a credential, gets new ones after a pause that grows.
const (
	firstPause   = 10 * time.Second
	longestPause = 5 * time.Minute
)

// backoff is the pause of one ScaledJob. The zero value is none.
type backoff struct {
	failures int       // rounds of failed Jobs since an agent took a request
	created  time.Time // of the youngest failed Job
	job      string    // its name
	until    time.Time
}

// observe takes in the Jobs of the ScaledJob as they are now. Jobs that fail
// together count as one failure; held tells which have had a request.
func (b *backoff) observe(jobs []Job, held func(uid string) bool) {
	var failed *Job
	var taken time.Time // when the youngest Job was created that has had a request
	for i := range jobs {
		job := &jobs[i]
		switch {
		case held(job.UID):
			taken = later(taken, job.Created)
		case job.Failed && (failed == nil || job.Created.After(failed.Created)):
			failed = job
		}
	}
	// Times have whole seconds: of Jobs made together some take requests, and
	// then nothing is wrong with the rest.
	if b.failures > 0 && !taken.Before(b.created) {
		*b = backoff{}
	}
	if failed == nil || !failed.Created.After(taken) || !failed.Created.After(b.created) {
		return
	}
	b.failures++
	b.created, b.job = failed.Created, failed.Name
	b.until = failed.Ended.Add(pauseAfter(b.failures))
}

// blocked is why the ScaledJob gets no new Jobs now, or "".
func (b *backoff) blocked(now time.Time) string {
	if !now.Before(b.until) {
		return ""
	}
	return fmt.Sprintf("its Jobs fail before they take a job, %s at last; the next is made at %s",
		b.job, b.until.UTC().Format(time.TimeOnly+"Z"))
}

func pauseAfter(failures int) time.Duration {
	pause := firstPause
	for range failures - 1 {
		pause = min(2*pause, longestPause)
	}
	return pause
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
