package main

import (
	"testing"
	"time"
)

func TestWait(t *testing.T) {
	t.Parallel()
	var r result
	r.wait(nil)
	var waits []time.Duration
	for i := range 20 {
		waits = append(waits, time.Duration(20-i)*time.Second)
	}
	r.wait(waits)
	if r.mean != 10500*time.Millisecond || r.p95 != 19*time.Second || r.longest != 20*time.Second {
		t.Errorf("mean %v, p95 %v, longest %v", r.mean, r.p95, r.longest)
	}
}
