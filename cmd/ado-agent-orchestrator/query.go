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
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/secrets"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler"
)

// queryCommand shows what KEDA gets from a running scaler, and leaves nothing behind.
type queryCommand struct {
	Address   setting.Address `name:"address" required:"" placeholder:"HOST:PORT" help:"Address of the scaler."`
	ScaledJob string          `name:"scaled-job" placeholder:"NAME" help:"Name of the ScaledJob. Without --scaled-job the answer is for a ScaledJob that does not exist."`
	Namespace string          `name:"namespace" default:"default" help:"Namespace of the ScaledJob."`
	Metadata  triggerMetadata `name:"metadata" placeholder:"KEY=VALUE" help:"Metadata of the ScaledJob's trigger, such as poolName=linux. Repeat the flag for each key. Without metadata, --scaled-job uses its own."`
	Pool      string          `name:"pool" placeholder:"NAME" help:"Agent pool, in place of --metadata poolName=NAME."`

	CAFile   setting.File  `name:"ca-file" placeholder:"FILE" help:"Certificate authorities (PEM) of the scaler, which switches TLS on."`
	CertFile setting.File  `name:"cert-file" placeholder:"FILE" help:"Certificate (PEM) to show, for mutual TLS."`
	KeyFile  setting.File  `name:"key-file" placeholder:"FILE" help:"Key (PEM) of the certificate to show."`
	Timeout  time.Duration `name:"timeout" default:"30s" min:"1ms" help:"Timeout of the query."`
}

// triggerMetadata is the metadata of a trigger. A value may contain commas and equals signs.
type triggerMetadata map[string]string

// UnmarshalText adds a key.
func (m *triggerMetadata) UnmarshalText(text []byte) error {
	key, value, ok := strings.Cut(string(text), "=")
	if !ok || key == "" {
		return fmt.Errorf("%q does not have the form KEY=VALUE", text)
	}
	if *m == nil {
		*m = triggerMetadata{}
	}
	if _, twice := (*m)[key]; twice {
		return fmt.Errorf("%q is given twice", key)
	}
	(*m)[key] = value
	return nil
}

// Check reports what is wrong with the settings of query.
func (c *queryCommand) Check(p *setting.Problems) {
	if c.Pool == "" && len(c.Metadata) == 0 && c.ScaledJob == "" && p.Sound(&c.Pool, &c.Metadata, &c.ScaledJob) {
		p.AddAll([]any{&c.Pool, &c.Metadata, &c.ScaledJob}, "one is required")
	}
	if c.Pool != "" && c.Metadata["poolName"] != "" {
		p.AddAll([]any{&c.Pool, &c.Metadata}, "both name the pool; keep one")
	}
	files := []any{&c.CertFile, &c.KeyFile, &c.CAFile}
	switch {
	case (c.CertFile == "") != (c.KeyFile == ""):
		p.AddAll(files[:2], "go together; one of them is missing")
	case c.CertFile != "" && c.CAFile == "":
		p.AddAll(files, "mutual TLS requires the scaler's certificate authorities")
	case p.Sound(files...):
		if _, err := c.credentials(); err != nil {
			p.AddAll(files, "%w", err)
		}
	}
}

// Run prints what KEDA would get.
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
	answer, err := c.poll(metadata.AppendToOutgoingContext(ctx, scaler.QueryHeader, "1"), externalscaler.NewExternalScalerClient(conn))
	if err != nil {
		refusal, hint := status.Convert(err), ""
		if refusal.Code() == codes.DeadlineExceeded || refusal.Code() == codes.Unavailable {
			hint = "; check that this is the address of the scaler's gRPC port (GRPC_ADDR), and whether it takes TLS"
		}
		return fmt.Errorf("%s: %s: %s%s", c.Address, refusal.Code(), refusal.Message(), hint)
	}
	if answer.note != "" && c.ScaledJob != "" {
		fmt.Fprintf(o.log, "note: %s\n", safetext.Printable(answer.note))
	}
	subject := c.Namespace + "/" + c.ScaledJob
	if c.ScaledJob == "" {
		subject = fmt.Sprintf("pool %q", cmp.Or(c.Pool, c.Metadata["poolName"], c.Metadata["poolID"]))
	}
	_, err = fmt.Fprintf(o.out, "%s: %d (target %d, active: %t, count: %s)\n", subject, answer.value, answer.target, answer.active, answer.count)
	return err
}

// polled is what KEDA would get by one poll.
type polled struct {
	value, target int64
	active        bool
	count, note   string
}

// poll makes the calls of KEDA's poll in the same order.
func (c *queryCommand) poll(ctx context.Context, client externalscaler.ExternalScalerClient) (answer polled, err error) {
	ref := c.scaledJob()
	// The wait is for a scaler that has just been started.
	spec, err := client.GetMetricSpec(ctx, ref, grpc.WaitForReady(true))
	if err != nil {
		return polled{}, err
	}
	var header metadata.MD
	request := &externalscaler.GetMetricsRequest{ScaledObjectRef: ref}
	for _, s := range spec.GetMetricSpecs() {
		request.MetricName, answer.target = s.GetMetricName(), s.GetTargetSize()
	}
	metrics, err := client.GetMetrics(ctx, request, grpc.Header(&header))
	if err != nil {
		return polled{}, err
	}
	if n := len(metrics.GetMetricValues()); n != 1 {
		return polled{}, status.Errorf(codes.Internal, "the answer has %d values, not one; is this the scaler's address?", n)
	}
	answer.value = metrics.GetMetricValues()[0].GetMetricValue()
	active, err := client.IsActive(ctx, ref)
	answer.active = active.GetResult()
	answer.count, answer.note = strings.Join(header.Get(scaler.CountHeader), ""), strings.Join(header.Get(scaler.NoteHeader), "")
	return answer, err
}

// scaledJob is what KEDA sends with each call.
func (c *queryCommand) scaledJob() *externalscaler.ScaledObjectRef {
	all := maps.Clone(c.Metadata)
	if c.Pool != "" {
		if all == nil {
			all = triggerMetadata{}
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
