package faults

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// inject makes Azure DevOps answer every request so.
func inject(faults ...adotest.Fault) func(context.Context, *Trial) (func(context.Context) error, error) {
	return func(_ context.Context, t *Trial) (func(context.Context) error, error) {
		for _, f := range faults {
			t.Azure.Inject(f)
		}
		return t.clear, nil
	}
}

func (t *Trial) clear(context.Context) error {
	t.Azure.ClearFaults()
	return nil
}

func retryAfter(status int, text string) adotest.Fault {
	f := adotest.Fault{Status: status, Header: http.Header{}}
	if status == http.StatusOK {
		f.Status = 0 // the ordinary answer
	}
	if text != "" {
		f.Header.Set("Retry-After", text)
	}
	return f
}

// hugeHold is the longest that the scaler waits, whatever Azure DevOps asks for.
const hugeHold = 5 * time.Minute

// throttled are all forms of Retry-After.
func throttled() []Fault {
	delayed := adotest.Fault{Header: http.Header{"X-Ratelimit-Delay": {"3"}}}
	return []Fault{
		{Name: "429 with Retry-After: 3", Begin: inject(retryAfter(429, "3")), Hold: 3 * time.Second},
		{Name: "429 with Retry-After as a date", Begin: untilDate(0), Hold: dateHold},
		{Name: "429 with Retry-After as a date, Azure DevOps' clock 10 min ahead", Begin: untilDate(10 * time.Minute), Hold: dateHold},
		{Name: "429 with Retry-After as a date, Azure DevOps' clock 10 min behind", Begin: untilDate(-10 * time.Minute), Hold: dateHold},
		{Name: "429 without Retry-After", Begin: inject(retryAfter(429, ""))},
		{Name: "429 with Retry-After: soon", Begin: inject(retryAfter(429, "soon"))},
		{Name: "429 with Retry-After: -1", Begin: inject(retryAfter(429, "-1"))},
		{Name: "429 with Retry-After: NaN", Begin: inject(retryAfter(429, "NaN"))},
		{Name: "429 with Retry-After: 1e300, as 5 min", Begin: inject(retryAfter(429, "1e300")), Hold: hugeHold, Long: true},
		{Name: "429 with Retry-After: 99999999999, as 5 min", Begin: inject(retryAfter(429, "99999999999")), Hold: hugeHold, Long: true},
		{Name: "429 with Retry-After in the year 2999, as 5 min", Begin: inject(retryAfter(429, "Tue, 31 Dec 2999 23:59:59 GMT")), Hold: hugeHold, Long: true},
		{Name: "200 with Retry-After: 3", Begin: inject(retryAfter(200, "3")), Hold: 3 * time.Second, Lists: true},
		{Name: "200 with X-RateLimit-Delay: 3", Begin: inject(delayed), Hold: 3 * time.Second, Lists: true},
		{Name: "503 with Retry-After: 3", Begin: inject(retryAfter(503, "3")), Hold: 3 * time.Second},
	}
}

const (
	// dateAhead is how far in the future a Retry-After of the form of a date is, and
	// dateHold the least that is left of it: dates have whole seconds.
	dateAhead = 4 * time.Second
	dateHold  = dateAhead - time.Second
)

// untilDate names the time of the next request by Azure DevOps' clock. It is another
// one each second.
func untilDate(ahead time.Duration) func(context.Context, *Trial) (func(context.Context) error, error) {
	return func(ctx context.Context, t *Trial) (func(context.Context) error, error) {
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		t.Azure.SetClock(ahead)
		set := func() {
			date := time.Now().Add(ahead + dateAhead).UTC().Format(http.TimeFormat)
			t.Azure.ClearFaults()
			t.Azure.Inject(retryAfter(429, date))
		}
		set()
		go func() {
			defer close(done)
			for cluster.Sleep(ctx, time.Second) == nil {
				set()
			}
		}()
		return func(ctx context.Context) error {
			cancel()
			<-done
			return t.clear(ctx)
		}, nil
	}
}

var signInPage = []byte("<!DOCTYPE html>\n<html><title>Sign In</title></html>")

// broken are answers that are none.
func broken() []Fault {
	page := func(status int, header http.Header) adotest.Fault {
		return adotest.Fault{Status: status, Header: header, ContentType: "text/html; charset=utf-8", Body: signInPage}
	}
	list := []byte(`{"count":1,"value":[{}]}`)
	return []Fault{
		{Name: "503", Begin: inject(adotest.Fault{Status: 503, Body: []byte("\xef\xbb\xbf{}")})},
		{Name: "203 with a sign-in page", Begin: inject(page(203, nil))},
		{Name: "302 to the sign-in page", Begin: inject(page(302, http.Header{"Location": {"/_signin"}}))},
		{Name: "200 with a sign-in page", Begin: inject(page(200, nil))},
		{Name: "200 with an empty body", Begin: inject(adotest.Fault{Status: 200, Body: []byte{}})},
		{Name: "200 with a list of `{}`", Begin: inject(adotest.Fault{Status: 200, ContentType: "application/json", Body: list})},
		{Name: "206 with an empty list", Begin: inject(adotest.Fault{Status: 206, ContentType: "application/json", Body: []byte(`{"count":0,"value":[]}`)})},
		{Name: "answers are cut after 100 bytes", Begin: inject(adotest.Fault{CutAfter: 100})},
		// Two lists are 4 s apart then: one is requested at KEDA's next poll after the last.
		{Name: "answers take 3 s", Begin: inject(adotest.Fault{Delay: 3 * time.Second}), JobTime: 6 * time.Second},
		// The last request before the repair is given up after REQUEST_TIMEOUT.
		{Name: "answers never come", Begin: inject(adotest.Fault{Delay: time.Hour}), Hold: 10 * time.Second},
		{Name: "connections are reset", Begin: inject(adotest.Fault{Reset: true})},
		{Name: "GOAWAY on each connection", Setup: func(s *Setup) { s.Front = goAwayFront }, Begin: breakFront},
		{Name: "gzip bombs of ten statuses", Begin: gzipBombs},
		{Name: "the name cannot be resolved", Setup: func(s *Setup) { s.Front = resolverFront }, Begin: breakFront, Root: true},
		{Name: "the clock jumps 10 min ahead", Begin: skew(10 * time.Minute), Lists: true},
		{Name: "the clock jumps 10 min back", Begin: skew(-10 * time.Minute), Lists: true},
	}
}

func breakFront(_ context.Context, t *Trial) (func(context.Context) error, error) {
	t.front.Break()
	return func(context.Context) error {
		t.front.Mend()
		return nil
	}, nil
}

// skew changes Azure DevOps' clock.
func skew(ahead time.Duration) func(context.Context, *Trial) (func(context.Context) error, error) {
	return func(_ context.Context, t *Trial) (func(context.Context) error, error) {
		t.Azure.SetClock(ahead)
		return func(context.Context) error {
			t.Azure.SetClock(0)
			return nil
		}, nil
	}
}

// bombStatuses are answered with bombs, in turn.
var bombStatuses = []int{200, 429, 503, 500, 206, 400, 401, 403, 404, 407}

// gzipBombs answers with a MiB that unpacks to a GiB.
func gzipBombs(_ context.Context, t *Trial) (func(context.Context) error, error) {
	var member bytes.Buffer
	zip := gzip.NewWriter(&member)
	if _, err := zip.Write(bytes.Repeat([]byte(" "), 1<<20)); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	bomb := bytes.Repeat(member.Bytes(), 1<<10) // gzip files one after the other are one
	for i := range 200 {
		t.Azure.Inject(adotest.Fault{
			Times: 1, Status: bombStatuses[i%len(bombStatuses)], Body: bomb, ContentType: "application/json",
			Header: http.Header{"Content-Encoding": {"gzip"}},
		})
	}
	return t.clear, nil
}

// credentials are about the scaler's token.
func credentials() []Fault {
	return []Fault{
		{Name: "the token is revoked, and another one comes", Begin: func(_ context.Context, t *Trial) (func(context.Context) error, error) {
			t.Azure.RevokePAT(cluster.ScalerPAT)
			return func(context.Context) error {
				const next = cluster.ScalerPAT + "-2"
				t.Azure.AllowPAT(next, adotest.ScopeRead)
				return t.WritePAT(next)
			}, nil
		}},
		{Name: "the token expires and is renewed", Begin: func(_ context.Context, t *Trial) (func(context.Context) error, error) {
			t.Azure.ExpirePAT(cluster.ScalerPAT)
			return func(context.Context) error {
				t.Azure.AllowPAT(cluster.ScalerPAT, adotest.ScopeRead)
				return nil
			}, nil
		}},
		{Name: "the token's file is empty", Begin: func(_ context.Context, t *Trial) (func(context.Context) error, error) {
			return func(context.Context) error { return t.WritePAT(cluster.ScalerPAT) }, t.WritePAT("")
		}},
		{Name: "401 without a body", Begin: inject(adotest.Fault{Status: 401})},
		{Name: "403", Begin: inject(adotest.Fault{Status: 403, Body: fmt.Appendf(nil, `{"message":"no"}`), ContentType: "application/json"})},
		{Name: "404", Begin: inject(adotest.Fault{Status: 404, Body: fmt.Appendf(nil, `{"message":"no"}`), ContentType: "application/json"})},
	}
}
