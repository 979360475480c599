package page_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"golang.org/x/sys/unix"
)

// loadsWithin is how long a page may take, from the request to when it can be used.
const loadsWithin = 200 * time.Millisecond

// attempts are as many as it may take on a busy machine to find a quiet moment.
const attempts = 10

// TestLoadsQuickly has a thousand ScaledJobs and five thousand requests. Where other
// work keeps the machine so busy that no load is quick by the clock, what counts is the
// processor time of both sides.
func TestLoadsQuickly(t *testing.T) {
	handler := fresh{&site{report: reportOf(1000, 5000)}}
	var rendering atomic.Int64 // nanoseconds of processor time
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		spent := onProcessor(func() { handler.ServeHTTP(w, r) })
		rendering.Add(int64(spent))
	}))
	t.Cleanup(server.Close)
	byClock, byProcessor := time.Hour, time.Hour
	for attempt := range attempts {
		b := open(t, server.URL)
		call(b, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks})
		rendering.Store(0)
		before := tasks(b)
		b.load()
		b.until(`performance.getEntriesByType("navigation")[0].loadEventEnd > 0`)
		spent := tasks(b) - before
		byProcessor = min(byProcessor, spent+time.Duration(rendering.Load()))
		milliseconds := eval[float64](b, `performance.getEntriesByType("navigation")[0].loadEventEnd`)
		byClock = min(byClock, time.Duration(milliseconds*float64(time.Millisecond)))
		t.Logf("%.0f ms by the clock; processor time %v in the server, %v in the browser", milliseconds, time.Duration(rendering.Load()), spent)
		b.close()
		if byClock < loadsWithin || attempt >= 2 && byProcessor < loadsWithin {
			break
		}
	}
	if byClock >= loadsWithin && byProcessor >= loadsWithin {
		t.Errorf("the page takes longer than %v", loadsWithin)
	}
}

// tasks is the processor time that the tab's main thread has spent.
func tasks(b *tab) time.Duration {
	b.t.Helper()
	for _, metric := range call(b, performance.GetMetrics, cdp.Empty{}).Metrics {
		if metric.Name == "TaskDuration" {
			return time.Duration(metric.Value * float64(time.Second))
		}
	}
	b.t.Fatal("the browser does not measure its tasks")
	return 0
}

// onProcessor is the processor time of the goroutine's thread.
func onProcessor(work func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := threadTime()
	work()
	return threadTime() - begin
}

func threadTime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
