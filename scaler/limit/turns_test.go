package limit_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/limit"
)

// TestTurnsTakeHalfOfTheTime has a flood of work, some of which nobody waits for any
// more.
func TestTurnsTakeHalfOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := limit.NewTurns()
		var working, most, done atomic.Int32
		var flood sync.WaitGroup
		start := time.Now()
		for i := range 50 {
			ctx, leave := context.WithTimeout(t.Context(), time.Hour)
			if i%2 == 1 {
				time.AfterFunc(50*time.Millisecond, leave)
			}
			flood.Go(func() {
				defer leave()
				end, err := turns.Take(ctx)
				if err != nil {
					return
				}
				defer end()
				most.Store(max(most.Load(), working.Add(1)))
				time.Sleep(100 * time.Millisecond)
				working.Add(-1)
				done.Add(1)
			})
		}
		flood.Wait()
		n := time.Duration(done.Load())
		if took := time.Since(start); most.Load() != 1 || n < 25 || took < (2*n-1)*100*time.Millisecond || took > 2*n*100*time.Millisecond {
			t.Errorf("%d pieces of 100 ms took %v, up to %d at a time", n, took, most.Load())
		}
		// Somebody who leaves during the pause takes nobody's turn.
		ctx, leave := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer leave()
		if _, err := turns.Take(ctx); err == nil {
			t.Error("there was no pause")
		}
		left := time.Now()
		end, err := turns.Take(t.Context())
		if rest := time.Since(left); err != nil || rest != 90*time.Millisecond {
			t.Fatalf("the rest of the pause of 100 ms was %v, %v", rest, err)
		}
		time.Sleep(time.Hour)
		end()
		began := time.Now()
		if _, err := turns.Take(t.Context()); err != nil || time.Since(began) != time.Second {
			t.Errorf("after an hour the pause was %v, %v", time.Since(began), err)
		}
	})
}
