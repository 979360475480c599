package scaler

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// TLSFiles are the PEM files of a server. Cert and Key go together; with
// ClientCA, clients must show a certificate of that authority.
type TLSFiles struct {
	Cert, Key, ClientCA string
}

// Config returns a TLS configuration that reads the files for each handshake, of
// which there are few: KEDA keeps its connection. So a change counts at once.
// While the files cannot be used, what they held before serves on.
func (f TLSFiles) Config() (*tls.Config, error) {
	first, err := f.load()
	if err != nil {
		return nil, err
	}
	var good atomic.Pointer[tls.Config]
	good.Store(first)
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if config, err := f.load(); err == nil {
				good.Store(config)
			}
			return good.Load(), nil
		},
	}, nil
}

func (f TLSFiles) load() (*tls.Config, error) {
	certificate, certErr := tls.LoadX509KeyPair(f.Cert, f.Key)
	if certErr != nil {
		certErr = fmt.Errorf("TLS certificate and key: %w", certErr)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{certificate},
	}
	if f.ClientCA == "" {
		return config, certErr
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	pem, caErr := os.ReadFile(f.ClientCA)
	if caErr == nil && !config.ClientCAs.AppendCertsFromPEM(pem) {
		caErr = fmt.Errorf("%s holds no certificate in PEM form", f.ClientCA)
	}
	if caErr != nil {
		caErr = fmt.Errorf("TLS client CA: %w", caErr)
	}
	return config, errors.Join(certErr, caErr)
}
