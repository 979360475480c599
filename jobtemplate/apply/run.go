package apply

import (
	"context"
	"time"

	"go.uber.org/zap"
)

const (
	// every is how often what is there is put right.
	every = 5 * time.Minute
	// firstPause and every bound the pause after failures, which doubles.
	firstPause = 5 * time.Second
	// within bounds one attempt.
	within = time.Minute
)

// Run applies at once, and again every five minutes until ctx ends. A failure
// is logged and tried again sooner, at first after five seconds.
func (a *Applier) Run(ctx context.Context) {
	keep(ctx, a.Logger, a.Apply)
}

func keep(ctx context.Context, logger *zap.Logger, apply func(context.Context) error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		attempt, cancel := context.WithTimeout(ctx, within)
		err := apply(attempt)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
			pause := pauseAfter(failures)
			logger.Error("ScaledJobs not applied", zap.Error(err), zap.Duration("again in", pause))
			timer.Reset(pause)
		default:
			if failures > 0 {
				logger.Info("ScaledJobs applied, after failures", zap.Int("failures", failures))
			}
			failures = 0
			timer.Reset(every)
		}
	}
}

func pauseAfter(failures int) time.Duration {
	pause := firstPause
	for range failures - 1 {
		pause = min(2*pause, every)
	}
	return pause
}
