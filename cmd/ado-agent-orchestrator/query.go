package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/secrets"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
)

// queryCommand asks a running scaler as KEDA does.
type queryCommand struct {
	Address   setting.Address `name:"address" required:"" placeholder:"HOST:PORT" help:"Address of the scaler."`
	ScaledJob string          `name:"scaled-job" placeholder:"NAME" help:"Name of the ScaledJob to ask for. Without it the answer is for nobody in particular."`
	Namespace string          `name:"namespace" default:"default" help:"Namespace of the ScaledJob."`
	Metadata  metadata        `name:"metadata" placeholder:"KEY=VALUE" help:"Metadata of the ScaledJob's trigger, such as poolName=linux. Repeat the flag for each key."`
	Pool      string          `name:"pool" placeholder:"NAME" help:"Agent pool, in place of --metadata poolName=NAME."`

	CAFile   setting.File  `name:"ca-file" placeholder:"FILE" help:"Certificate authorities (PEM) of the scaler, which switches TLS on."`
	CertFile setting.File  `name:"cert-file" placeholder:"FILE" help:"Certificate (PEM) to show, for mutual TLS."`
	KeyFile  setting.File  `name:"key-file" placeholder:"FILE" help:"Key (PEM) of the certificate to show."`
	Timeout  time.Duration `name:"timeout" default:"30s" min:"1ms" help:"Timeout of the query."`
}

// metadata of a trigger. A value may contain commas and equals signs.
type metadata map[string]string

// UnmarshalText adds a key.
func (m *metadata) UnmarshalText(text []byte) error {
	key, value, ok := strings.Cut(string(text), "=")
	if !ok || key == "" {
		return fmt.Errorf("%q does not have the form KEY=VALUE", text)
	}
	if *m == nil {
		*m = metadata{}
	}
	if _, twice := (*m)[key]; twice {
		return fmt.Errorf("%q is given twice", key)
	}
	(*m)[key] = value
	return nil
}

// Check reports what is wrong with the settings of query.
func (c *queryCommand) Check(p *setting.Problems) {
	if c.Pool == "" && len(c.Metadata) == 0 && p.Sound(&c.Pool, &c.Metadata) {
		p.AddAll([]any{&c.Pool, &c.Metadata}, "one is required")
	}
	if c.Pool != "" && c.Metadata["poolName"] != "" {
		p.AddAll([]any{&c.Pool, &c.Metadata}, "both name the pool; keep one")
	}
	files := []any{&c.CertFile, &c.KeyFile, &c.CAFile}
	switch {
	case (c.CertFile == "") != (c.KeyFile == ""):
		p.AddAll(files[:2], "go together; one of them is missing")
	case c.CertFile != "" && c.CAFile == "":
		p.AddAll(files, "mutual TLS needs the scaler's certificate authorities")
	case p.Sound(files...):
		if _, err := c.credentials(); err != nil {
			p.AddAll(files, "%w", err)
		}
	}
}

// Run prints the metric that KEDA would get.
func (c *queryCommand) Run(ctx context.Context, o outputs) error {
	transport, err := c.credentials()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(string(c.Address), grpc.WithTransportCredentials(transport))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	// The wait is for a scaler that has just been started.
	answer, err := externalscaler.NewExternalScalerClient(conn).GetMetrics(ctx, &externalscaler.GetMetricsRequest{
		ScaledObjectRef: c.scaledJob(),
	}, grpc.WaitForReady(true))
	if err != nil {
		refusal := status.Convert(err)
		return fmt.Errorf("%s: %s: %s", c.Address, refusal.Code(), refusal.Message())
	}
	if len(answer.GetMetricValues()) != 1 {
		return fmt.Errorf("%s answers with %d values, not with one", c.Address, len(answer.GetMetricValues()))
	}
	value := answer.GetMetricValues()[0].GetMetricValue()
	if c.ScaledJob == "" {
		_, err = fmt.Fprintf(o.out, "pool %q: %d\n", cmp.Or(c.Pool, c.Metadata["poolName"], c.Metadata["poolID"]), value)
		return err
	}
	_, err = fmt.Fprintf(o.out, "%s/%s: %d\n", c.Namespace, c.ScaledJob, value)
	return err
}

// scaledJob is what KEDA sends with each call.
func (c *queryCommand) scaledJob() *externalscaler.ScaledObjectRef {
	all := maps.Clone(c.Metadata)
	if c.Pool != "" {
		if all == nil {
			all = metadata{}
		}
		all["poolName"] = c.Pool
	}
	return &externalscaler.ScaledObjectRef{
		Name: cmp.Or(c.ScaledJob, "query"), Namespace: c.Namespace, ScalerMetadata: all,
	}
}

func (c *queryCommand) credentials() (credentials.TransportCredentials, error) {
	if c.CAFile == "" {
		return insecure.NewCredentials(), nil
	}
	authorities, err := secrets.Read(context.Background(), string(c.CAFile))
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s holds no certificate", c.CAFile)
	}
	if c.CertFile == "" {
		return credentials.NewTLS(config), nil
	}
	pair, err := tls.LoadX509KeyPair(string(c.CertFile), string(c.KeyFile))
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{pair}
	return credentials.NewTLS(config), nil
}
