package engine

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRefresher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefresher(time.Second)
		defer r.close()
		var reads, age atomic.Int64
		var done atomic.Bool
		from := source{
			read: func(context.Context) (time.Time, bool) {
				reads.Add(1)
				return time.Now().Add(-time.Duration(age.Load())), !done.Load()
			},
			nextPoll: func(time.Time) time.Time { return time.Time{} },
		}
		one, other := &pool{id: 1}, &pool{id: 2}
		expect := func(step string, want int64) {
			t.Helper()
			synctest.Wait()
			if n := reads.Swap(0); n != want {
				t.Errorf("%s: %d reads, want %d", step, n, want)
			}
		}
		for range 3 { // however often it is called
			r.watch(one, from)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		expect("one pool", 10)
		age.Store(int64(500 * time.Millisecond)) // somebody else has read it
		r.watch(one, from)
		time.Sleep(5 * time.Second)
		expect("two readers", 9)
		age.Store(0)
		r.watch(other, from)
		time.Sleep(10 * time.Second)
		expect("two pools", 20)
		time.Sleep(time.Hour)
		expect("nobody asks any more", 15+19) // the other was asked about 5 s later

		r.watch(one, from)
		done.Store(true)
		time.Sleep(time.Hour)
		expect("nothing to see", 1)
		done.Store(false)
		r.watch(one, from)
		time.Sleep(time.Second + time.Millisecond)
		expect("again", 1)
		r.close()
		r.watch(one, from)
		time.Sleep(time.Hour)
		expect("closed", 0)
	})
}

// TestRefresherLeavesPollsAlone has KEDA ask every five seconds and a bit: each
// time, the last read must be old enough for a new one.
func TestRefresherLeavesPollsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefresher(time.Second)
		defer r.close()
		one := &pool{id: 1}
		var seen atomic.Int64 // when, in nanoseconds
		var reads atomic.Int64
		var build polls
		from := source{
			read: func(context.Context) (time.Time, bool) {
				reads.Add(1)
				seen.Store(time.Now().UnixNano())
				return time.Now(), true
			},
			nextPoll: func(time.Time) time.Time { return build.next() },
		}
		for poll := range 20 {
			if age := time.Since(time.Unix(0, seen.Load())); poll > 1 && age < time.Second {
				t.Errorf("poll %d finds a read of %v ago", poll, age)
			}
			if n := reads.Swap(0); poll > 1 && n != 4 {
				t.Errorf("%d reads before poll %d, want 4", n, poll)
			}
			build.asked(time.Now())
			r.watch(one, from)
			time.Sleep(5*time.Second + 70*time.Millisecond)
			synctest.Wait()
		}
	})
}
