package adoqueue

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The kinds of failure, for errors.Is. ErrUnavailable and failures of no kind may
// be temporary.
var (
	ErrUnauthorized      = errors.New("the credential was not accepted")
	ErrForbidden         = errors.New("the credential lacks a right")
	ErrPoolNotFound      = errors.New("the pool does not exist or is not visible")
	ErrPoolNotSelfHosted = errors.New("the pool has no self-hosted agents")
	ErrThrottled         = errors.New("throttled by Azure DevOps")
	ErrUnavailable       = errors.New("no answer from Azure DevOps")

	ErrAgentNotFound = errors.New("the agent is not registered")
	ErrAgentExists   = errors.New("an agent of this name is registered already")
	ErrAgentBusy     = errors.New("the agent runs a job")
)

// Error says what was requested of Azure DevOps, what it answered and what to do
// about it.
type Error struct {
	// Operation is what was to be done, e.g. `list job requests of pool "Linux"`.
	Operation string
	// Status is the HTTP status of the answer, 0 if there was none.
	Status int
	// TypeKey is Microsoft's short name of the failure, "" if there is none.
	TypeKey string
	// Message is Microsoft's text, or what was wrong with the answer.
	Message string
	// ActivityID is what Microsoft's support asks for.
	ActivityID string
	// RetryAfter is how long Azure DevOps asks to wait, 0 if it does not say.
	RetryAfter time.Duration
	// Hint says what to do.
	Hint string

	kind   error
	cause  error
	detail string // the text of cause, safe to show
	unsent bool   // nothing was sent, since Azure DevOps asks to wait
}

// Error returns all of it on one line, without secrets.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Operation)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": %d %s", e.Status, http.StatusText(e.Status))
	}
	if e.Message != "" {
		b.WriteString(": " + strings.TrimSuffix(e.Message, "."))
	}
	if e.detail != "" {
		b.WriteString(": " + e.detail)
	}
	if e.ActivityID != "" {
		b.WriteString(" (activity " + e.ActivityID + ")")
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap returns the kind of the failure and its cause.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, err := range []error{e.kind, e.cause} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// NonRetriable keeps azcore from retrying a request that a policy of the
// pipeline refused to send.
func (e *Error) NonRetriable() {}

// definitive reports whether the failure lasts until somebody changes something,
// so that an old snapshot must not hide it.
func definitive(err error) bool {
	return errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrForbidden) ||
		errors.Is(err, ErrPoolNotFound) || errors.Is(err, ErrPoolNotSelfHosted)
}

// unsent reports whether the request was not sent, since Azure DevOps asks to wait.
func unsent(err error) bool {
	failure, ok := errors.AsType[*Error](err)
	return ok && failure.unsent
}

const (
	hintCredential = "check that the token is valid, has not expired and has the scope Agent Pools (Read)"
	hintRight      = "give the identity at least the role Reader on the pool, and its token the scope Agent Pools (Read)"
	hintManage     = "give the identity the role Administrator on the pool, and its token the scope Agent Pools (Read & manage)"
	hintURL        = "check the organization URL"
	hintPool       = "check the pool's name or id (of the organization, not the queue id of a project) and that the identity has the role Reader on it"
	hintRetry      = "retried automatically"
)

// kindOf returns the kind and the hint for an answer that is no success.
func kindOf(status int) (hint string, kind error) {
	switch {
	case status == http.StatusNonAuthoritativeInfo, status == http.StatusUnauthorized:
		return hintCredential, ErrUnauthorized
	case status > 200 && status < 300:
		return "check the proxies on the way to Azure DevOps: they must answer 200", ErrUnavailable
	case status >= 300 && status < 400:
		return hintCredential + "; redirects are not followed, since they would carry it elsewhere", ErrUnauthorized
	case status == http.StatusForbidden:
		return hintRight, ErrForbidden
	case status == http.StatusNotFound:
		return hintURL + " and " + strings.TrimPrefix(hintPool, "check "), ErrPoolNotFound
	case status == http.StatusTooManyRequests:
		return hintRetry, ErrThrottled
	case status == http.StatusRequestTimeout, status >= 500:
		return hintRetry, ErrUnavailable
	default:
		return hintURL, nil
	}
}
