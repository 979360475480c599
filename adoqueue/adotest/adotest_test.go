package adotest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// exchange is one request of a test.
type exchange struct {
	method, path, body string
	header             map[string]string
	noAuth             bool
}

// reply is its answer.
type reply struct {
	status int
	header http.Header
	body   string
}

// send asks the stand-in at its organization's URL, over a socket if it listens
// and in process otherwise. It follows no redirects.
func send(t *testing.T, s *Server, x exchange) reply {
	t.Helper()
	url := s.URL() + x.path
	if strings.HasPrefix(x.path, "http:") {
		url = x.path
	}
	method := x.method
	if method == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(x.body))
	if err != nil {
		t.Fatal(err)
	}
	if !x.noAuth {
		r.SetBasicAuth("", "adotest-pat")
	}
	for name, value := range x.header {
		r.Header.Set(name, value)
	}
	transport := s.Transport()
	if s.http != nil {
		network := &http.Transport{DisableKeepAlives: true}
		defer network.CloseIdleConnections()
		transport = network
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, x.path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, x.path, err)
	}
	return reply{resp.StatusCode, resp.Header, string(body)}
}

func get(t *testing.T, s *Server, path string) reply {
	t.Helper()
	return send(t, s, exchange{path: path})
}

// value is a decoded JSON object, as a client that knows no types sees it.
type value map[string]any

func (r reply) object(t *testing.T) value {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("status %d: %s", r.status, r.body)
	}
	var v value
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	return v
}

// list decodes the envelope and checks its count.
func (r reply) list(t *testing.T) []value {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("status %d: %s", r.status, r.body)
	}
	var v struct {
		Count int
		Value []value
	}
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	if v.Count != len(v.Value) || v.Value == nil {
		t.Fatalf("count %d of %d values: %s", v.Count, len(v.Value), r.body)
	}
	return v.Value
}

// wantError checks status and typeKey of an error in JSON.
func (r reply) wantError(t *testing.T, status int, typeKey, text string) {
	t.Helper()
	var body serviceError
	if err := json.Unmarshal([]byte(r.body), &body); err != nil {
		t.Fatalf("status %d, %v: %s", r.status, err, r.body)
	}
	if r.status != status || body.TypeKey != typeKey || !strings.Contains(body.Message, text) {
		t.Errorf("got %d %s %q, want %d %s %q", r.status, body.TypeKey, body.Message, status, typeKey, text)
	}
}

func must1[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const tasks = "/_apis/distributedtask/"
