package adoqueue

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// maxHold bounds how long an answer may keep a client silent. Azure DevOps counts
// usage over five minutes.
const maxHold = 5 * time.Minute

// throttle is the policy of the pipeline that sends nothing for as long as Azure
// DevOps asks for, which it may do in any answer, successful ones included. It
// counts use by identity, so the wait holds for all pools of a client.
type throttle struct {
	mu       sync.Mutex
	until    time.Time
	slowdown time.Duration // the longest wait because a request was delayed; 0 is maxSlowdown
	sent     int64         // requests so far
	delay    time.Duration // of requests by Azure DevOps, together

	delayed func(time.Duration) // how long a request was delayed
}

// maxSlowdown bounds the wait after an answer that was delayed.
const maxSlowdown = 15 * time.Second

// Do sends the request, or refuses it with ErrThrottled while it is too early.
func (t *throttle) Do(request *policy.Request) (*http.Response, error) {
	if wait := time.Until(t.heldUntil()); wait > 0 {
		return nil, &Error{
			Message: "not sent: Azure DevOps asks to wait " + wait.Round(time.Millisecond).String() + " more",
			Hint:    hintRetry, RetryAfter: wait, kind: ErrThrottled, unsent: true,
		}
	}
	response, err := request.Next()
	t.count(response)
	if err != nil {
		return nil, err
	}
	t.delayed(seconds(response.Header.Get(rateLimitDelay)))
	var first prelude
	if wait := t.after(response, request.OperationValue(&first)); wait > 0 {
		t.hold(time.Now().Add(wait))
	}
	return response, nil
}

// after returns how long to wait after an answer. A delay of a request that
// succeeded is about the past: to wait as long again slows down, and it must not
// take longer than the last snapshots may serve.
func (t *throttle) after(response *http.Response, first bool) time.Duration {
	if response.StatusCode != http.StatusOK {
		return retryAfter(response.Header, time.Now())
	}
	wait := requestedWait(response.Header, time.Now())
	if first {
		return wait
	}
	return max(wait, min(seconds(response.Header.Get(rateLimitDelay)), t.longestSlowdown()))
}

// slowDownAtMost bounds the wait after an answer that was delayed.
func (t *throttle) slowDownAtMost(wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slowdown = wait
}

func (t *throttle) longestSlowdown() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return cmp.Or(t.slowdown, maxSlowdown)
}

// prelude marks a request whose answer is of use only together with that to
// the next one, as the list of pools is before jobs are listed. Its delay does
// not hold the next one back.
type prelude struct{}

// rateLimitDelay is the header that says how long a request was delayed.
const rateLimitDelay = "X-RateLimit-Delay"

// count counts a request that was sent, with how long its answer says that it was
// delayed.
func (t *throttle) count(response *http.Response) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent++
	if response != nil {
		t.delay += seconds(response.Header.Get(rateLimitDelay))
	}
}

// use returns what count has counted.
func (t *throttle) use() (sent int64, delayed time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent, t.delay
}

func (t *throttle) hold(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if until.After(t.until) {
		t.until = until
	}
}

func (t *throttle) heldUntil() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.until
}

// retryAfter returns how long to wait by an answer's headers: Retry-After or
// X-RateLimit-Delay, whichever is longer.
func retryAfter(header http.Header, now time.Time) time.Duration {
	return max(requestedWait(header, now), seconds(header.Get(rateLimitDelay)))
}

// requestedWait returns the wait of Retry-After, in seconds or as a date.
func requestedWait(header http.Header, now time.Time) time.Duration {
	text := header.Get("Retry-After")
	date, err := http.ParseTime(text)
	if err != nil {
		return seconds(text)
	}
	if sent, err := http.ParseTime(header.Get("Date")); err == nil {
		now = sent // both are of one clock, which need not agree with ours
	}
	return min(max(date.Sub(now), 0), maxHold)
}

func seconds(text string) time.Duration {
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(n > 0) { // not a number is not more than 0 either
		return 0
	}
	return time.Duration(min(n, maxHold.Seconds()) * float64(time.Second))
}
