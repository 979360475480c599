package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/attack"
)

// serveWeb serves metrics of that many series until the test ends.
func serveWeb(t *testing.T, series int) (addr string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	many := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "many", Help: "Many series."}, []string{"name"})
	registry.MustRegister(many)
	for i := range series {
		many.WithLabelValues(strings.Repeat("n", 200) + strconv.Itoa(i)).Set(1)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- newWebServer(registry, registry, zap.NewNop()).serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func get(t *testing.T, addr, path string) (status int) {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode
}

// TestReadersThatDoNotRead has one caller ask for more than the kernel keeps.
func TestReadersThatDoNotRead(t *testing.T) {
	addr := serveWeb(t, 20_000)
	attacker := attack.Target{HTTP: addr, From: "127.0.0.2"}
	refused := 0
	for range 20 {
		conn, err := attacker.Dial(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: scaler\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		first, err := bufio.NewReaderSize(conn, 16).ReadString('\n')
		if err == nil && strings.Contains(first, "503") {
			refused++
		}
	}
	if refused != 20-maxScrapes/2 {
		t.Errorf("%d of 20 scrapes refused, want all but %d", refused, maxScrapes/2)
	}
	if code := get(t, addr, "/metrics"); code != http.StatusOK {
		t.Errorf("another reader gets %d", code)
	}
	if code := get(t, addr, "/healthz"); code != http.StatusOK {
		t.Errorf("the probe gets %d", code)
	}
}

func TestWebRequestsAreBounded(t *testing.T) {
	addr := serveWeb(t, 1)
	for _, test := range []struct{ name, request, want string }{
		{"a header that never ends", "GET /healthz HTTP/1.1\r\nHost: scal", ""},
		{"a large header", "GET /healthz HTTP/1.1\r\nHost: scaler\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", "431"},
		{"a body that never ends", "GET /healthz HTTP/1.1\r\nHost: scaler\r\nContent-Length: 10\r\n\r\n", "200"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, test.request); err != nil {
				t.Fatal(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(readTimeout + writeTimeout))
			answer, err := io.ReadAll(conn)                              // until the server closes it
			if network, ok := err.(net.Error); ok && network.Timeout() { //nolint:errorlint // as net returns it
				t.Error("the connection stays open")
			}
			if !strings.Contains(string(answer), test.want) {
				t.Errorf("answered %q, want %s", answer, test.want)
			}
		})
	}
}
