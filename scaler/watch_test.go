package scaler

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

func TestWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatcher(time.Second)
		defer w.close()
		var looks, age atomic.Int64
		var done atomic.Bool
		look := func(context.Context) (time.Time, bool) {
			looks.Add(1)
			return time.Now().Add(-time.Duration(age.Load())), !done.Load()
		}
		pool, other := poolKey{pool: 1}, poolKey{pool: 2}
		expect := func(step string, want int64) {
			t.Helper()
			synctest.Wait()
			if n := looks.Swap(0); n != want {
				t.Errorf("%s: %d looks, want %d", step, n, want)
			}
		}
		for range 3 { // however often it is asked for
			w.watch(pool, look)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		expect("one pool", 10)
		age.Store(int64(500 * time.Millisecond)) // somebody else has looked
		w.watch(pool, look)
		time.Sleep(5 * time.Second)
		expect("two who look", 9)
		age.Store(0)
		w.watch(other, look)
		time.Sleep(10 * time.Second)
		expect("two pools", 20)
		time.Sleep(time.Hour)
		expect("nobody asks any more", 15+19) // the other was asked about 5 s later

		w.watch(pool, look)
		done.Store(true)
		time.Sleep(time.Hour)
		expect("nothing to see", 1)
		done.Store(false)
		w.watch(pool, look)
		time.Sleep(time.Second + time.Millisecond)
		expect("again", 1)
		w.close()
		w.watch(pool, look)
		time.Sleep(time.Hour)
		expect("closed", 0)
	})
}

// TestWatcherLeavesPollsAlone has KEDA ask every five seconds and a bit: each
// time, what was seen last must be old enough to be looked at anew.
func TestWatcherLeavesPollsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatcher(time.Second)
		defer w.close()
		pool, scaledJob := poolKey{pool: 1}, plan.Key{Namespace: "ado", Name: "build"}
		var seen atomic.Int64 // when, in nanoseconds
		var looks atomic.Int64
		look := func(context.Context) (time.Time, bool) {
			looks.Add(1)
			seen.Store(time.Now().UnixNano())
			return time.Now(), true
		}
		for poll := range 20 {
			if age := time.Since(time.Unix(0, seen.Load())); poll > 1 && age < time.Second {
				t.Errorf("poll %d finds a look of %v ago", poll, age)
			}
			if n := looks.Swap(0); poll > 1 && n != 4 {
				t.Errorf("%d looks before poll %d, want 4", n, poll)
			}
			w.asked(pool, scaledJob)
			w.watch(pool, look)
			time.Sleep(5*time.Second + 70*time.Millisecond)
			synctest.Wait()
		}
	})
}
