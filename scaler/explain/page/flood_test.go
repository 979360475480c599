package page_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain/page"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/limit"
)

// laborious takes some time for each Report.
type laborious struct {
	report          explain.Report
	takes           time.Duration
	made, now, most atomic.Int32
}

func (l *laborious) Report(context.Context, explain.Filter) explain.Report {
	l.most.Store(max(l.most.Load(), l.now.Add(1)))
	defer l.now.Add(-1)
	time.Sleep(l.takes)
	l.made.Add(1)
	return l.report
}

// TestFlood has readers ask for a different page each time, as fast as they are answered,
// on two pages that share their turns. They take half of the time; a reader of a page
// that was just made gets it without waiting for them.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reporter := &laborious{report: sample(t), takes: 70 * time.Millisecond}
		turns := limit.NewTurns()
		handlers := []*page.Handler{page.New(reporter, page.Options{Turns: turns}), page.New(reporter, page.Options{Turns: turns})}
		ctx, end := context.WithTimeout(t.Context(), 10*time.Second)
		defer end()
		get := func(h http.Handler, query string) {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/"+query, http.NoBody))
		}
		get(handlers[0], "")
		done, err := turns.Take(ctx)
		if err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		get(handlers[0], "")
		if waited := time.Since(before); waited > 0 || reporter.made.Load() != 1 {
			t.Errorf("a page that was just made takes %v and %d reports", waited, reporter.made.Load())
		}
		done()
		var asked atomic.Int32
		var flood sync.WaitGroup
		for i := range 20 {
			flood.Go(func() {
				for ctx.Err() == nil {
					get(handlers[i%2], fmt.Sprintf("?pool=%d", asked.Add(1)))
				}
			})
		}
		flood.Wait()
		if n := reporter.made.Load(); reporter.most.Load() != 1 || n < 65 || n > 73 {
			t.Errorf("%d reports of 70 ms in 10 s, up to %d at a time", n, reporter.most.Load())
		}
	})
}
