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
