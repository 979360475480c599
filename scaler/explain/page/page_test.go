package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain/page"
)

// reporter answers with one Report, and remembers what it was asked.
type reporter struct {
	report explain.Report
	asked  []explain.Filter
}

func (r *reporter) Report(_ context.Context, filter explain.Filter) explain.Report {
	r.asked = append(r.asked, filter)
	return r.report
}

// sample is the Report that has each kind of content.
func sample(t *testing.T) explain.Report {
	t.Helper()
	content, err := os.ReadFile("../testdata/report.json")
	if err != nil {
		t.Fatal(err)
	}
	var report explain.Report
	if err := json.Unmarshal(content, &report); err != nil {
		t.Fatal(err)
	}
	return report
}

// open returns the page that shows a report.
func open(t *testing.T, report explain.Report, path string) (*http.Response, string) {
	t.Helper()
	return get(t, page.New(&reporter{report: report}, page.Options{}), path)
}

func get(t *testing.T, handler http.Handler, path string) (*http.Response, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	answer := recorder.Result()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// has reports each of the texts that a page lacks.
func has(t *testing.T, body string, texts ...string) {
	t.Helper()
	body = strings.Join(strings.Fields(body), " ")
	for _, text := range texts {
		if !strings.Contains(body, text) {
			t.Errorf("the page lacks %s", text)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
}

func TestAnswersWhoseFaultItIs(t *testing.T) {
	_, body := open(t, sample(t), "/")
	has(t, body,
		`Look at <strong>ScaledJobs</strong>`,
		`<h1 id="headline" aria-live="polite"><bdi>no ScaledJob of pool &#34;Linux&#34; meets the demand gpu; the nearest is ado/build, which lacks it</bdi>`,
		`add gpu to the capabilities of a ScaledJob`,
		`<title>ScaledJobs: counted – ado-agent-orchestrator</title>`,
		`<span class="step">✗ counted</span> <span class="jobs">first broken link, 1 stopped</span>`,
		`<span class="step">✗ pod started</span> <span class="jobs">broken, 1 stopped</span>`,
		`<strong>Kubernetes, pod started:</strong> <bdi>pod build-bcdfg-22222 cannot pull its image`,
	)
}

func TestShowsEachPart(t *testing.T) {
	_, body := open(t, sample(t), "/")
	has(t, body,
		`Pool <bdi>Linux</bdi>`, `2 queued, 0 assigned, 1 running`,
		`<bdi>ado/build</bdi> <small><bdi>docker</bdi></small>`, `<td>paused <small>exact</small></td>`,
		`<a href="https://dev.azure.com/contoso/22222222-2222-4222-8222-222222222222/_build/results?buildId=503">`,
		`<li class="done"><span class="mark" aria-hidden="true">✓</span> queued <time datetime="2026-11-25T12:00:01Z" title="29 s ago">12:00:01</time></li>`,
		`<li class="broken"><span class="mark" aria-hidden="true">✗</span> counted <span class="status">broken</span></li>`,
		`on build-hjklm-44444, waited 10 s`,
		`2 more jobs`,
		`ado/build: metric 0, 0 missing, 1 queued; Jobs 1 waiting, 1 busy, 0 draining`, `and 3 times again`,
		`<td>pat</td>`, `2026-12-25`, `<td>12</td><td>1.5 s</td>`, `nothing is sent until <time datetime="2026-11-25T12:00:40Z"`,
		`1 job got an agent in the last 60 s: half waited up to 10 s`,
		`decision 1 s`, `Demand and supply`, `<a href="status.json">`,
	)
}

func TestSaysThatAllIsWell(t *testing.T) {
	for _, test := range []struct {
		name   string
		report explain.Report
		want   string
	}{
		{"no pool", explain.Report{}, "No pool is known yet"},
		{"nothing to do", explain.Report{Pools: []explain.Pool{{Name: "Linux"}}}, "Nothing is broken: no job is waiting."},
		{"all served", explain.Report{Pools: []explain.Pool{{}}, Summary: explain.Summary{Served: 2}}, "Nothing is broken: each queued job has its agent."},
		{"one on its way", explain.Report{Pools: []explain.Pool{{}}, Summary: explain.Summary{Coming: 1}}, "Nothing is broken: 1 agent on the way."},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, body := open(t, test.report, "/")
			has(t, body, test.want, `class="answer good"`, "all is well")
			if strings.Contains(body, "Look at") {
				t.Error("somebody is to blame")
			}
		})
	}
}

// TestFirstBrokenLink has several pools broken at different links.
func TestFirstBrokenLink(t *testing.T) {
	report := sample(t)
	report.Pools = append(report.Pools, explain.Pool{
		Name: "Windows", Organization: "https://dev.azure.com/contoso", ID: 13,
		Broken: &explain.Broken{Step: explain.StepQueued, Code: explain.CodeThrottled, Sentence: "Azure DevOps throttles", Fix: "wait", Since: report.MadeAt},
	})
	_, body := open(t, report, "/")
	has(t, body, "Look at <strong>Azure DevOps</strong>", "<bdi>Azure DevOps throttles</bdi></h1>",
		`<span class="step">✗ counted</span> <span class="jobs">broken, 1 stopped</span>`)
}

// TestScaledJobWithoutPool has nothing broken but a ScaledJob whose pool is unknown.
func TestScaledJobWithoutPool(t *testing.T) {
	broken := &explain.Broken{Step: explain.StepCounted, Code: explain.CodeInvalid, Sentence: "the metadata has mistakes", Fix: "change it"}
	report := explain.Report{Unpooled: []explain.ScaledJob{{Name: "one", Broken: broken}, {Name: "two", Broken: broken}}}
	_, body := open(t, report, "/")
	has(t, body, "Look at <strong>ScaledJobs</strong>", "<bdi>the metadata has mistakes</bdi></h1>", `<a href="#unpooled-title">its pool is not known</a>`)
}

// TestKubernetesIsToBlame has the view of Kubernetes out of date.
func TestKubernetesIsToBlame(t *testing.T) {
	report := explain.Report{Pools: []explain.Pool{{
		Broken: &explain.Broken{Step: explain.StepCounted, Code: explain.CodeKubernetes, Sentence: "nothing is decided", Fix: "check it"},
	}}}
	_, body := open(t, report, "/")
	has(t, body, "Look at <strong>Kubernetes</strong>")
}

// TestPoolsThatWereNeverRead appear separately, as the page is when the scaler
// starts.
func TestPoolsThatWereNeverRead(t *testing.T) {
	_, body := open(t, explain.Report{Pools: []explain.Pool{{Name: "Linux"}, {Name: "Windows"}, {ID: 7}}}, "/")
	ids := map[string]bool{}
	for _, part := range strings.Split(body, ` id="`)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		if ids[id] {
			t.Errorf("two elements have the id %s", id)
		}
		ids[id] = true
	}
	has(t, body, "Pool <bdi>Windows</bdi>", "Pool <bdi>7</bdi>")
}

func TestForeignTextIsText(t *testing.T) {
	const hostile = "<script>alert(1)</script>\"'&\x1b[31m\u202egnp.exe\u2066\x00\u0085"
	report := sample(t)
	pool := &report.Pools[0]
	pool.Name, pool.AzureDevOps.Error, pool.Organization = hostile, hostile, hostile
	pool.ScaledJobs[0].Name, pool.ScaledJobs[0].Capabilities, pool.ScaledJobs[0].Warnings = hostile, hostile, []string{hostile}
	request := &pool.Requests[0]
	request.Pipeline, request.Run, request.Demands, request.URL = hostile, hostile, []string{hostile}, "javascript:alert(1)"
	request.Broken.Sentence, request.Broken.Fix = hostile, hostile
	_, body := open(t, report, "/?pool=%3Cscript%3E%22")
	has(t, body, "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;[31mgnp.exe")
	for _, unwanted := range []string{"<script>", "javascript:", "\x1b", "\u202e", "\u2066", "\x00", "\u0085"} {
		if strings.Contains(body, unwanted) {
			t.Errorf("the page contains %q", unwanted)
		}
	}
}

func TestFilter(t *testing.T) {
	r := &reporter{report: sample(t)}
	handler := page.New(r, page.Options{})
	answer, body := get(t, handler, "/?pool=Linux&run=20261125.3&scaledjob=ado/build&request=7")
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", answer.StatusCode, body)
	}
	got := r.asked[0]
	if got.Pool != "Linux" || got.Run != "20261125.3" || got.ScaledJob != "ado/build" || got.Request != 7 {
		t.Errorf("asked for %+v", got)
	}
	has(t, body, `name="pool" value="Linux"`, `name="run" value="20261125.3"`, "Show everything")
	if answer, body := get(t, handler, "/?request=seven"); answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, `not "seven"`) {
		t.Errorf("a request that is no number: status %d, %s", answer.StatusCode, body)
	}
}

// TestBounds has far more of everything than a page may show.
func TestBounds(t *testing.T) {
	report := sample(t)
	pool := &report.Pools[0]
	for i := range 1000 {
		scaledJob := pool.ScaledJobs[1]
		scaledJob.Name = fmt.Sprintf("sj-%d", i)
		pool.ScaledJobs = append(pool.ScaledJobs, scaledJob)
	}
	finished := pool.Requests[3]
	for i := range 5000 {
		finished.ID = int64(i + 100)
		pool.Requests = append(pool.Requests, finished)
	}
	_, whole := open(t, report, "/")
	has(t, whole, "952 more ScaledJobs", "4956 more jobs", "ado/build", "20261125.3")
	if len(whole) > 400_000 {
		t.Errorf("the page has %d bytes", len(whole))
	}
	_, one := open(t, report, "/?pool=Linux")
	has(t, one, "502 more ScaledJobs", "4506 more jobs")
}

// TestManyViewersCostOne also has a viewer with another question.
func TestManyViewersCostOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reporter{report: sample(t)}
		handler := page.New(r, page.Options{})
		for range 5 {
			get(t, handler, "/")
		}
		if len(r.asked) != 1 {
			t.Errorf("%d reports for viewers of one second", len(r.asked))
		}
		get(t, handler, "/?pool=Linux")
		time.Sleep(2 * time.Second)
		get(t, handler, "/?pool=Linux")
		if len(r.asked) != 3 {
			t.Errorf("%d reports in all, want 3", len(r.asked))
		}
	})
}

// impatient remembers whether a Report was made for somebody who had left.
type impatient struct {
	reporter

	leave context.CancelFunc
	err   error
}

func (r *impatient) Report(ctx context.Context, filter explain.Filter) explain.Report {
	r.leave()
	r.err = ctx.Err()
	return r.reporter.Report(ctx, filter)
}

// TestViewerLeaves has a viewer leave while the page is made that others get, too.
func TestViewerLeaves(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	r := &impatient{reporter: reporter{report: sample(t)}, leave: leave}
	page.New(r, page.Options{}).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody))
	if r.err != nil || len(r.asked) != 1 {
		t.Errorf("%d reports, the last was given up: %v", len(r.asked), r.err)
	}
}

func TestHeaders(t *testing.T) {
	handler := page.New(&reporter{report: sample(t)}, page.Options{})
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8", "/icon.svg": "image/svg+xml",
	} {
		answer, body := get(t, handler, path)
		if got := answer.Header.Get("Content-Type"); got != kind || answer.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d, content type %q", path, answer.StatusCode, got)
		}
		policy := answer.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if path == "/" {
			continue
		}
		again := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		again.Header.Set("If-None-Match", answer.Header.Get("ETag"))
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, again)
		if recorder.Code != http.StatusNotModified || body == "" {
			t.Errorf("%s with its ETag: status %d", path, recorder.Code)
		}
	}
	for _, path := range []string{"/nope", "/page.html", "/page.go"} {
		if answer, _ := get(t, handler, path); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", path, answer.StatusCode)
		}
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/", http.NoBody))
	if recorder.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", recorder.Code)
	}
}

func TestComparison(t *testing.T) {
	handler := page.New(&reporter{report: sample(t)}, page.Options{Compare: func() []page.Contender {
		return []page.Contender{
			{Name: "This scaler", Pool: "linux", Done: 30, Jobs: 30, Waits: []time.Duration{4 * time.Second, 2 * time.Second}},
			{Name: "Another", Pool: "other", Done: 30, Jobs: 36, Surplus: 6},
		}
	}})
	_, body := get(t, handler, "/")
	has(t, body, `<div class="won"><dt>Surplus</dt><dd>0</dd></div> <div><dt>Mean wait</dt><dd>3 s</dd></div> <div><dt>95 % wait up to</dt><dd>4 s</dd></div>`,
		`<div class="lost"><dt>Surplus</dt><dd>6</dd></div> <div><dt>Mean wait</dt><dd>–</dd></div>`)
}
