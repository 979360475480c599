package adoqueue

import (
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCAFile(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"value":[]}`) }))
	defer s.Close()
	s.Config.ErrorLog = nil
	path := filepath.Join(t.TempDir(), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(path, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	for caFile, want := range map[string]bool{path: true, "": false} {
		httpClient, err := NewHTTPClient(caFile)
		if err != nil {
			t.Fatal(err)
		}
		client, err := NewClient(parseURL(t, s.URL+"/contoso"), PAT(secret), Options{HTTPClient: httpClient})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.JobRequests(once(t.Context()), Pool{ID: 1}); (err == nil) != want {
			t.Errorf("CA file %q: %v", caFile, err)
		}
		httpClient.CloseIdleConnections()
	}
	if err := os.WriteFile(path, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{path, path + ".missing"} {
		if _, err := NewHTTPClient(bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// TestRefusedCertificates has errors of TLS say what to do about the certificate.
func TestRefusedCertificates(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(path, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		caFile, url string
		now         time.Time
		want        string
	}{
		"unknown authority": {url: s.URL, want: "; let CA_FILE (of an agent AZP_CA_FILE) name a file with the certificate authority"},
		"expired":           {caFile: path, url: s.URL, now: s.Certificate().NotAfter.Add(time.Hour), want: "; the certificate has expired or is not valid yet"},
		"another host":      {caFile: path, url: strings.Replace(s.URL, "127.0.0.1", "localhost", 1), want: "; the certificate is for another host name"},
	} {
		t.Run(name, func(t *testing.T) {
			httpClient, err := NewHTTPClient(tt.caFile)
			if err != nil {
				t.Fatal(err)
			}
			defer httpClient.CloseIdleConnections()
			if !tt.now.IsZero() {
				httpClient.Transport.(*http.Transport).TLSClientConfig.Time = func() time.Time { return tt.now }
			}
			client, err := NewClient(parseURL(t, tt.url+"/contoso"), PAT(secret), Options{HTTPClient: httpClient})
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.JobRequests(once(t.Context()), Pool{ID: 1})
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
