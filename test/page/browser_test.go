// Package page_test looks at the page in a real browser, Chromium without a window.
package page_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain/page"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds what a test waits for; nothing is measured by it.
const patience = 2 * time.Minute

// browser is the one that all tests share, each in a separate tab with separate cookies.
var browser context.Context

func TestMain(m *testing.M) {
	code, err := withBrowser(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withBrowser(run func() int) (code int, err error) {
	path, err := findBrowser()
	if err != nil {
		return 0, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // root has none, and the pages are our own
		// Whatever else the browser wants to reach, it does not find.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	ctx, end := chromedp.NewContext(allocator)
	defer end()
	browser = ctx //nolint:fatcontext // set once, before the tests
	if err := chromedp.Do(browser); err != nil {
		return 0, fmt.Errorf("start %s: %w", path, err)
	}
	return run(), nil
}

func findBrowser() (string, error) {
	for _, name := range []string{"chromium", "google-chrome", "chromium-browser"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("these tests need a browser; on Debian: apt-get install chromium")
}

// tab is a tab of the browser. Whatever goes wrong in it fails the test: errors on
// the console, exceptions, what the security policy blocks, and requests to others.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string
	// close ends the tab before the test ends.
	close func()

	mu       sync.Mutex
	requests []string
	wrong    []string
	tolerant bool
}

// open returns a tab that shows nothing yet. All that it may reach is at url.
func open(t *testing.T, url string) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	ctx, cancel := context.WithTimeout(ctx, patience)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, url: url, close: closeTab}
	if err := chromedp.Listen(ctx, b.watch); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.judge)
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	b.size(1400, 1000)
	return b
}

// call sends a command of the protocol that chromedp has no action for.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

func (b *tab) size(width, height int64) { b.do(chromedp.EmulateViewport(width, height)) }

// prefer is the color scheme that the person prefers: light or dark.
func (b *tab) prefer(scheme string) {
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
}

func (b *tab) watch(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *runtime.EventExceptionThrown:
		b.wrong = append(b.wrong, fmt.Sprintf("exception: %+v", e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		b.wrong = append(b.wrong, fmt.Sprintf("console: %s %v", e.Type, e.Args))
	case *log.EventEntryAdded:
		b.wrong = append(b.wrong, fmt.Sprintf("log: %s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL))
	}
}

func (b *tab) judge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, wrong := range b.wrong {
		if !b.tolerant {
			b.t.Error(wrong)
		}
	}
	for _, url := range b.requests {
		if !strings.HasPrefix(url, b.url+"/") {
			b.t.Errorf("a request to %s", url)
		}
	}
}

// asked returns how many requests for the page there have been.
func (b *tab) asked() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.requests {
		if url == b.url+"/" {
			n++
		}
	}
	return n
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) load() {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url + "/"))
}

// ask returns the result of an action.
func ask[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	answer, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer
}

// eval returns the value of an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	answer, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return answer
}

// until waits until an expression is true in the page.
func (b *tab) until(expression string) {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(patience))); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

// site serves the page with a Report that can change.
type site struct {
	*httptest.Server

	mu     sync.Mutex
	report explain.Report
}

// Report is what the page shows.
func (s *site) Report(context.Context, explain.Filter) explain.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

func (s *site) set(report explain.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report = report
}

func serve(t *testing.T, report explain.Report) *site {
	t.Helper()
	s := &site{report: report}
	s.Server = httptest.NewServer(fresh{s})
	t.Cleanup(s.Close)
	return s
}

// fresh makes a handler for each request, so that no page comes from a cache.
type fresh struct{ reporter page.Reporter }

func (f fresh) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page.New(f.reporter, page.Options{}).ServeHTTP(w, r)
}
