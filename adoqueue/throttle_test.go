package adoqueue

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		retryAfter, delay string
		want              time.Duration
	}{
		{"", "", 0},
		{"17", "", 17 * time.Second},
		{"0", "", 0},
		{"-3", "", 0},
		{"soon", "NaN", 0},
		{"", "1.234", 1234 * time.Millisecond},
		{"2", "30.5", 30500 * time.Millisecond},
		{"Mon, 05 Jan 2026 08:00:42 GMT", "", 42 * time.Second},
		{"Mon, 05 Jan 2026 07:00:00 GMT", "", 0},
		{"1e300", "", maxHold},
		{"86400", "", maxHold},
	} {
		header := http.Header{}
		header.Set("Retry-After", tt.retryAfter)
		header.Set("X-RateLimit-Delay", tt.delay)
		if got := retryAfter(header, now); got != tt.want {
			t.Errorf("Retry-After %q, X-RateLimit-Delay %q: got %v, want %v", tt.retryAfter, tt.delay, got, tt.want)
		}
	}
}

// TestRetryAfterByAnotherClock has a server whose clock does not agree with ours.
func TestRetryAfterByAnotherClock(t *testing.T) {
	now := time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
	header := http.Header{"Retry-After": {"Mon, 05 Jan 2026 09:00:42 GMT"}, "Date": {"Mon, 05 Jan 2026 09:00:00 GMT"}}
	if got := retryAfter(header, now); got != 42*time.Second {
		t.Errorf("got %v, want 42 s", got)
	}
	header.Set("Date", "soon")
	if got := retryAfter(header, now); got != maxHold {
		t.Errorf("without a date of the answer: got %v, want %v", got, maxHold)
	}
}

func TestPause(t *testing.T) {
	plain := errors.New("reset")
	asked := &Error{RetryAfter: 40 * time.Second}
	for _, tt := range []struct {
		err      error
		failures int
		pace     time.Duration
		want     time.Duration
	}{
		{plain, 1, time.Second, time.Second},
		{plain, 2, 500 * time.Millisecond, time.Second},
		{plain, 2, time.Second, maxBackoff},
		{plain, 3, time.Second, maxBackoff},
		{plain, 4, time.Second, maxBackoff},
		{plain, 1000, time.Second, maxBackoff},
		{plain, 1000, time.Minute, time.Minute}, // never more often than the pace
		{asked, 1, time.Second, 40 * time.Second},
		{asked, 1, time.Minute, time.Minute},
	} {
		if got := pause(tt.err, tt.failures, tt.pace); got != tt.want {
			t.Errorf("pause(%v, %d, %v) = %v, want %v", tt.err, tt.failures, tt.pace, got, tt.want)
		}
	}
}
