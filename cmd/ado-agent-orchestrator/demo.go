package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

const demoPAT = "demo-token"

// demoPools are the pools of the simulated organization, each with a ScaledJob
// of the same name and pipelines that need its agents.
var demoPools = []string{"linux", "windows"}

type demoCommand struct {
	For          time.Duration `help:"End by itself after this time, e.g. 10s; 0 means on Ctrl-C."`
	GRPCAddr     string        `name:"grpc-addr" env:"GRPC_ADDR" default:"127.0.0.1:9090" help:"Address of the scaler; a free port is taken if this one is not."`
	HTTPAddr     string        `name:"http-addr" env:"HTTP_ADDR" default:"127.0.0.1:8080" help:"Address of /metrics, /healthz and /readyz; likewise."`
	StandInAddr  string        `name:"stand-in-addr" env:"STAND_IN_ADDR" default:"127.0.0.1:8081" help:"Address of the simulated Azure DevOps; likewise."`
	AzureDevOps  bool          `name:"azure-devops-only" help:"Run the simulated Azure DevOps alone, without jobs of its own accord, to try serve against it."`
	PollInterval time.Duration `name:"poll-interval" default:"1s" hidden:"" help:"How often the simulated KEDA asks."`
}

// Run shows the scaler at work until ctx ends or the time is up.
func (c *demoCommand) Run(ctx context.Context, o outputs) error {
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	standIn, err := c.standIn()
	if err != nil {
		return err
	}
	defer standIn.Close()
	fmt.Fprint(o.out, "Azure DevOps is simulated: nothing here leaves this machine.\n\n")
	if c.AzureDevOps {
		explainStandIn(o.out, standIn)
		<-ctx.Done()
		return nil
	}
	return c.show(ctx, o, standIn)
}

// standIn starts the simulated organization.
func (c *demoCommand) standIn() (*adotest.Server, error) {
	options := adotest.Options{PAT: demoPAT, AutoAssign: true, ReceiveDelay: time.Second}
	standIn, err := adotest.Listen(c.StandInAddr, options)
	if errors.Is(err, syscall.EADDRINUSE) {
		standIn, err = adotest.Listen(anyPort(c.StandInAddr), options)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range demoPools {
		standIn.AddPool(adotest.Pool{Name: name})
		// Azure DevOps fails a job at once if no registered agent could run it.
		if _, err := standIn.AddAgent(name, adotest.Agent{Name: name + "-placeholder", Offline: true}); err != nil {
			return nil, errors.Join(err, standIn.Close())
		}
	}
	return standIn, nil
}

// show runs the scaler, a simulated KEDA with its agents, and the table.
func (c *demoCommand) show(ctx context.Context, o outputs, standIn *adotest.Server) error {
	s, err := serveFlags{
		commonFlags: commonFlags{
			Org:          organizationFlags{URL: standIn.URL(), PAT: demoPAT},
			PollingDelay: "500", StaleFor: "30s", Timeout: "10s", Election: off, LogLevel: "warn", LogFormat: "console",
		},
		Kube: off, housekeepingFlags: housekeepingFlags{OfflineAfter: "10m", StuckAfter: "0"},
	}.check()
	if err != nil {
		return err
	}
	grpcListener, err := listenNear(ctx, c.GRPCAddr)
	if err != nil {
		return err
	}
	httpListener, err := listenNear(ctx, c.HTTPAddr)
	if err != nil {
		return errors.Join(err, grpcListener.Close())
	}
	explain(o.out, standIn, grpcListener.Addr(), httpListener.Addr())
	keda, err := newDemoKEDA(grpcListener.Addr().String(), standIn)
	if err != nil {
		return err
	}
	defer keda.close()

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return s.serve(ctx, logSettings{level: zapcore.WarnLevel, console: true}.logger(o.log), grpcListener, httpListener)
	})
	group.Go(func() error { return queueJobs(ctx, standIn) })
	group.Go(func() error { return keda.run(ctx, c.PollInterval) })
	group.Go(func() error { return keda.showTable(ctx, o.out, isTerminal(o.out)) })
	return group.Wait()
}

func explain(w io.Writer, standIn *adotest.Server, grpcAddr, httpAddr net.Addr) {
	fmt.Fprintf(w, `The scaler answers on %[1]s. Ask it as KEDA does:

  grpcurl -plaintext %[1]s list
  grpcurl -plaintext -d '{"scaledObjectRef":{"name":"linux","namespace":"demo","scalerMetadata":{"poolName":"linux"}}}' \
    %[1]s externalscaler.ExternalScaler/GetMetrics
  curl http://%[2]s/metrics

The simulated organization is %[3]s. Pipelines queue jobs in two pools;
a simulated KEDA asks the scaler every second and starts the agents it lacks.

`, grpcAddr, httpAddr, standIn.URL())
}

func explainStandIn(w io.Writer, standIn *adotest.Server) {
	host := strings.TrimSuffix(standIn.URL(), "/contoso")
	fmt.Fprintf(w, `The organization is %[1]s, its token %[2]s, its pools are linux and windows.
Serve it, in another terminal:

  ORG_URL=%[1]s ORG_PAT=%[2]s KUBE=off go run ./cmd/ado-agent-orchestrator serve

Queue three jobs, cancel one, revoke the token:

  curl %[3]s/_control/jobs -d '{"pool":"linux","count":3}'
  curl -X POST %[3]s/_control/requests/1/cancel
  curl %[3]s/_control/tokens -d '{"token":"%[2]s","state":"revoked"}'
`, standIn.URL(), demoPAT, host)
}

// listenNear listens on addr, or on a free port beside it if it is taken.
func listenNear(ctx context.Context, addr string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return listener, err
	}
	return config.Listen(ctx, "tcp", anyPort(addr))
}

func anyPort(addr string) string {
	host, _, _ := net.SplitHostPort(addr) // it was listened on, so it is one
	return net.JoinHostPort(host, "0")
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
