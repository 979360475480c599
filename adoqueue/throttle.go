package adoqueue

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// maxHold bounds how long an answer may keep us from asking again. Azure
// DevOps counts usage over five minutes.
const maxHold = 5 * time.Minute

// throttle is the link of the pipeline that keeps quiet for as long as Azure
// DevOps asked, which it may do in any answer, successful ones included. It
// counts use by identity, so the wait holds for all pools of a client.
type throttle struct {
	mu    sync.Mutex
	until time.Time
}

// Do sends the request, or refuses it with ErrThrottled while it is too early.
func (t *throttle) Do(request *policy.Request) (*http.Response, error) {
	if wait := time.Until(t.heldUntil()); wait > 0 {
		return nil, &Error{
			Message: "Azure DevOps asked to wait " + wait.Round(time.Millisecond).String() + " more",
			Hint:    hintRetry, RetryAfter: wait, kind: ErrThrottled,
		}
	}
	response, err := request.Next()
	if err != nil {
		return nil, err
	}
	header := response.Header
	var first prelude
	if request.OperationValue(&first) && response.StatusCode == http.StatusOK {
		header = header.Clone()
		header.Del(rateLimitDelay)
	}
	if wait := retryAfter(header, time.Now()); wait > 0 {
		t.hold(time.Now().Add(wait))
	}
	return response, nil
}

// prelude marks a request whose answer is of use only together with that to
// the next one, as the look-up of a pool is before its jobs are listed. That
// it was delayed does not hold back the other half of the question.
type prelude struct{}

// rateLimitDelay is the header that tells how long a request was delayed.
const rateLimitDelay = "X-RateLimit-Delay"

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

// retryAfter is how long to wait by an answer's headers: Retry-After (seconds
// or a date) or X-RateLimit-Delay (seconds), whichever is longer.
func retryAfter(header http.Header, now time.Time) time.Duration {
	wait := max(seconds(header.Get("Retry-After")), seconds(header.Get(rateLimitDelay)))
	if date, err := http.ParseTime(header.Get("Retry-After")); err == nil {
		wait = max(wait, date.Sub(now))
	}
	return min(wait, maxHold)
}

func seconds(text string) time.Duration {
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(n > 0) { // not a number is not more than 0 either
		return 0
	}
	return time.Duration(min(n, maxHold.Seconds()) * float64(time.Second))
}
