package apply

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestKeep follows the times of attempts, of which some fail and one hangs.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		start := time.Now()
		var at []time.Duration
		keep(ctx, zap.New(core), func(ctx context.Context) error {
			at = append(at, time.Since(start).Round(time.Second))
			switch len(at) {
			case 2:
				<-ctx.Done()
				return ctx.Err()
			case 3, 4:
				return errors.New("no")
			case 7:
				stop()
				return ctx.Err()
			}
			return nil
		})
		want := []time.Duration{0, 300, 365, 375, 395, 695, 995}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(at, want) {
			t.Errorf("attempts at %v, want %v", at, want)
		}
		var said []string
		for _, entry := range logs.All() {
			said = append(said, entry.Level.String()+" "+entry.Message)
		}
		failed := "error ScaledJobs not applied"
		if want := []string{failed, failed, failed, "info ScaledJobs applied, after failures"}; !slices.Equal(said, want) {
			t.Errorf("logged %q, want %q", said, want)
		}
	})
}

func TestPauseAfter(t *testing.T) {
	if got := pauseAfter(1); got != firstPause {
		t.Errorf("after one failure %s", got)
	}
	if got := pauseAfter(1000); got != every {
		t.Errorf("after many failures %s", got)
	}
}
