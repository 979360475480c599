package adoqueue

import (
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
		{"99999999999", "", maxHold},
		{"1e999", "", 0}, // not a number of ours
		{"+Inf", "", maxHold},
		{"NaN", "-1e300", 0},
		{"", "1e300", maxHold},
		{"Thu, 31 Dec 2999 23:59:59 GMT", "", maxHold},
		{"Thu, 01 Jan 0001 00:00:00 GMT", "", 0},
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

func TestBackoff(t *testing.T) {
	for _, tt := range []struct {
		failures   int
		pace, want time.Duration
	}{
		{1, time.Second, time.Second},
		{2, 500 * time.Millisecond, time.Second},
		{2, time.Second, maxBackoff},
		{3, time.Second, maxBackoff},
		{4, time.Second, maxBackoff},
		{1000, time.Second, maxBackoff},
		{1000, time.Minute, time.Minute}, // never more often than the pace
	} {
		if got := backoff(tt.failures, tt.pace); got != tt.want {
			t.Errorf("backoff(%d, %v) = %v, want %v", tt.failures, tt.pace, got, tt.want)
		}
	}
}
