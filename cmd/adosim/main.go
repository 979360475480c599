// Command adosim is a stand-in of Azure DevOps: an organization with agent pools
// whose jobs are queued and cancelled over HTTP, to try the scaler and the
// agents' launcher without an account.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/standin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "adosim:", err)
		os.Exit(1)
	}
}

type commandLine struct {
	Addr  setting.Address `default:"127.0.0.1:8081" help:"Address to listen on; if it is taken, a free port is used."`
	Pools []string        `default:"linux,windows" help:"Comma-separated agent pools of the organization."`
}

// Check reports what is wrong with the settings.
func (c *commandLine) Check(p *setting.Problems) {
	if len(c.Pools) == 0 && p.Sound(&c.Pools) {
		p.Add(&c.Pools, "names no pool")
	}
}

// run serves the organization until ctx ends.
func run(ctx context.Context, args []string, out io.Writer) error {
	line, exited := &commandLine{}, false
	parser, err := setting.New(line, kong.Name("adosim"),
		kong.Description("A simulated Azure DevOps, to try the scaler and the agents' launcher without an account."),
		kong.Writers(out, out), kong.Exit(func(int) { exited = true }))
	if err != nil {
		return err
	}
	_, err = parser.Parse(args)
	if exited || err != nil { // --help was asked for and answered, or there is nothing to do
		if exited {
			err = nil
		}
		return err
	}
	server, err := standin.Start(string(line.Addr), line.Pools)
	if err != nil {
		return err
	}
	explain(out, server.URL(), line.Pools)
	<-ctx.Done()
	return server.Close()
}

func explain(w io.Writer, url string, pools []string) {
	fmt.Fprintf(w, `The organization is %[1]s, its token %[2]s, its pools are %[3]s.
Run the scaler for it, in another terminal:

  ORG_URL=%[1]s ORG_PAT=%[2]s KUBE=off go run ./cmd/ado-agent-orchestrator serve

Queue three jobs, cancel one, revoke the token:

  curl %[4]s/_control/jobs -d '{"pool":"%[5]s","count":3}'
  curl -X POST %[4]s/_control/requests/1/cancel
  curl %[4]s/_control/tokens -d '{"token":"%[2]s","state":"revoked"}'
`, url, standin.Token, strings.Join(pools, ", "), strings.TrimSuffix(url, "/contoso"), pools[0])
}
