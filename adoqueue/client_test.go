package adoqueue

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

const secret = "s3cr3t-p4t"

func TestMain(m *testing.M) {
	if url := os.Getenv(manyEnv); url != "" {
		if err := readMany(url); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// server serves over HTTP until the test ends.
func server(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

func newClient(t *testing.T, url string, credential Credential) *Client {
	t.Helper()
	return newMeasuredClient(t, url, credential, nil)
}

func newMeasuredClient(t *testing.T, url string, credential Credential, metrics *Metrics) *Client {
	t.Helper()
	httpClient, err := NewHTTPClient("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(httpClient.CloseIdleConnections)
	client, err := NewClient(parseURL(t, url+"/contoso"), credential, Options{HTTPClient: httpClient, Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestFailures(t *testing.T) {
	type answer struct {
		status int
		body   string
		header []string
	}
	html := []string{"Content-Type", "text/html; charset=utf-8"}
	text := []string{"Content-Type", "text/plain"}
	for _, tt := range []struct {
		name   string
		answer answer
		kind   error
		want   string // part of the error
	}{
		{
			"401 empty",
			answer{401, "", []string{"WWW-Authenticate", "Basic realm=x", "ActivityId", "act-1"}},
			ErrUnauthorized,
			`list job requests of pool "Linux" (id 44): 401 Unauthorized (activity act-1); check that the token is valid`,
		},
		{
			"401 with words",
			answer{401, `{"message":"TF400813: The user 'x' is not authorized to access this resource.","typeKey":"UnauthorizedRequestException"}`, nil},
			ErrUnauthorized, "401 Unauthorized: TF400813: The user 'x' is not authorized to access this resource;",
		},
		{
			"401 expired",
			answer{401, "", []string{"X-TFS-ServiceError", "Access%20Denied%3A%20The%20Personal%20Access%20Token%20used%20has%20expired."}},
			ErrUnauthorized, "401 Unauthorized: Access Denied: The Personal Access Token used has expired;",
		},
		{"203 page", answer{203, "<html>sign in</html>", html}, ErrUnauthorized, "203 Non-Authoritative Information: the answer is a web page"},
		{"302", answer{302, "", []string{"Location", "https://dev.azure.com/_signin"}}, ErrUnauthorized, "302 Found; check that the token is valid"},
		{"200 page", answer{200, "<!DOCTYPE html><html>proxy</html>", html}, ErrUnauthorized, "the answer is a web page"},
		{"200 page as text", answer{200, "\n <html></html>", text}, ErrUnauthorized, "the answer is a web page"},
		{"403", answer{403, `{"message":"Access denied."}`, nil}, ErrForbidden, "403 Forbidden: Access denied; give the identity"},
		{
			"404 pool",
			answer{404, `{"message":"No agent pool found with identifier 44.","typeKey":"TaskAgentPoolNotFoundException"}`, nil},
			ErrPoolNotFound, "404 Not Found: No agent pool found with identifier 44; check the organization URL and the pool's name or id",
		},
		{"404 path", answer{404, "The controller for path '/x' was not found", text}, ErrPoolNotFound, "check the organization URL"},
		{"429", answer{429, `{"message":"TF400733: The request has been canceled"}`, []string{"Retry-After", "17"}}, ErrThrottled, "429 Too Many Requests: TF400733"},
		{"503 with byte order mark", answer{503, "\xef\xbb\xbf" + `{"message":"TF24668: The following team project collection is stopped"}`, nil}, ErrUnavailable, "503 Service Unavailable: TF24668"},
		{"502 page", answer{502, "<html>bad gateway</html>", html}, ErrUnavailable, "502 Bad Gateway; retried automatically"},
		{"504 empty", answer{504, "", nil}, ErrUnavailable, "504 Gateway Timeout"},
		{"400 wrapped", answer{400, `{"count":1,"value":{"Message":"bad query"}}`, nil}, nil, "400 Bad Request: bad query"},
		{"400 bare", answer{400, "Bad Request", text}, nil, "400 Bad Request; check the organization URL"},
		{"200 other JSON", answer{200, `{"message":"odd"}`, nil}, ErrUnavailable, "the answer cannot be read: the answer holds no list"},
		{"200 nothing", answer{200, "", nil}, ErrUnavailable, "the answer cannot be read"},
		{"long words", answer{500, `{"message":"` + strings.Repeat("x", 5000) + `"}`, nil}, ErrUnavailable, "xxx…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := server(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				for i := 0; i < len(tt.answer.header); i += 2 {
					w.Header().Set(tt.answer.header[i], tt.answer.header[i+1])
				}
				w.WriteHeader(tt.answer.status)
				_, _ = io.WriteString(w, tt.answer.body)
			})
			got, err := newClient(t, s.URL, PAT(secret)).JobRequests(once(t.Context()), Pool{ID: 44, Name: "Linux"})
			if err == nil || got != nil {
				t.Fatalf("got %v, %v, want an error alone", got, err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
			if len(err.Error()) > 512+400 || strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of %d bytes: %q", len(err.Error()), err)
			}
			for _, kind := range []error{ErrUnauthorized, ErrForbidden, ErrPoolNotFound, ErrThrottled, ErrUnavailable, ErrPoolNotSelfHosted} {
				if errors.Is(err, kind) != errors.Is(tt.kind, kind) {
					t.Errorf("is %q: %v", kind, errors.Is(err, kind))
				}
			}
		})
	}
}

func TestBrokenConnections(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"cut body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"count":0,"value":[]}`)
		},
		"cut chunk": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"count":0,"value":[]}`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"endless body": func(w http.ResponseWriter, _ *http.Request) {
			space := bytes.Repeat([]byte(" "), 1<<20)
			for range 40 {
				if _, err := w.Write(space); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := server(t, handler)
			got, err := newClient(t, s.URL, PAT(secret)).JobRequests(once(t.Context()), Pool{ID: 44})
			if !errors.Is(err, ErrUnavailable) || got != nil {
				t.Errorf("got %v, %v, want %v", got, err, ErrUnavailable)
			}
			if name == "endless body" && !strings.Contains(err.Error(), "an item of it is longer than 8 MiB") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		_, err := newClient(t, "http://127.0.0.1:1", PAT(secret)).JobRequests(once(t.Context()), Pool{ID: 44})
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "check the organization URL, the network and the proxy settings") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRequests(t *testing.T) {
	var got []string
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.String(), r.Header.Get("Accept"), r.Header.Get("X-TFS-FedAuthRedirect"), r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, `{"count":1,"value":[{"id":44,"name":"My Pool/ü","requestId":1}]}`)
	})
	client := newClient(t, s.URL, PAT(" "+secret+"\r\n"))
	pool, err := client.Pool(t.Context(), PoolRef{Name: "My Pool/ü"})
	if err != nil || pool.ID != 44 {
		t.Fatalf("got %v, %v", pool, err)
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(":"+secret))
	want := []string{"GET /contoso/_apis/distributedtask/pools?poolName=My+Pool%2F%C3%BC", "application/json;api-version=7.1", "Suppress", basic}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = nil
	if _, err := client.JobRequests(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if want := "GET /contoso/_apis/distributedtask/pools/44/jobrequests?completedRequestCount=0"; got[0] != want {
		t.Errorf("got %s, want %s", got[0], want)
	}
}

func TestPool(t *testing.T) {
	for _, tt := range []struct {
		name string
		ref  PoolRef
		body string
		want Pool
		kind error
		text string
	}{
		{"one of the name", PoolRef{Name: "linux"}, `{"count":1,"value":[{"id":3,"name":"Linux","isHosted":false,"options":"none","autoSize":null}]}`, Pool{ID: 3, Name: "Linux"}, nil, ""},
		{"one without a name", PoolRef{Name: "Linux"}, `{"count":1,"value":[{"id":3}]}`, Pool{ID: 3, Name: "Linux"}, nil, ""},
		{"none", PoolRef{Name: "Linux"}, `{"count":0,"value":[]}`, Pool{}, ErrPoolNotFound, `find pool "Linux": the pool does not exist, or the credential may not see it`},
		{"several", PoolRef{Name: "Linux"}, `{"count":2,"value":[{"id":3,"name":"Linux"},{"id":8,"name":"linux"}]}`, Pool{}, ErrPoolNotFound, "ids 3, 8; name one by its id"},
		{"a server that does not filter", PoolRef{Name: "Linux"}, `{"count":2,"value":[{"id":3,"name":"Linux"},{"id":8,"name":"Windows"}]}`, Pool{ID: 3, Name: "Linux"}, nil, ""},
		{"hosted", PoolRef{Name: "Azure Pipelines"}, `{"count":1,"value":[{"id":9,"name":"Azure Pipelines","isHosted":true}]}`, Pool{}, ErrPoolNotSelfHosted, "not self-hosted"},
		{"scale set", PoolRef{Name: "VMSS"}, `{"count":1,"value":[{"id":9,"name":"VMSS","options":"elasticPool, singleUseAgents"}]}`, Pool{}, ErrPoolNotSelfHosted, "scale set"},
		{"scale set by number", PoolRef{Name: "VMSS"}, `{"count":1,"value":[{"id":9,"name":"VMSS","poolType":1,"options":3}]}`, Pool{}, ErrPoolNotSelfHosted, "scale set"},
		{"deployment", PoolRef{Name: "D"}, `{"count":1,"value":[{"id":9,"name":"D","poolType":"deployment","options":null}]}`, Pool{ID: 9, Name: "D"}, nil, ""},
		{"by id", PoolRef{ID: 3}, `{"id":3,"name":"Linux"}`, Pool{ID: 3, Name: "Linux"}, nil, ""},
		{"by id, null", PoolRef{ID: 3}, `null`, Pool{}, ErrPoolNotFound, "find pool 3: the pool does not exist, or the credential may not see it"},
		{"by id, a list", PoolRef{ID: 3}, `{"count":1,"value":[{"id":3}]}`, Pool{}, ErrUnavailable, "the answer is about pool 0"},
		{"by id, cut", PoolRef{ID: 3}, `{"id":`, Pool{}, ErrUnavailable, "cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.body) })
			got, err := newClient(t, s.URL, PAT(secret)).Pool(t.Context(), tt.ref)
			if got != tt.want || !errors.Is(err, tt.kind) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %+v, %v, want %+v, %v (%s)", got, err, tt.want, tt.kind, tt.text)
			}
		})
	}
}

func TestOlderServer(t *testing.T) {
	var accepted []string
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		accepted = append(accepted, r.Header.Get("Accept"))
		if strings.Contains(r.Header.Get("Accept"), "7.1") {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"message":"The requested REST API version of \"7.1\" is out of the valid range for this server.","typeKey":"VssVersionOutOfRangeException"}`)
			return
		}
		_, _ = io.WriteString(w, `{"count":0,"value":[]}`)
	})
	client := newClient(t, s.URL, PAT(secret))
	for range 2 {
		if _, err := client.JobRequests(t.Context(), Pool{ID: 1}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"application/json;api-version=7.1", "application/json", "application/json"}
	if diff := cmp.Diff(want, accepted); diff != "" {
		t.Error(diff)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other := server(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := server(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/contoso/_apis/x", status)
		})
		if _, err := newClient(t, s.URL, PAT(secret)).JobRequests(once(t.Context()), Pool{ID: 1}); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("%d: got %v", status, err)
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went to another host", n)
	}
}

func TestPlainHTTPIsRefused(t *testing.T) {
	for url, want := range map[string]bool{
		"http://ado.example.com/contoso": false, "http://127.0.0.1.example.com/contoso": false, "http://10.0.0.1/contoso": false,
		"https://ado.example.com/contoso": true, "http://127.0.0.1:8080/contoso": true, "http://[::1]:8080/contoso": true, "http://localhost/contoso": true,
	} {
		_, err := NewClient(parseURL(t, url), PAT(secret), Options{})
		if (err == nil) != want || err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", url, err)
		}
		if _, err := NewClient(parseURL(t, url), PAT(secret), Options{AllowHTTP: true}); err != nil {
			t.Errorf("%s, allowed: %v", url, err)
		}
	}
}

// TestSecretIsNotRepeated covers a server that repeats what it was sent.
func TestSecretIsNotRepeated(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(400)
		fmt.Fprintf(w, `{"message":"%s and %s"}`, r.Header.Get("Authorization"), secret)
	})
	_, err := newClient(t, s.URL, PAT(secret)).JobRequests(t.Context(), Pool{ID: 1})
	if err == nil || !strings.Contains(err.Error(), "Basic [secret] and [secret]") {
		t.Errorf("got %v", err)
	}
}

func TestPATFile(t *testing.T) {
	var users []string
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		users = append(users, password)
		_, _ = io.WriteString(w, `{"value":[]}`)
	})
	path := filepath.Join(t.TempDir(), "pat")
	client := newClient(t, s.URL, PATFile(path))
	for _, content := range []string{"first\n", "second"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := client.JobRequests(t.Context(), Pool{ID: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"first", "second"}, users); diff != "" {
		t.Error(diff)
	}
	for _, broken := range []func() error{func() error { return os.WriteFile(path, []byte(" \n"), 0o600) }, func() error { return os.Remove(path) }} {
		if err := broken(); err != nil {
			t.Fatal(err)
		}
		if _, err := client.JobRequests(t.Context(), Pool{ID: 1}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, want %v", err, ErrUnavailable)
		}
	}
	if len(users) != 2 {
		t.Errorf("%d requests, want none without a token", len(users))
	}
}

func TestRetriesUnlessAskedOnce(t *testing.T) {
	var requests atomic.Int32
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			w.WriteHeader(503)
			return
		}
		_, _ = io.WriteString(w, `{"value":[]}`)
	})
	client := newClient(t, s.URL, PAT(secret))
	if _, err := client.JobRequests(once(t.Context()), Pool{ID: 1}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("once: %v", err)
	}
	requests.Store(0)
	if _, err := client.JobRequests(t.Context(), Pool{ID: 1}); err != nil || requests.Load() != 2 {
		t.Errorf("%v after %d requests, want success after 2", err, requests.Load())
	}
}
