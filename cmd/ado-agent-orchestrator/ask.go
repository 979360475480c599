package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
)

// askCommand asks a scaler that runs, as KEDA does.
type askCommand struct {
	Address         string `required:"" help:"HOST:PORT of the scaler."`
	Pool            string `required:"" help:"Agent pool to ask about."`
	OrganizationURL string `name:"organization-url" help:"Its organization, if the scaler serves several."`

	CAFile   string        `name:"ca-file" help:"Certificate authorities (PEM) of the scaler; switches TLS on."`
	CertFile string        `name:"cert-file" help:"Certificate (PEM) to show, for mutual TLS."`
	KeyFile  string        `name:"key-file" help:"Its key (PEM)."`
	Timeout  time.Duration `default:"30s" help:"How long the scaler may take."`
}

// Run prints how many agents the pool's jobs need. That the scaler cannot tell
// is an error, in its words.
func (c *askCommand) Run(ctx context.Context, o outputs) error {
	transport, err := c.credentials()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(c.Address, grpc.WithTransportCredentials(transport))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	metadata := map[string]string{"poolName": c.Pool}
	if c.OrganizationURL != "" {
		metadata["organizationURL"] = c.OrganizationURL
	}
	// The wait is for a scaler that has just been started.
	answer, err := externalscaler.NewExternalScalerClient(conn).GetMetrics(ctx, &externalscaler.GetMetricsRequest{
		ScaledObjectRef: &externalscaler.ScaledObjectRef{Name: "ask", Namespace: "default", ScalerMetadata: metadata},
	}, grpc.WaitForReady(true))
	if err != nil {
		told := status.Convert(err)
		return fmt.Errorf("%s: %s: %s", c.Address, told.Code(), told.Message())
	}
	if len(answer.GetMetricValues()) != 1 {
		return fmt.Errorf("%s answers with %d values, not with one", c.Address, len(answer.GetMetricValues()))
	}
	_, err = fmt.Fprintf(o.out, "pool %q: %d\n", c.Pool, answer.GetMetricValues()[0].GetMetricValue())
	return err
}

func (c *askCommand) credentials() (credentials.TransportCredentials, error) {
	if c.CAFile == "" {
		if c.CertFile != "" || c.KeyFile != "" {
			return nil, errors.New("--cert-file and --key-file need --ca-file")
		}
		return insecure.NewCredentials(), nil
	}
	authorities, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("--ca-file: %s holds no certificate", c.CAFile)
	}
	if c.CertFile == "" && c.KeyFile == "" {
		return credentials.NewTLS(config), nil
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("--cert-file and --key-file: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return credentials.NewTLS(config), nil
}
