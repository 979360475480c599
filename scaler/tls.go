package scaler

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/secrets"
)

// reloadTimeout bounds the reading of the TLS files, which a handshake waits for.
const reloadTimeout = 2 * time.Second

// TLSFiles are the PEM files of a server. Cert and Key go together; with
// ClientCA, clients must show a certificate of that authority.
type TLSFiles struct {
	Cert, Key, ClientCA string
}

// TLS is the TLS configuration of a Server. It reads its files for each handshake,
// of which there are few: KEDA keeps its connection. So a change takes effect at
// once. While the files cannot be used, their last good content serves.
type TLS struct {
	files   TLSFiles
	logger  *zap.Logger
	reloads singleflight.Group

	mu      sync.Mutex
	good    *tlsState
	failure string // why the files cannot be used now; "" if they can
}

// tlsState is the content of the files with what was made of it.
type tlsState struct {
	cert, key, clientCA []byte
	config              *tls.Config
	expires             time.Time // of the certificate
}

// LoadTLS reads the files.
func LoadTLS(files TLSFiles) (*TLS, error) {
	good, err := files.load(nil)
	if err != nil {
		return nil, err
	}
	return &TLS{files: files, logger: zap.NewNop(), good: good}, nil
}

// Check reports what is wrong with the certificate and its key, and with the
// certificate authorities of clients.
func (f TLSFiles) Check() (pair, clientCA error) {
	state := &tlsState{config: &tls.Config{MinVersion: tls.VersionTLS12}}
	return f.loadPair(context.Background(), state), f.loadClientCA(context.Background(), state)
}

func (t *TLS) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			state, _ := t.reload()
			return state.config, nil
		},
	}
}

// reload returns what the files hold now if it can be used, else what they held
// last, and reports which it is. Handshakes at the same time share one reading.
func (t *TLS) reload() (state *tlsState, failed bool) {
	_, _, _ = t.reloads.Do("", func() (any, error) {
		t.mu.Lock()
		good := t.good
		t.mu.Unlock()
		fresh, err := t.files.load(good)
		t.mu.Lock()
		defer t.mu.Unlock()
		failure := ""
		if err != nil {
			failure = err.Error()
		} else {
			t.good = fresh
		}
		t.report(failure)
		return nil, nil //nolint:nilnil // the state has it
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.good, t.failure != ""
}

// report logs a failure that is new, and the end of one. The caller holds the lock.
func (t *TLS) report(failure string) {
	switch {
	case failure == t.failure:
	case failure != "":
		t.logger.Warn("the TLS files cannot be used; using the last valid content, retrying with each connection",
			zap.String("reason", failure))
	default:
		t.logger.Info("the TLS files can be used again")
	}
	t.failure = failure
}

// load reads the files; if they have not changed, it returns the last state, whose
// configuration knows the sessions of its clients.
func (f TLSFiles) load(last *tlsState) (*tlsState, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), reloadTimeout, fmt.Errorf("the TLS files were not read within %s", reloadTimeout))
	defer cancel()
	state := &tlsState{config: &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}}
	if err := errors.Join(f.loadPair(ctx, state), f.loadClientCA(ctx, state)); err != nil {
		return nil, err
	}
	if last != nil && bytes.Equal(state.cert, last.cert) && bytes.Equal(state.key, last.key) && bytes.Equal(state.clientCA, last.clientCA) {
		return last, nil
	}
	return state, nil
}

func (f TLSFiles) loadPair(ctx context.Context, state *tlsState) error {
	var certErr, keyErr error
	state.cert, certErr = secrets.Read(ctx, f.Cert)
	state.key, keyErr = secrets.Read(ctx, f.Key)
	if err := errors.Join(certErr, keyErr); err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(state.cert, state.key)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	state.expires = pair.Leaf.NotAfter
	state.config.Certificates = []tls.Certificate{pair}
	return nil
}

func (f TLSFiles) loadClientCA(ctx context.Context, state *tlsState) (err error) {
	if f.ClientCA == "" {
		return nil
	}
	if state.clientCA, err = secrets.Read(ctx, f.ClientCA); err != nil {
		return err
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(state.clientCA) {
		return fmt.Errorf("%s contains no certificate in PEM form", f.ClientCA)
	}
	state.config.ClientCAs, state.config.ClientAuth = authorities, tls.RequireAndVerifyClientCert
	return nil
}

var (
	tlsReloadFailed = prometheus.NewDesc("ado_agent_orchestrator_tls_reload_failed",
		"1 while the TLS files of the gRPC service cannot be used and their last good content serves, else 0.", nil, nil)
	tlsExpiry = prometheus.NewDesc("ado_agent_orchestrator_tls_certificate_expiry_timestamp_seconds",
		"Expiry of the gRPC service's certificate.", nil, nil)
)

// tlsCollector reads the files at each scrape: KEDA may not connect for long.
type tlsCollector struct{ tls *TLS }

func (tlsCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- tlsReloadFailed
	descs <- tlsExpiry
}

func (c tlsCollector) Collect(metrics chan<- prometheus.Metric) {
	state, failed := c.tls.reload()
	value := 0.0
	if failed {
		value = 1
	}
	metrics <- prometheus.MustNewConstMetric(tlsReloadFailed, prometheus.GaugeValue, value)
	metrics <- prometheus.MustNewConstMetric(tlsExpiry, prometheus.GaugeValue, float64(state.expires.Unix()))
}
