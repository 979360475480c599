package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// reporter answers with a report, changed as a test wants.
func reporter(t *testing.T, change func(*explain.Report)) (address string, asked *string) {
	t.Helper()
	content, err := os.ReadFile("../../scaler/explain/testdata/report.json")
	if err != nil {
		t.Fatal(err)
	}
	var report explain.Report
	if err := json.Unmarshal(content, &report); err != nil {
		t.Fatal(err)
	}
	change(&report)
	asked = new(string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = r.URL.RequestURI()
		_ = json.NewEncoder(w).Encode(report)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), asked
}

// TestExplain compares what people read with golden files.
func TestExplain(t *testing.T) {
	for name, args := range map[string][]string{
		"table": nil,
		"wide":  {"-o", "wide"},
	} {
		address, _ := reporter(t, func(*explain.Report) {})
		var out, log bytes.Buffer
		code := runUntil(t.Context(), append([]string{"explain", "--address", address}, args...), outputs{out: &out, log: &log})
		if code != 3 || log.Len() > 0 {
			t.Errorf("%s: exit code %d, want 3: %s", name, code, &log)
		}
		golden := filepath.Join("testdata", "explain-"+name+".txt")
		if *update {
			writeFile(t, golden, out.String())
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestExplainInexact shows what is known without a view of Kubernetes, and ends with 3 if
// Azure DevOps cannot be read.
func TestExplainInexact(t *testing.T) {
	address, _ := reporter(t, func(r *explain.Report) {
		r.KubernetesInView = false
		r.Organizations[0].Error = "list pools: 401 Unauthorized"
		r.Pools[0].ScaledJobs, r.Pools[0].Decisions = nil, nil
		r.Pools[0].Inexact = &explain.Inexact{Sentence: "the counts are of requests alone", Fix: "set KUBE=on"}
		r.Pools[0].Counted = []explain.Caller{{Namespace: "ado", Name: "build", Count: "owned", Asked: "exact", Value: 4, PolledAt: r.MadeAt}}
	})
	var out, log bytes.Buffer
	if code := runUntil(t.Context(), []string{"explain", "--address", address}, outputs{out: &out, log: &log}); code != 3 {
		t.Errorf("exit code %d: %s", code, &log)
	}
	for _, want := range []string{
		"the scaler does not watch Kubernetes (KUBE): it counts requests alone, and knows nothing of Jobs and agents\n",
		"https://dev.azure.com/contoso cannot be read (for -): list pools: 401 Unauthorized\n",
		"  not exact: the counts are of requests alone\n    fix: set KUBE=on\n",
		"  CALLER      COUNT                    METRIC   POLLED\n  ado/build   owned instead of exact   4        0s\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, &out)
		}
	}
	none, _ := reporter(t, func(r *explain.Report) {
		r.Pools, r.Summary, r.Organizations[0].Error = nil, explain.Summary{}, "list pools: 401 Unauthorized"
	})
	out.Reset()
	if code := runUntil(t.Context(), []string{"explain", "--address", none}, outputs{out: &out, log: &log}); code != 3 || !strings.Contains(out.String(), "401 Unauthorized") {
		t.Errorf("without pools: exit code %d: %s", code, &out)
	}
}

// TestExplainQuery passes on what to show, and ends with 0 if all is well.
func TestExplainQuery(t *testing.T) {
	address, asked := reporter(t, func(r *explain.Report) { r.Summary.Stopped = 0 })
	var out, log bytes.Buffer
	args := []string{"explain", "--address", address, "--pool", "Linux", "--run", "20261125.3", "--request", "7", "--scaledjob", "ado/build", "-o", "json"}
	if code := runUntil(t.Context(), args, outputs{out: &out, log: &log}); code != 0 {
		t.Errorf("exit code %d: %s", code, &log)
	}
	if want := "/status.json?limit=1000&pool=Linux&request=7&run=20261125.3&scaledjob=ado%2Fbuild"; *asked != want {
		t.Errorf("asked for %s, not %s", *asked, want)
	}
	var report explain.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil || report.Pools[0].Name != "Linux" {
		t.Errorf("got %v: %s", err, &out)
	}
}

// TestExplainRefusals has scalers that cannot be asked.
func TestExplainRefusals(t *testing.T) {
	other, _ := reporter(t, func(r *explain.Report) { r.SchemaVersion = 99 })
	off := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(off.Close)
	for address, want := range map[string]string{
		other:                                  "the report has version 99, and this program reads version 1; use the scaler's own program",
		strings.TrimPrefix(off.URL, "http://"): "404 Not Found",
		"127.0.0.1:1":                          "is this the scaler's HTTP_ADDR?",
	} {
		var out, log bytes.Buffer
		if code := runUntil(t.Context(), []string{"explain", "--address", address}, outputs{out: &out, log: &log}); code != 1 || !strings.Contains(log.String(), want) {
			t.Errorf("exit code %d and %q, want 1 and %q", code, &log, want)
		}
	}
}

// TestExplainInPod asks the scaler of the same pod, as kubectl exec does.
func TestExplainInPod(t *testing.T) {
	address, _ := reporter(t, func(r *explain.Report) { r.Summary.Stopped = 0 })
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	t.Setenv("HTTP_ADDR", ":"+port)
	var out, log bytes.Buffer
	if code := runUntil(t.Context(), []string{"explain"}, outputs{out: &out, log: &log}); code != 0 || !strings.Contains(out.String(), "POOL Linux") {
		t.Errorf("exit code %d: %s%s", code, &out, &log)
	}
}

// enough ends a context once so many lines were written.
type enough struct {
	lines  int
	end    context.CancelFunc
	buffer bytes.Buffer
}

func (e *enough) Write(p []byte) (int, error) {
	if e.lines -= bytes.Count(p, []byte("\n")); e.lines <= 0 {
		e.end()
	}
	return e.buffer.Write(p)
}

// TestExplainWatch prints one report a line until it is interrupted, and ends with
// what the last one says.
func TestExplainWatch(t *testing.T) {
	address, _ := reporter(t, func(*explain.Report) {})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, log := &enough{lines: 3, end: cancel}, bytes.Buffer{}
	args := []string{"explain", "--address", address, "-o", "json", "--watch", "--interval", "100ms"}
	if code := runUntil(ctx, args, outputs{out: out, log: &log}); code != 3 || log.Len() > 0 {
		t.Errorf("exit code %d: %s", code, &log)
	}
	if n := strings.Count(out.buffer.String(), "\n"); n != 3 {
		t.Errorf("%d lines", n)
	}
}

// TestExplainWatchSurvives has the scaler fail before, between and after good reports.
// Its output for programs stays one report a line.
func TestExplainWatchSurvives(t *testing.T) {
	good := func(stopped int) string {
		content, err := json.Marshal(explain.Report{SchemaVersion: explain.SchemaVersion, Summary: explain.Summary{Stopped: stopped}})
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	for name, test := range map[string]struct {
		answers []string // one after the other; "" is a failure
		code    int
	}{
		"between":    {[]string{"", good(1), "", "", good(0)}, 0},
		"in the end": {[]string{good(0), good(1), ""}, 3},
		"recovered":  {[]string{good(1), good(0), ""}, 0},
		"always":     {[]string{"", ""}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			answers := test.answers
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if len(answers) == 0 {
					cancel()
					return
				}
				answer := answers[0]
				answers = answers[1:]
				if answer == "" {
					http.Error(w, "restarting", http.StatusServiceUnavailable)
					return
				}
				fmt.Fprint(w, answer)
			}))
			defer server.Close()
			var out, log bytes.Buffer
			args := []string{"explain", "--address", strings.TrimPrefix(server.URL, "http://"), "-o", "json", "--watch", "--interval", "100ms"}
			if code := runUntil(ctx, args, outputs{out: &out, log: &log}); code != test.code {
				t.Errorf("exit code %d, want %d: %s", code, test.code, &log)
			}
			failures := 0
			for _, answer := range test.answers {
				if answer == "" {
					failures++
				}
			}
			if n := strings.Count(log.String(), "503 Service Unavailable: restarting; trying again\n"); n != failures {
				t.Errorf("%d failures shown of %d: %s", n, failures, &log)
			}
			if n := strings.Count(out.String(), "\n"); n != len(test.answers)-failures {
				t.Errorf("%d lines of reports: %s", n, &out)
			}
		})
	}
}

// TestExplainInterrupted does not end as if all jobs were served.
func TestExplainInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer server.Close()
	var out, log bytes.Buffer
	code := runUntil(ctx, []string{"explain", "--address", strings.TrimPrefix(server.URL, "http://")}, outputs{out: &out, log: &log})
	if code != 1 || !strings.Contains(log.String(), "interrupted before the scaler answered") {
		t.Errorf("exit code %d: %s", code, &log)
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		0: "0s", 10 * time.Second: "10s", time.Minute: "1m", 70 * time.Second: "1m10s", 10 * time.Minute: "10m", 150 * time.Second: "2m30s",
		time.Hour: "1h0m", 90 * time.Minute: "1h30m", 70*time.Minute + 20*time.Second: "1h10m", 50 * time.Hour: "50h0m",
	} {
		if got := (&reportTable{now: now}).ago(now.Add(-ago)); got != want {
			t.Errorf("%s: %s, want %s", ago, got, want)
		}
	}
	if got := (&reportTable{now: now}).ago(time.Time{}); got != "-" {
		t.Errorf("unknown: %s", got)
	}
}

// TestExplainForeignAnswer has something else answer, which writes to the terminal.
func TestExplainForeignAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "\x1b]0;title\x07not\nhere", http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	var out, log bytes.Buffer
	address := strings.TrimPrefix(server.URL, "http://")
	code := runUntil(t.Context(), []string{"explain", "--address", address}, outputs{out: &out, log: &log})
	if want := address + ": 418 I'm a teapot: not here\n"; code != 1 || !strings.HasSuffix(log.String(), want) {
		t.Errorf("exit code %d: %q, want %q", code, &log, want)
	}
}
