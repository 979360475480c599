package adotest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestFaults(t *testing.T) {
	ado := Serve(t, Options{})
	ado.AddPool(Pool{Name: "one"})
	ado.AddPool(Pool{Name: "two"})
	status := func(path string) int { return get(t, ado, tasks+path).status }

	ado.Inject(Fault{
		Operation: OpJobRequests, PoolID: 1, Times: 2, Status: 429,
		Header: http.Header{"Retry-After": {"3"}}, Body: []byte("<html>slow down</html>"), ContentType: "text/html",
	})
	r := get(t, ado, tasks+"pools/1/jobrequests")
	if r.status != 429 || r.header.Get("Retry-After") != "3" || r.body != "<html>slow down</html>" || r.header.Get("Content-Type") != "text/html" {
		t.Errorf("got %+v", r)
	}
	if status("pools") != 200 || status("pools/2/jobrequests") != 200 || status("pools/1/jobrequests") != 429 || status("pools/1/jobrequests") != 200 {
		t.Error("the fault hits other requests, or another number of them")
	}

	ado.Inject(Fault{Method: http.MethodGet, Header: http.Header{"retry-after": {"5"}, "X-RateLimit-Delay": {"0.25"}}})
	if r := get(t, ado, tasks+"pools"); r.header.Get("Retry-After") != "5" || len(r.list(t)) != 2 {
		t.Errorf("got %+v", r)
	}
	ado.ClearFaults()
	ado.Inject(Fault{Times: 1, Body: []byte("{}"), ContentType: "application/json"})
	if r := get(t, ado, tasks+"pools"); r.status != 200 || r.body != "{}" {
		t.Errorf("got %+v", r)
	}
	if r := get(t, ado, tasks+"pools"); r.header.Get("Retry-After") != "" {
		t.Errorf("got %+v", r)
	}
}

func TestClock(t *testing.T) {
	ado := Serve(t, Options{AllowUnmatched: true})
	ado.AddPool(Pool{Name: "one"})
	id, err := ado.Queue("one", Job{})
	check(t, err)
	for _, ahead := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		ado.SetClock(ahead)
		r := get(t, ado, tasks+"pools/1/jobrequests")
		sent, err := http.ParseTime(r.header.Get("Date"))
		check(t, err)
		state, _ := ado.Request(id)
		queued := state.QueueTime.Add(ahead).UTC().Format("2006-01-02T15:04:05")
		if away := time.Until(sent) - ahead; away.Abs() > time.Minute || !strings.Contains(r.body, queued) {
			t.Errorf("%v ahead: Date is %v away, and the body is %s", ahead, time.Until(sent), r.body)
		}
	}
}

// TestBigAnswers sends a body of which the client's library unpacks 20 MB, and
// one that takes its time.
func TestBigAnswers(t *testing.T) {
	for _, ado := range []*Server{Serve(t, Options{}), New(Options{})} {
		ado.Inject(Fault{Times: 1, Status: 503, Body: bytes.Repeat([]byte("a"), 1<<10), Repeat: 20_000, Gzip: true, ContentType: "text/plain"})
		r := send(t, ado, exchange{path: tasks + "pools", header: map[string]string{"Accept-Encoding": "gzip"}})
		unpacked, err := gzip.NewReader(strings.NewReader(r.body))
		check(t, err)
		n, err := io.Copy(io.Discard, unpacked)
		if err != nil || r.status != 503 || n != 20_000<<10 || len(r.body) > 100<<10 || r.header.Get("Content-Type") != "text/plain" {
			t.Errorf("got %d bytes of %d, %v", n, len(r.body), err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ado := New(Options{})
		ado.Inject(Fault{Times: 2, Body: make([]byte, 10<<10), Pace: time.Second})
		start := time.Now()
		if r := get(t, ado, tasks+"pools"); len(r.body) != 10<<10 || time.Since(start) != 10*time.Second {
			t.Errorf("got %d bytes after %v", len(r.body), time.Since(start))
		}
	})
}

// Broken connections look the same to a client over a socket and in process.
func TestBrokenConnections(t *testing.T) {
	for _, inside := range []bool{false, true} {
		ado := Serve(t, Options{})
		var transport http.RoundTripper = &http.Transport{DisableKeepAlives: true}
		if inside {
			transport = ado.Transport()
		}
		ask := func() (*http.Response, error) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, ado.URL()+tasks+"pools", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Method = http.MethodGet
			r.SetBasicAuth("", "adotest-pat")
			return transport.RoundTrip(r)
		}

		ado.Inject(Fault{Times: 1, Reset: true})
		if resp, err := ask(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("in process %v: got %v, %v", inside, resp, err)
		}
		ado.Inject(Fault{Times: 1, CutAfter: 5})
		resp, err := ask()
		check(t, err)
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != `{"cou` || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("in process %v: got %q, %v", inside, body, err)
		}
		resp, err = ask()
		check(t, err)
		body, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.HasSuffix(string(body), "}") {
			t.Errorf("in process %v: got %q, %v", inside, body, err)
		}
	}
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ado := New(Options{})
		ado.Inject(Fault{Times: 2, Delay: time.Minute})
		start := time.Now()
		if r := get(t, ado, tasks+"pools"); r.status != 200 || time.Since(start) != time.Minute {
			t.Errorf("got %d after %v", r.status, time.Since(start))
		}
		client := http.Client{Transport: ado.Transport(), Timeout: time.Second}
		start = time.Now()
		if resp, err := client.Get(ado.URL()); err == nil || time.Since(start) != time.Second {
			t.Errorf("got %v, %v after %v", resp, err, time.Since(start))
		}
	})
}
