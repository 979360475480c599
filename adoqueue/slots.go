package adoqueue

import (
	"context"

	"golang.org/x/sync/semaphore"
)

const (
	// maxInFlight bounds the requests of a client that are under way at once.
	maxInFlight = 8
	// maxOrdinary bounds those of them that are not preferred, and maxFirst those for
	// lists of pools that have not answered yet. A caller that names pools which
	// exist, however slow, cannot keep the others from being read.
	maxOrdinary = 6
	maxFirst    = 4
)

// weight is how much a request matters.
type weight int

const (
	preferred weight = iota // or no list of jobs
	ordinary
	first // for a pool that has not answered yet
)

type (
	preferredKey struct{}
	weightKey    struct{}
)

// Preferred marks callers of [Cache.Snapshot] whose pools are to be read although
// others wait: those of ScaledJobs that are known to exist.
func Preferred(ctx context.Context) context.Context {
	return context.WithValue(ctx, preferredKey{}, true)
}

// IsPreferred reports whether the caller is; see [Preferred].
func IsPreferred(ctx context.Context) bool { return ctx.Value(preferredKey{}) != nil }

func withWeight(ctx context.Context, w weight) context.Context {
	return context.WithValue(ctx, weightKey{}, w)
}

func weightOf(ctx context.Context) weight {
	w, _ := ctx.Value(weightKey{}).(weight)
	return w
}

// slots are turns to send a request.
type slots struct{ all, ordinary, first *semaphore.Weighted }

func newSlots() slots {
	return slots{semaphore.NewWeighted(maxInFlight), semaphore.NewWeighted(maxOrdinary), semaphore.NewWeighted(maxFirst)}
}

// acquire waits for a slot until ctx ends.
func (s slots) acquire(ctx context.Context) (release func(), err error) {
	kinds := []*semaphore.Weighted{s.first, s.ordinary, s.all}[first-weightOf(ctx):]
	release = func() {}
	for _, kind := range kinds {
		if err := kind.Acquire(ctx, 1); err != nil {
			release()
			return nil, err
		}
		before := release
		release = func() {
			kind.Release(1)
			before()
		}
	}
	return release, nil
}
