package cluster

import (
	"context"
	"time"
)

// Until waits until the condition is met.
func Until(ctx context.Context, met func() bool) error {
	for !met() {
		if err := Sleep(ctx, lookEvery); err != nil {
			return err
		}
	}
	return nil
}

// Sleep waits. It returns the reason if the context is over first.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
