package lifecycle_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/lifecycle"
)

// TestPersistOutOfTime has the last attempt end with the context, which hides the reason.
func TestPersistOutOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		refused := errors.New("the agent is running a job")
		attempts := 0
		err := lifecycle.Persist(ctx, func() error {
			attempts++
			if attempts == 1 {
				return refused
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, refused) || attempts != 2 {
			t.Errorf("after %d attempts: %v", attempts, err)
		}
		if err := lifecycle.Persist(ctx, ctx.Err); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the only attempt: %v", err)
		}
	})
}
