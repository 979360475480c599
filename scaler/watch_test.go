package scaler

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatcher(time.Second)
		defer w.close()
		var looks atomic.Int64
		var done atomic.Bool
		look := func(context.Context) bool {
			looks.Add(1)
			return !done.Load()
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
		w.watch(pool, look)
		w.watch(other, look)
		time.Sleep(10 * time.Second)
		expect("two pools", 20)
		time.Sleep(time.Hour)
		expect("nobody asks any more", 20+19) // their seconds do not begin together

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
