//go:build !nodemo

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/standin"
)

// more are the commands that bring the stand-in of Azure DevOps with them.
var more = kong.Plugins{&struct {
	Demo demoCommand `cmd:"" help:"Show the scaler at work on a simulated Azure DevOps; needs no account and no cluster."`
}{}}

type demoCommand struct {
	For          time.Duration   `default:"0" help:"Time after which the demo ends, such as 10s; 0 means on Ctrl-C."`
	GRPCAddr     setting.Address `name:"grpc-addr" env:"GRPC_ADDR" default:"127.0.0.1:9090" help:"Address of the scaler; if it is taken, a free port is used."`
	HTTPAddr     setting.Address `name:"http-addr" env:"HTTP_ADDR" default:"127.0.0.1:8080" help:"Address of the status page, /metrics, /healthz and /readyz; if it is taken, a free port is used."`
	StandInAddr  setting.Address `name:"stand-in-addr" env:"STAND_IN_ADDR" default:"127.0.0.1:8081" help:"Address of the simulated Azure DevOps; if it is taken, a free port is used."`
	PollInterval time.Duration   `name:"poll-interval" default:"1s" min:"10ms" hidden:"" help:"How often the simulated KEDA asks."`
}

// Run shows the scaler at work until ctx ends or the time is up.
func (c *demoCommand) Run(ctx context.Context, o outputs) error {
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	standIn, err := standin.Start(string(c.StandInAddr), demoPools())
	if err != nil {
		return err
	}
	defer standIn.Close()
	fmt.Fprint(o.out, "Azure DevOps is simulated: nothing here leaves this machine.\n\n")
	return c.show(ctx, o, standIn)
}

// show runs the scaler, a simulated KEDA with its agents, and the table.
func (c *demoCommand) show(ctx context.Context, o outputs, standIn *adotest.Server) error {
	url, err := adoqueue.ParseOrganizationURL(standIn.URL())
	if err != nil {
		return err
	}
	view := demoView(c.PollInterval)
	s := settings{simulated: view, scalerAddress: demoAddress, commonSettings: commonSettings{
		commonFlags: commonFlags{
			PollingDelay: 500 * time.Millisecond, StaleFor: 30 * time.Second, Timeout: 10 * time.Second,
			Election: off,
		},
		processFlags:  processFlags{LogLevel: "warn", LogFormat: "console", Status: true},
		organizations: []organization{{url: url, auth: adoauth.Settings{PAT: standin.Token}}},
	}}
	grpcListener, err := listenNear(ctx, string(c.GRPCAddr))
	if err != nil {
		return err
	}
	httpListener, err := listenNear(ctx, string(c.HTTPAddr))
	if err != nil {
		return errors.Join(err, grpcListener.Close())
	}
	introduce(o.out, standIn, grpcListener.Addr(), httpListener.Addr())
	keda, err := newDemoKEDA(grpcListener.Addr().String(), standIn, view)
	if err != nil {
		return err
	}
	defer keda.close()
	s.compare = keda.contenders

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return s.serve(ctx, s.logger(o.log), listeners{grpcListener, httpListener})
	})
	group.Go(func() error { return queueJobs(ctx, standIn) })
	group.Go(func() error { return keda.run(ctx, c.PollInterval) })
	group.Go(func() error { return keda.showTable(ctx, o.out, isTerminal(o.out)) })
	return group.Wait()
}

func introduce(w io.Writer, standIn *adotest.Server, grpcAddr, httpAddr net.Addr) {
	fmt.Fprintf(w, `Look at http://%[2]s/ for what happens, and why.

Pipelines queue the same jobs in two pools. In one, this scaler says how many agents are
missing; in the other, the rule of KEDA's built-in scaler does. Agents of another team
serve both. A simulated KEDA polls every second and creates the agents' Jobs.

The scaler answers on %[1]s. Poll it as KEDA does:

  grpcurl -plaintext %[1]s list
  grpcurl -plaintext -d '{"scaledObjectRef":{"name":"linux","namespace":"demo","scalerMetadata":{"poolName":"linux"}}}' \
    %[1]s externalscaler.ExternalScaler/GetMetrics
  curl http://%[2]s/metrics

The simulated organization is %[3]s.

`, grpcAddr, httpAddr, standIn.URL())
}

// listenNear listens on addr, or on a free port beside it if it is taken.
func listenNear(ctx context.Context, addr string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return listener, err
	}
	return config.Listen(ctx, "tcp", standin.AnyPort(addr))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
