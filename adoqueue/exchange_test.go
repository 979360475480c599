package adoqueue

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// goAway speaks HTTP/2 and ends the connection at each stream, as a server that
// is about to go does.
func goAway(connections *atomic.Int32) func(*http.Server, *tls.Conn, http.Handler) {
	return func(_ *http.Server, conn *tls.Conn, _ http.Handler) {
		connections.Add(1)
		defer conn.Close()
		frame := func(kind byte, payload ...byte) {
			header := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
			_, _ = conn.Write(append(append(header, 0, 0, 0, 0, 0), payload...))
		}
		const settings, headers, goaway = 4, 1, 7
		frame(settings)
		if _, err := io.ReadFull(conn, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
			return
		}
		for {
			head := make([]byte, 9)
			if _, err := io.ReadFull(conn, head); err != nil {
				return
			}
			length := int64(binary.BigEndian.Uint32(append([]byte{0}, head[:3]...)))
			if _, err := io.CopyN(io.Discard, conn, length); err != nil {
				return
			}
			if head[3] == headers {
				frame(goaway, 0, 0, 0, 0, 0, 0, 0, 0) // no stream was looked at, no error
				return
			}
		}
	}
}

// TestServerThatSaysGoAway counts what the HTTP library does for one request.
func TestServerThatSaysGoAway(t *testing.T) {
	var connections atomic.Int32
	s := httptest.NewUnstartedServer(nil)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = nil
	s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){"h2": goAway(&connections)}
	s.StartTLS()
	defer s.Close()

	transport := s.Client().Transport.(*http.Transport)
	metrics := NewMetrics(prometheus.NewPedanticRegistry())
	client, err := NewClient(parseURL(t, s.URL+"/contoso"), PAT(secret), Options{HTTPClient: &http.Client{Transport: transport}, Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	start := time.Now()
	if _, err = client.JobRequests(once(ctx), Pool{ID: 1}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	counted := testutil.ToFloat64(metrics.requests.WithLabelValues(client.organization.String(), "jobrequests", "0"))
	t.Logf("%d connections in %v, %v counted: %v", connections.Load(), time.Since(start), counted, err)
	// The last connection may not be served yet.
	if n := connections.Load(); n < 2 || n > maxTries || counted != maxTries {
		t.Errorf("%d connections and %v counted requests, want %d", n, counted, maxTries)
	}
	transport.CloseIdleConnections()
}

// connecting is an HTTP library that connects until its request's context ends.
type connecting struct{}

func (connecting) Do(request *http.Request) (*http.Response, error) {
	for request.Context().Err() == nil {
		httptrace.ContextClientTrace(request.Context()).GetConn("")
	}
	return nil, request.Context().Err()
}

// TestTooManyTriesAreNoCancelledCall has requests that are ended because of their tries.
func TestTooManyTriesAreNoCancelledCall(t *testing.T) {
	client, err := NewClient(parseURL(t, "https://dev.azure.com/contoso"), PAT(secret), Options{HTTPClient: connecting{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.JobRequests(once(t.Context()), Pool{ID: 1}); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errTooManyTries) || errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, errTooManyTries)
	}
}

// TestRetriesAreCounted covers the retries of azcore.
func TestRetriesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		metrics := NewMetrics(prometheus.NewPedanticRegistry())
		fake := &organizationFake{failWith: func() *http.Response { return reply(503, "") }}
		client, err := NewClient(parseURL(t, "https://dev.azure.com/contoso"), PAT(secret), Options{HTTPClient: fake, Metrics: metrics})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = client.JobRequests(t.Context(), Pool{ID: 1})
		if n := testutil.ToFloat64(metrics.requests.WithLabelValues(client.organization.String(), "jobrequests", "503")); n != 3 || fake.sent() != 3 {
			t.Errorf("%d requests and %v counted, want 3", fake.sent(), n)
		}
	})
}

// TestCredentialIsTakenOut has a server that repeats the credential, in every
// place of an answer whose text may get into an error and in many forms.
func TestCredentialIsTakenOut(t *testing.T) {
	const pat = "q7z2k5w9e4r8t6y3u1i0pAsDfGhJkLmN"
	basic := base64.StdEncoding.EncodeToString([]byte(":" + pat))
	for form, text := range map[string]string{
		"as it is":      pat,
		"upper case":    strings.ToUpper(pat),
		"header":        "Basic " + basic,
		"cut":           pat[:20],
		"base64":        base64.StdEncoding.EncodeToString([]byte(pat)),
		"base64 in url": base64.RawURLEncoding.EncodeToString([]byte("Authorization: Basic :" + pat)),
		"hexadecimal":   hex.EncodeToString([]byte(pat)),
		"percent":       "%" + strings.ToUpper(strings.Join(pairs(hex.EncodeToString([]byte(pat))), "%")),
		"query":         url.QueryEscape("Basic " + basic),
		"html":          "&#" + strings.Join(codes(pat), ";&#") + ";",
		"json":          `\\u00` + strings.Join(pairs(hex.EncodeToString([]byte(pat))), `\\u00`),
		"invisible":     pat[:10] + "\u200b" + pat[10:],
	} {
		for place, answer := range map[string]func(http.ResponseWriter){
			"a date":      func(w http.ResponseWriter) { fmt.Fprintf(w, `{"value":[{"requestId":1,"queueTime":"%s"}]}`, text) },
			"an id":       func(w http.ResponseWriter) { fmt.Fprintf(w, `{"value":[{"requestId":"%s"}]}`, text) },
			"no JSON":     func(w http.ResponseWriter) { fmt.Fprint(w, text) },
			"a key":       func(w http.ResponseWriter) { fmt.Fprintf(w, `{"value":[{"requestId":1,"%s":}]}`, text) },
			"a message":   func(w http.ResponseWriter) { w.WriteHeader(400); fmt.Fprintf(w, `{"message":"no: %s."}`, text) },
			"a short one": func(w http.ResponseWriter) { w.WriteHeader(400); fmt.Fprintf(w, `{"typeKey":"%s"}`, text) },
			"activity": func(w http.ResponseWriter) {
				w.Header().Set("ActivityId", text)
				w.WriteHeader(500)
			},
			"service error": func(w http.ResponseWriter) {
				w.Header().Set("X-TFS-ServiceError", text)
				w.WriteHeader(401)
			},
			"status line": func(w http.ResponseWriter) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					_, _ = io.WriteString(conn, text+" "+text+"\r\n\r\n")
					_ = conn.Close()
				}
			},
			"encoding": func(w http.ResponseWriter) { w.Header().Set("Content-Encoding", text); fmt.Fprint(w, `{}`) },
		} {
			s := server(t, func(w http.ResponseWriter, _ *http.Request) { answer(w) })
			_, err := newClient(t, s.URL, PAT(pat)).JobRequests(once(t.Context()), Pool{ID: 1})
			if err == nil {
				t.Fatalf("%s as %s: no error", form, place)
			}
			failure, _ := errors.AsType[*Error](err)
			whole := strings.ToLower(err.Error() + failure.Message + failure.TypeKey + failure.ActivityID)
			for _, trace := range []string{pat[:14], text[:min(len(text), 14)], basic[:14]} {
				if strings.Contains(whole, strings.ToLower(trace)) {
					t.Errorf("%s as %s: %v", form, place, err)
				}
			}
		}
	}
}

func pairs(text string) (list []string) {
	for i := 0; i < len(text); i += 2 {
		list = append(list, text[i:i+2])
	}
	return list
}

func codes(text string) (list []string) {
	for _, r := range text {
		list = append(list, strconv.Itoa(int(r)))
	}
	return list
}

// TestForeignTextIsPrintable puts what moves cursors and turns lines around into
// all that is read.
func TestForeignTextIsPrintable(t *testing.T) {
	const evil = `\u001b[2Jx\u202e\r\n\u0007y`
	raw := "\x1b\u202e\r\n\x07"
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/3/jobrequests") {
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"message":"m%sn"}`, evil)
			return
		}
		fmt.Fprintf(w, `{"value":[{"id":1,"name":"%[1]s","version":"%[1]s","requestId":1,"jobId":"%[1]s","demands":["%[1]s","a -equals %[1]s"],`+
			`"reservedAgent":{"name":"%[1]s"},"matchedAgents":[{"name":"%[1]s"}],"definition":{"name":"%[1]s"},"owner":{"name":"%[1]s"}}]}`, evil)
	})
	client := newClient(t, s.URL, PAT(secret))
	_, failure := client.JobRequests(t.Context(), Pool{ID: 3, Name: raw})
	requests, err1 := client.JobRequests(t.Context(), Pool{ID: 1})
	agents, err2 := client.Agents(t.Context(), Pool{ID: 1})
	pools, err3 := client.Pools(t.Context())
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%+v %+v %+v %+v %v", requests, requests[0].Demands, agents, pools, failure)
	if i := strings.IndexAny(all, raw); i >= 0 || !strings.Contains(all, "x   y") || !strings.Contains(all, "mx yn") {
		t.Errorf("got %q", all)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 1000 {
			w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("a", 1000))
		}
		fmt.Fprint(w, `{"value":[]}`)
	})
	if _, err := newClient(t, s.URL, PAT(secret)).JobRequests(once(t.Context()), Pool{ID: 1}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want an error", err)
	}
}

// TestAccessTokensAreBounded covers requests that are not a client's own.
func TestAccessTokensAreBounded(t *testing.T) {
	s := server(t, serveGzip(200, gzipped(t, "", "aaaa", "", 1_000_000)))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := Bounded(s.Client()).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err == nil || len(body) > maxTokenAnswer {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// TestSlowBody covers an answer that comes in byte by byte.
func TestSlowBody(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Millisecond)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := newClient(t, s.URL, PAT(secret)).JobRequests(once(ctx), Pool{ID: 1})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 2*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}
